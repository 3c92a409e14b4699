"""What contradicts itself is one line, and nothing is written."""

import os

import pytest

from bench.errors import InputError
from bench.submissions.bibtex import check_bibtex
from tests.made_up import estimate
from tests.submissions.conftest import CLAIM

SEED = {"seed": 1, "log_likelihood": -100.0}
NUMBERS = [
    ({"bits_per_dim": 2.0}, "bits_per_dim is 2, and not −log_likelihood / (D ln 2) = 2.25421"),
    ({"mutual_information": 9.0}, "mutual_information is 9, more than log n"),
    ({"marginal_kl": -0.5}, "marginal_kl is -0.5; it is not negative"),
    ({"elbo": -99.0}, "elbo is -99, above the log_likelihood -100"),
    (
        {"elbo": -103.0, "reconstruction": -95.0, "mutual_information": 4.0, "marginal_kl": 3.0},
        "elbo is -103, and not reconstruction − mutual_information − marginal_kl = -102",
    ),
    ({"kl": 8.0, "mutual_information": 4.0, "marginal_kl": 3.0}, "kl is 8, and not"),
    ({"log_likelihood": float("nan")}, "log_likelihood is nan, and not a finite number"),
    ({"log_likelihood": True}, "log_likelihood is True, and not a finite number"),
    ({"log_likelihood": 3.0}, "a probability is more than 1"),
    ({"fid": 3.0}, "'fid' is unknown"),
    ({"failed": "NaN"}, "failed is a line that says why, and stands without numbers"),
    ({"weights": {"file": "../seed.pt", "sha256": "0" * 64}}, "'../seed.pt' is not a path inside"),
    ({"weights": {"file": "/etc/passwd", "sha256": "0" * 64}}, "is not a path inside"),
    ({"weights": {"file": "citation.bib", "sha256": "0" * 64}}, "citation.bib has SHA-256"),
    ({"weights": {"url": "file:///etc", "sha256": "0" * 64}}, "begins with https://"),
    ({"record": "0" * 16}, "record.json is damaged"),
    ({"record": "../../../etc/pass"}, "is not a key of 16 hexadecimal digits"),
]
WHOLE = [
    ({"licence": None}, "licence is missing"),
    ({"licence": "as you like"}, "'as you like' is not an SPDX expression"),
    ({"task": "imagenet-256"}, "task: 'imagenet-256' is neither a task of the board nor of"),
    ({"task": "../x"}, "task: is not the name of a task"),
    ({"seeds": [SEED, SEED]}, "seeds: seed 1 occurs 2 times"),
    ({"seeds": []}, "seeds is missing"),
    ({"seeds": [{"seed": 1, "failed": "NaN"}]}, "seeds: all of them failed"),
    ({"test_images": 1000}, "test_images: is 1000, and "),
    ({"data_sha256": "0" * 64}, "data_sha256: is 0000"),
    ({"importance_samples": None}, "K of the bound is missing"),
    ({"importance_samples": 0, "bound": "upper"}, "an exact one has 0"),
    ({"selected_on": "test"}, "chosen on other than validation data is not ranked"),
    ({"citation": "../citation.bib"}, "'../citation.bib' is not a path inside"),
    ({"source": {"a.py": "0" * 64}}, "source/a.py is not in the folder"),
    ({"name": "a"}, "name: the board has runs of its own of a on digits-17"),
    ({"name": "uniform"}, "uniform is the benchmark's own reference"),
    ({"name": "=1+1"}, "begins with a sign that programs read as a formula"),
    (
        {"importance_samples": 1, "seeds": [SEED | {"elbo": -103.0}]},
        "log_likelihood is -100 and elbo -103, which for K = 1 are estimates of one number",
    ),
    ({"model": "os.system"}, "is not FILE.py:NAME"),
    ({"format": 2}, "format: 2 is not 1"),
    ({"rank": 1}, "'rank' is unknown"),
]
CASES = [({"seed": changes | {}}, words) for changes, words in NUMBERS]
CASES = [({"seed": SEED | case["seed"]}, words) for case, words in CASES] + WHOLE


