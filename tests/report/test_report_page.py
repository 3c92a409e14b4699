"""page.html without a browser: self-contained, escaped, and with the tables' own numbers."""

import base64
import gzip
import hashlib
import io
import json
import re
from html.parser import HTMLParser
from math import log

import pandas as pd
import pytest
from PIL import Image

from bench.records.manifest import write_manifest
from bench.records.record import write_record
from bench.report.page.data import MOST_POINTS, thinned
from bench.report.page.write import page_of
from bench.report.report import report
from tests.made_up import estimate, record

HOSTILE = "</script><script>document.title='owned'</script><img src=x onerror=alert(1)>&amp;'\""


def png(size=13):
    stream = io.BytesIO()
    Image.new("L", (size, size), 128).save(stream, "png")
    return base64.b64encode(stream.getvalue()).decode()


def full(model, seed, bits, task="digits-17"):
    """Return a made-up record that has everything that the page shows."""
    made = record(model, seed, bits)
    made["key"] = hashlib.sha256(f"{task} {model} {seed}".encode()).hexdigest()[:16]
    terms = {"mutual_information": 5.1, "marginal_kl": 3.9 + seed / 7, "kl": 9 + seed / 7}
    terms |= {"elbo": -40 * bits, "reconstruction": -40 * bits + terms["kl"]}
    for split, size in made["data"]["sizes"].items():
        own = terms | {"log_n": log(size)}
        made["metrics"][split] = made["metrics"][split] | {k: estimate(v) for k, v in own.items()}
    curve = [{"epoch": e, "train_elbo": -90 / e, "validation_elbo": -95 / e} for e in range(1, 30)]
    made |= {"task": task, "parameters": 1000 + seed, "history": curve, "best_epoch": 20}
    made["images"] = {"data": png(), "samples": png(), "reconstructions": png()}
    made["timing"] = {"fit_seconds": 3.5 + seed, "total_seconds": 5.0}
    made["config"] = {"trainer": {"beta": 1.0, "name": HOSTILE}, "seed": seed}
    made["environment"] = {"commit": "c0ffee", "dirty": False, "cpu": HOSTILE}
    return made


def write_sweep(folder, records):
    for made in records:
        write_record(folder / "runs", made)
    write_manifest(folder, [made["key"] for made in records])
    report(folder)
    return folder / "page.html"


def made_up_sweep():
    records = [full(model, seed, 2.0 + n / 3 + seed / 37) for n, model in enumerate(("a-vae", "flow", HOSTILE)) for seed in (1, 2, 3)]  # fmt: skip
    records += [full("a-vae", seed, 0.5 + seed / 11, task="digits-binary") for seed in (1, 2)]
    for made in records[6:9]:
        del made["config"]["trainer"]["name"]
    failed = record("flow", 4, 0.0, status="failed")
    failed |= {"reason": HOSTILE, "key": "f" * 16, "config": full("flow", 4, 0.0)["config"]}
    return [*records, failed]


@pytest.fixture(scope="module")
def page(tmp_path_factory):
    return write_sweep(tmp_path_factory.mktemp("page") / "sweep", made_up_sweep())


class Reader(HTMLParser):
    def __init__(self):
        super().__init__()
        self.addresses, self.scripts, self.attributes, self.open = [], [], set(), None

    def handle_starttag(self, tag, attributes):
        self.addresses += [v for k, v in attributes if k in ("src", "href", "srcset", "action")]
        self.attributes |= {name for name, _ in attributes}
        self.open = dict(attributes) if tag == "script" else None

    def handle_data(self, data):
        if self.open is not None:
            self.scripts.append((self.open, data))

    def handle_endtag(self, tag):
        self.open = None


def read(page):
    reader = Reader()
    reader.feed(page.read_text())
    return reader


def data_of(page, name):
    return next(json.loads(text) for own, text in read(page).scripts if own.get("id") == name)


def test_nothing_is_fetched_from_anywhere(page):
    reader = read(page)
    assert reader.addresses and all(a.startswith(("#", "data:")) for a in reader.addresses)
    policy = re.search(r'http-equiv="Content-Security-Policy" content="([^"]*)"', page.read_text())
    assert policy.group(1).startswith("default-src 'none'; img-src data:;")
    assert "unsafe-eval" not in policy.group(1) and "http" not in policy.group(1)
    assert not re.search(r"@import|url\(", page.read_text().split("</style>")[0])


def test_hostile_text_is_data_and_never_markup(page):
    reader = read(page)
    plain = [text for own, text in reader.scripts if "type" not in own]
    # A script of our own and, packed, Vega; the policy runs these two alone.
    assert len(plain) == 1 and "owned" not in plain[0]
    assert page.read_text().count("'sha256-") == 2
    assert not any(name.startswith("on") for name in reader.attributes)
    assert HOSTILE in data_of(page, "rest-0")["runs"]["model"]
    assert HOSTILE in data_of(page, "rest-0")["runs"]["reason"]


def test_missing_runs_are_named_above_all(page):
    head, missing = page.read_text().split("</header>")[0], "1 of 2 runs are missing: <b>"
    assert "missing" not in head.split("<body>")[1]
    head = page_of("s", [], pd.DataFrame(), [], missing).split("</header>")[0]
    assert "<strong>1 of 2 runs are missing: &lt;b&gt;</strong>" in head


def test_the_scripts_are_those_that_the_policy_allows(page):
    for own, text in read(page).scripts:
        if own.get("id") == "vega":
            text = gzip.decompress(base64.b64decode(text)).decode()
        if "type" not in own or own.get("id") == "vega":
            digest = base64.b64encode(hashlib.sha256(text.encode()).digest()).decode()
            assert f"'sha256-{digest}'" in page.read_text()


def test_long_curves_are_thinned_and_keep_their_end():
    points = list(range(1, 1001))
    kept = thinned(points)
    assert len(kept) <= MOST_POINTS and kept[-1] == 1000 and kept == sorted(kept)
    assert thinned(points[:30]) == points[:30] and thinned([]) == []


def test_a_picture_that_is_none_is_refused(tmp_path):
    from bench.errors import InputError

    made = full("a", 1, 2.0)
    made["images"]["samples"] = "no picture"
    with pytest.raises(InputError, match="is not a PNG"):
        write_sweep(tmp_path, [made])


def test_equal_texts_stand_in_the_page_once(page):
    runs = data_of(page, "rest-0")["runs"]
    assert len(runs["configs"]) == 2 and len(runs["config"]) == 10
    assert json.loads(runs["configs"][0]) == {"trainer": {"beta": 1.0, "name": HOSTILE}}
