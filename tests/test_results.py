"""What is committed under results/ and said in README and docs is what the tables hold."""

import hashlib
import json
import os
import re
import shutil
import subprocess
from pathlib import Path

import pandas as pd
import pytest
from frictionless import Package
from scipy.stats import ttest_ind

from bench.configuration.files import resolve
from bench.configuration.parsing import validate
from bench.instruments.peers.markdown import board_markdown, checks_markdown
from bench.instruments.peers.settings import read_peers
from bench.records.key import key_of
from bench.records.record import read_record
from bench.records.tables import all_runs, csv_text
from bench.report.package import dictionary
from bench.report.paper_match import paper_match_markdown
from bench.report.published import published, published_file
from bench.report.tables import markdown, summary
from bench.submissions.board import rescored
from bench.sweep.driver import SweepOptions, make_plan
from bench.sweep.matrix import expand
from bench.system.yaml_text import read_yaml
from bench.training.checkpoints import read_checkpoint

ROOT = Path(__file__).parents[1]
README = (ROOT / "README.md").read_text(encoding="utf-8")
PAGES = {path.stem: path.read_text(encoding="utf-8") for path in (ROOT / "docs").glob("*.md")}
PUBLISHED = ROOT / "results" / "published"


def git(*words: str, given: str = "") -> list[str]:
    """Return what git says of this checkout, whoever owns it; nothing of an export without history."""
    command = ["git", "-c", f"safe.directory={ROOT}", *words]
    return subprocess.run(
        command, cwd=ROOT, input=given, capture_output=True, text=True
    ).stdout.splitlines()


# Whoever runs the tests may have results of their own beside these.
FILES = git("ls-files", "results")
needs_git = pytest.mark.skipif(not FILES, reason="no checkout that git can read")
# Those whose records are published; those of the default sweep are made by whoever runs it.
RECORDED = ["fashion", "fashion-smoke", "mnist", "mnist-smoke", "surgery"]
# Our own models beside those of other libraries.
PEERS = ROOT / "results" / "peers"
SWEEPS = [PUBLISHED / "default", *[ROOT / "results" / name for name in RECORDED]]
SWEEPS.append(PEERS / "equal-budget")


def test_the_dictionary_is_todays():
    assert (ROOT / "results" / "README.md").read_text(encoding="utf-8") == dictionary()


@pytest.mark.parametrize("sweep", SWEEPS, ids=lambda path: path.name)
def test_committed_tables_are_what_their_data_packages_say(sweep):
    outcome = Package(str(sweep / "datapackage.json")).validate()
    assert outcome.valid, outcome.flatten(["rowNumber", "fieldName", "note"])


@pytest.mark.parametrize("sweep", SWEEPS, ids=lambda path: path.name)
def test_committed_descriptions_are_of_the_committed_tables(sweep):
    """After `make report`, or `python -m bench.report.description FOLDER` where there are no records."""
    croissant = json.loads((sweep / "croissant.json").read_text(encoding="utf-8"))
    crate = json.loads((sweep / "ro-crate-metadata.json").read_text(encoding="utf-8"))
    files = [entity for entity in crate["@graph"] if entity["@type"] == "File"]
    assert len(croissant["distribution"]) == 3 and len(files) == 6
    for entry in [*croissant["distribution"], *files]:
        held = (sweep / entry["name"]).read_bytes()
        assert hashlib.sha256(held).hexdigest() == entry["sha256"], entry["name"]
    for table in croissant["recordSet"]:
        header = (sweep / f"{table['name']}.csv").read_text().partition("\n")[0].split(",")
        assert [field["name"] for field in table["field"]] == header


def test_the_leaderboards_of_the_readme_and_the_docs_are_the_committed_one():
    board = pd.read_csv(PUBLISHED / "default" / "leaderboard.csv", float_precision="round_trip")
    assert summary(board) in README
    assert markdown(board) in PAGES["results"]


def test_the_readme_is_short():
    assert len(README.split()) <= 900