@pytest.mark.parametrize("changes, words", CASES, ids=[words for _, words in CASES])
def test_a_claim_that_contradicts_itself(changes, words, claim, add, board):
    before = sorted(board.rglob("*"))
    code, line = add(claim(**changes))
    assert code == 2 and line.count("\n") == 1 and line.startswith("bench: error: "), line
    assert words in line
    assert sorted(board.rglob("*")) == before


def of(name, value):
    def change(made):
        made["metrics"]["test"] = {**made["metrics"]["test"], name: estimate(value)}

    return change


def other_data(made):
    made["data"]["split_sha256"] = "e" * 64


def other_size(made):
    made["data"]["sizes"]["test"] += 1


RECORDS = [
    (of("bits_per_dim", 1.0), "contradicts itself: on the test split bits_per_dim is 1"),
    (other_data, "its data has the hash"),
    (other_size, "and "),
]


@pytest.mark.parametrize("change, words", RECORDS, ids=["bits", "data", "size"])
def test_a_record_that_contradicts_itself_or_the_task(change, words, with_record, add, board):
    code, line = add(with_record(change))
    assert code == 2 and line.count("\n") == 1 and words in line
    assert not (board / "submissions").exists()


def test_a_number_that_is_not_its_records(with_record, add):
    code, line = add(with_record(bits_per_dim=2.1))
    assert code == 2 and "bits_per_dim is 2.1, and its record has 2.2" in line


def test_a_link_a_device_and_a_huge_file_are_refused(claim, add, tmp_path):
    folder = claim()
    os.symlink("/etc/passwd", folder / "passwd")
    assert "passwd is a link or a device" in add(folder)[1]
    (folder / "passwd").unlink()
    os.mkfifo(folder / "fifo")
    assert "fifo is a link or a device" in add(folder)[1]
    (folder / "fifo").unlink()
    with open(folder / "huge", "wb") as file:
        file.truncate(17 * 2**20)
    assert "huge has 17 MiB, more than 16" in add(folder)[1]
    (folder / "huge").unlink()
    (folder / "submission.yaml").write_text("!!python/object/apply:os.system ['touch pwned']")
    assert "not valid YAML" in add(folder)[1]


def test_numbers_are_compared_up_to_the_digits_that_were_written(claim, add):
    # −100.0 nats are 2.2542 bits/dim.
    assert add(claim(seed={"log_likelihood": -100.0, "bits_per_dim": 2.25}))[0] == 0
    code, line = add(
        claim("other", name="O", seed={"log_likelihood": -100.0, "bits_per_dim": 2.27})
    )
    assert code == 2 and "bits_per_dim is 2.27" in line


GOOD = [
    '@article{a, author = "A {"}B", title = {T}, year = 1999,}',
    "% words\n@misc{b,\n author={A and B},\n title = {x} # { y},\n year={2000}\n}\n@misc{c, title={z}}",
]
BAD = [
    ("", "there is no entry"),
    ("no entry", "there is no entry"),
    ("@misc{a, title = {A {B}, year = 1", "not closed"),
    ("@misc{a, author = {A} title = {B}}", "a comma or a brace is missing"),
    ("@misc{a, author = A B}", "a comma or a brace is missing"),
    ("@misc{a, author = {A}, title = {B}}", "the entry a has no year"),
    ("@misc a", "an entry begins as"),
]


@pytest.mark.parametrize("text", GOOD)
def test_bibtex_that_is_one(text):
    bibtexparser = pytest.importorskip("bibtexparser")
    assert check_bibtex(text) == bibtexparser.parse_string(text).entries[0].key


@pytest.mark.parametrize("text, words", BAD, ids=[words for _, words in BAD])
def test_bibtex_that_is_none(text, words):
    with pytest.raises(InputError, match=words):
        check_bibtex(text)


def test_the_claim_itself_is_right(claim, add):
    assert add(claim())[0] == 0 and CLAIM["name"] == "Theirs"