def test_published_rows_are_found_to_be_cited():
    assert PUBLISHED / "default" / "runs.csv" in all_runs(ROOT / "results")


def test_the_published_numbers_of_the_docs_are_the_committed_ones():
    path = ROOT / "results" / "paper_match.csv"
    assert paper_match_markdown(pd.read_csv(path, float_precision="round_trip")) in PAGES["papers"]


# Sweep, model, and the words of docs/papers.md around its gain over gated_vae.
GAINS = (
    ("mnist", "gated_vamp_vae", "pseudo-inputs as the prior gain {} nats over the standard normal"),
    ("mnist", "gated_exemplar_vae", "the exemplar prior gains {} (2 seeds against 3, and L_1000"),
    (
        "fashion",
        "gated_vamp_vae",
        "On dynamic Fashion-MNIST pseudo-inputs gain {} nats (3 seeds each)",
    ),
)


def test_the_gains_of_the_docs_are_unpaired_and_those_of_the_runs():
    """Seeds of two models are independent trainings: Welch's interval of the difference."""
    text, kl = " ".join(PAGES["papers"].split()), {}
    for sweep, model, words in GAINS:
        runs = pd.read_csv(ROOT / "results" / sweep / "runs.csv")
        runs = runs[(runs["task"] == f"{sweep}-dynamic") & (runs["split"] == "test")]
        ours, base = (runs[runs["model"] == name] for name in (model, "gated_vae"))
        test = ttest_ind(ours["log_likelihood"], base["log_likelihood"], equal_var=False)
        low, high = test.confidence_interval()
        cell = f"{(low + high) / 2:.2f} ± {(high - low) / 2:.2f}"
        assert words.format(cell) in text, cell
        kl[sweep, model] = ours["marginal_kl"].mean()
        kl[sweep, "gated_vae"] = base["marginal_kl"].mean()
    mnist = [
        f"{kl['mnist', name]:.1f}" for name in ("gated_vamp_vae", "gated_exemplar_vae", "gated_vae")
    ]
    assert "{} and {} nats against {}.".format(*mnist) in text
    fashion = [f"{kl['fashion', name]:.1f}" for name in ("gated_vamp_vae", "gated_vae")]
    assert "with a marginal KL of {} nats against {}.".format(*fashion) in text


def test_the_docs_say_of_the_verdicts_what_the_table_has():
    table = pd.read_csv(ROOT / "results" / "paper_match.csv").set_index(["task", "model", "column"])
    equivalent = table[table["verdict"] == "equivalent within δ"]
    assert list(equivalent.index) == [("mnist-dynamic", "gated_vamp_vae", "log_likelihood")]
    assert not (table["verdict"] == "different").any()
    # Half of the difference of Exemplar and VampPrior in Norouzi's table.
    value = {(e.task, e.model): e.value for e in published() if e.column == "log_likelihood"}
    for task, size in (("mnist-dynamic", 0.34), ("fashion-dynamic", 0.60)):
        other = [value[task, f"gated_{prior}_vae"] for prior in ("exemplar", "vamp")]
        assert other[0] - other[1] == pytest.approx(size)
        own = table[table["split"] == "test"].xs((task, "log_likelihood"), level=("task", "column"))
        ends = own[["difference_low", "difference_high"]].dropna()
        assert len(ends) >= 2 and (ends.abs().max(axis=1) > size / 2).all()
    needed = {row[:2]: int(seeds) for row, seeds in table["seeds_to_decide"].dropna().items()}
    assert needed == {("mnist-dynamic", "gated_vae"): 4, ("fashion-dynamic", "gated_vamp_vae"): 8}
    text = " ".join(PAGES["papers"].split())
    assert "Four seeds in all would decide the gated VAE's row on MNIST and eight the Vamp" in text
    draws = [f"{own['stderr']:.3f}" for own in published_file()["test_draws"].values()]
    words = "{} nats on MNIST and {} on Fashion-MNIST".format(*draws)
    assert words in text and words in " ".join(PAGES["contract"].split())


def test_the_findings_of_the_docs_are_those_of_the_tables():
    """Ranges are over seeds, single numbers means over them."""
    table = pd.read_csv(PUBLISHED / "default" / "claims.csv")
    gaps = pd.read_csv(PUBLISHED / "default" / "dequantization.csv").set_index(["task", "model"])
    gaps = gaps["dequantization_gap"]["digits-17"]

    def rows(claim: int, words: str, model: str = "", task: str = "digits") -> pd.DataFrame:
        own = table[(table["claim"] == claim) & table["statement"].str.contains(words, regex=False)]
        return own[own["model"].str.startswith(model) & own["task"].str.startswith(task)]

    def span(values: pd.Series, decimals: int) -> str:
        return f"{values.min():.{decimals}f} to {values.max():.{decimals}f}"

    behind = rows(5, "equal gradient steps")
    knows = rows(8, "knows neighbours")
    swap = rows(11, "on test images", task="digits-17").groupby("model")["right"]
    swap = {model: span(-values, 0) for model, values in swap}
    left = rows(13, "smaller approximation gap").groupby("model")["left"].mean()
    gain = rows(14, "raises the test ELBO").groupby("model")["right"].mean()
    found = (
        f"it is {span(100 * behind['difference'] / behind['right'], 0)} % behind",
        f"{gaps['variational_realnvp']:.3f} against {gaps['realnvp']:.3f} bits/dim for RealNVP",
        f"*larger* ({gaps['realnvp objective=importance_weighted samples=5']:.3f})",
        f"({span(rows(7, 'on test images too', task='digits-17')['left'], 1)} at the best epoch)",
        f"held-out grey levels {span(rows(8, 'a categorical decoder')['left'], 4)} of the mass",
        f"likelihoods {span(knows[knows['model'].str.startswith('gaussian')]['right'], 2)}, RealNVP "
        f"{span(knows[knows['model'].str.startswith('realnvp')]['right'], 2)}.",
        f"It loses {swap['gaussian_vae']} nats for the Gaussian VAE",
        f"and {swap['gaussian_vae latent_dimensions=20 beta=0.3']} with β = 0.3 in 20 dimensions",
        f"leaves {rows(13, 'diagonal normal of each image')['right'].mean():.2f} nats",
        f"closes {rows(13, 'full covariance of each image')['right'].mean():.2f} of them",
        f"{left['FullCovariancePosterior']:.2f} with a full covariance, {left['FlowPosterior']:.2f} with a flow",
        f"by {gain.min():.2f} nats ({gain.idxmin()[6:].lower()}) to {gain.max():.2f} "
        f"({gain.idxmax()[6:].lower()})",
    )
    text = " ".join(PAGES["claims"].split())
    assert not [words for words in found if words not in text]


def test_every_published_number_is_of_a_row_that_its_sweep_makes():
    for sweep in sorted({entry.sweep for entry in published()}):
        path = resolve("sweep", sweep)
        rows = {(cell.point["data"], cell.model) for cell in expand(read_yaml(path), path.name)}
        named = {(entry.task, entry.model) for entry in published() if entry.sweep == sweep}
        assert named <= rows, f"{sweep}: {named - rows}"


@pytest.mark.parametrize("sweep", SWEEPS[1:], ids=lambda path: path.name)
def test_keys_of_published_runs_are_todays(sweep):
    """An option, a default or a name that changes must leave the keys of what was run as they are."""
    plan = make_plan(sweep.name, sweep.parent, SweepOptions())
    records = list((sweep / "runs").glob("*/record.json"))
    assert records
    for path in records:
        record = read_record(path)
        assert path.parent.name in plan.jobs, f"{record['model']} of {record['task']}"
        assert key_of(validate(record["config"])) == record["key"]


def test_peers_stand_beside_our_models_and_their_page_shows_the_tables():
    board = pd.read_csv(PEERS / "leaderboard.csv", float_precision="round_trip")
    assert (PEERS / "leaderboard.csv").read_bytes() == (
        PEERS / "equal-budget" / "leaderboard-v1.csv"
    ).read_bytes()
    peers = read_peers(ROOT / "configs" / "peers")
    evaluated = board[board["verification"] == "evaluated"]
    assert set(zip(evaluated["task"], evaluated["model"])) == {(p.task, p.name) for p in peers}
    assert set(board["verification"]) == {"evaluated", "own run"}
    checks = pd.read_csv(PEERS / "checks.csv", float_precision="round_trip")
    page = (ROOT / "docs" / "peers.md").read_text(encoding="utf-8")
    assert board_markdown(board) in page and checks_markdown(checks) in page
    known = checks[checks["quantity"].isin(["elbo", "log_likelihood"])]
    # Nats: of 1,700 for a flow, some of whose test images have heavy tails.
    assert len(known) == 9 and (known["difference"].abs() < 2).all()
    assert (known[known["quantity"] == "log_likelihood"]["difference"].abs() < 0.05).all()
    # Rescored from what is kept, without weights.
    again = csv_text(rescored(PEERS / "equal-budget", 1))
    assert again == (PEERS / "leaderboard.csv").read_text(encoding="utf-8")


def test_the_codecs_of_the_docs_are_those_of_the_csv():
    table = pd.read_csv(PUBLISHED / "codecs" / "codecs.csv")
    table = table[table["headers"] == "without"].set_index(["task", "layout", "codec"])
    names = ["PNG", "JPEG XL lossless", "WebP lossless", "deflate", "LZMA"]
    tasks = {"MNIST": "mnist-256", "Fashion-MNIST": "fashion-256"}
    layouts = {"each image": "images", "one strip": "strip"}
    rows = re.findall(
        r"^\| (MNIST|Fashion-MNIST), (each image|one strip) \| (.*) \|$", PAGES["codecs"], re.M
    )
    assert len(rows) == 4
    for task, layout, cells in rows:
        bits = [table.loc[(tasks[task], layouts[layout], name), "bits_per_dim"] for name in names]
        assert cells.split(" | ") == [f"{value:.3f}" for value in bits]


def test_the_rates_of_the_page_on_bits_back_are_those_of_the_csv():
    """And each is that of the message in the table of all codecs."""
    table = pd.read_csv(PUBLISHED / "codecs" / "bits_back.csv")
    codecs = pd.read_csv(PUBLISHED / "codecs" / "codecs.csv")
    bare = codecs[(codecs["headers"] == "without") & (codecs["layout"] != "images")]
    bare = bare.set_index(["task", "codec"])["bits_per_dim"]
    page = (ROOT / "docs" / "bits-back.md").read_text()
    rows = re.findall(r"^\| ((?:MNIST|Fashion), .*?) \| (.*\|.*\|.*) \|$", page, re.M)
    whole = table[table["n"] == 10_000]
    names = {"MNIST": "mnist", "Fashion": "fashion", "binary": "dynamic", "256 levels": "256"}
    shown = []
    for name, cells in rows[: len(whole)]:
        images, levels, *prior = name.split(", ")
        task = f"{names[images]}-{names[levels]}"
        model = "gated_vamp_vae" if prior else "gated_vae"
        row = whole[(whole["task"] == task) & (whole["model"] == model)].iloc[0]
        numbers = row["bits_per_dim"], row["bits_per_dim_with_start_up"], row["elbo_bits_per_dim"]
        above = f"{row['bits_above_elbo']:+.4f} ± {row['bits_above_elbo_stderr']:.4f}"
        expected = [f"{value:.4f}" for value in numbers] + [above.replace("-", "−")]
        expected.append(f"{row['importance_bits_per_dim']:.4f}")
        others = ("PNG", "WebP lossless", "JPEG XL lossless", "LZMA")
        expected += [f"{bare[task, codec]:.3f}" for codec in others]
        assert cells.split(" | ") == expected
        assert abs(bare[task, f"bits back, {model}"] - row["bits_per_dim"]) < 1e-5
        shown.append((task, model))
    assert len(set(shown)) == len(whole) > 0


def test_released_checkpoints_are_of_published_runs():
    paths = [path for sweep in SWEEPS for path in sorted(sweep.glob("checkpoints/*.ckpt"))]
    for sums in {path.parent / "SHA256SUMS" for path in paths}:
        hashes = dict(reversed(line.split()) for line in sums.read_text().splitlines())
        for path in sums.parent.glob("*.ckpt"):
            assert hashlib.sha256(path.read_bytes()).hexdigest() == hashes[path.name]
    assert paths
    for path in paths:
        assert key_of(validate(read_checkpoint(path)["bench"]["config"])) == path.stem
        assert (path.parents[1] / "runs" / path.stem / "record.json").is_file()


@needs_git
def test_the_repository_stays_small():
    """The rule of results/README.md: every clone pays for it, and so does every GPU that it travels to."""
    tracked = [ROOT / name for name in git("ls-files")]
    assert sum(path.stat().st_size for path in tracked if path.is_file()) < 30e6


@needs_git
def test_no_published_picture_is_kept_that_no_record_names():
    for folder in {(ROOT / name).parent for name in FILES if "/runs/images/" in name}:
        named = {
            value.removeprefix("sha256:")
            for path in folder.parent.glob("*/record.json")
            for value in json.loads(path.read_text())["images"].values()
        }
        assert named == {path.stem for path in folder.iterdir()}


@needs_git
def test_every_sweep_with_a_data_package_is_held_against_it():
    found = {ROOT / name for name in FILES if name.endswith("/datapackage.json")}
    assert found == {sweep / "datapackage.json" for sweep in SWEEPS}


@needs_git
def test_what_readers_make_leaves_their_clone_clean():
    """Else their next pull conflicts with what was published since."""
    published = [name.removeprefix("results/published/") for name in FILES if "/published/" in name]
    assert {name.partition("/")[0] for name in published} == {
        "calibration",
        "codecs",
        "default",
        "faults",
        "perf",
    }
    made = [f"results/{name}" for name in published]
    for run in ("default/runs/key", "default/claims/runs/key", "train/runs/key"):
        made += [f"results/{run}/{name}" for name in ("record.json", "best.ckpt", "log.txt")]
    for name in ("status.json", ".driver.lock", "claims/measurements/key.json", "wandb-sweep.yaml"):
        made.append(f"results/default/{name}")
    made += ["results/train/page.html", "results/own-sweep/leaderboard.csv"]
    # `make publish` leaves nothing untracked either.
    made += ["results/published/README.md", "results/published/default/runs/key/record.json"]
    made += ["results/published/default/claims/measurements/key.json"]
    ignored = git("check-ignore", "--no-index", "--stdin", given="\n".join(made))
    assert set(made) == set(ignored)
    assert not set(made) & set(FILES)
    assert not git("ls-files", "--cached", "--ignored", "--exclude-standard", "results")


@pytest.mark.skipif(not shutil.which("make"), reason="no make")
def test_only_publishing_rewrites_tracked_pages_and_tables():
    def commands(*targets: str) -> list[str]:
        """Return the calls of `bench` that these targets would make."""
        environment = {name: text for name, text in os.environ.items() if "MAKE" not in name}
        words = ["make", "--dry-run", *targets]
        done = subprocess.run(
            words, cwd=ROOT, env=environment, capture_output=True, text=True, check=True
        )
        return [line for line in done.stdout.splitlines() if "/bench " in line]

    measured = ["sweep", "report", "claims", "calibrate", "codecs", "perf"]
    for line in (own := commands(*measured)):
        assert f"{line} ".count(" --results results ") == 1 and ".md" not in line
    public = commands("publish", "publish-instruments")
    assert len(own) == len(public) == len(measured)
    assert all(" --results results/published " in f"{line} " for line in public)
    assert sum("--readme README.md" in line for line in public) == 2
    assert sum("--page docs/perf.md" in line for line in public) == 1
    assert "results/published/default/leaderboard.csv" in commands("verify")[0]
    assert "results/mnist/leaderboard.csv" in commands("verify", "SWEEP=mnist")[0]
