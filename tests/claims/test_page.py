"""claims.html: complete, self-contained, and safe whatever records contain."""

import re

import matplotlib
import pandas as pd
import pytest

from bench.claims.catalogue import CLAIMS
from bench.claims.outcome import table_of
from bench.claims.page import mathml, means_over_seeds, texts_of, write_page
from bench.claims.rows import Subject, at_most, equal
from tests.report.chromium import CUT, EXECUTABLE, MISSING, PALE, browser, unreached

matplotlib.use("Agg")
HOSTILE = "<script>alert(1)</script>"


@pytest.fixture
def page(tmp_path):
    import matplotlib.pyplot as plt

    figure, axis = plt.subplots()
    axis.plot([0, 1])
    figure.savefig(tmp_path / "figure.png")
    plt.close(figure)
    rows = [
        equal(1, "left = right", Subject("task", HOSTILE, seed), 1.0, 1.0, 0.1).plain()
        for seed in (1, 2, 3)
    ]
    rows.append(at_most(12, "left ≤ right", Subject("task", "24 VAEs"), 2.0, 1.0).plain())
    figures = {1: [(tmp_path / "figure.png", f"caption {HOSTILE}")]}
    conclusions = {12: f"What is found. {HOSTILE}"}
    path = tmp_path / "claims.html"
    write_page(path, "sweep", table_of(rows), figures, conclusions, [])
    return path.read_text(encoding="utf-8")


def test_every_claim_has_its_section_and_its_formulas(page):
    assert list(CLAIMS) == list(range(1, 15))
    for number, claim in CLAIMS.items():
        assert f'id="claim-{number}"' in page and f'href="#claim-{number}"' in page
        assert claim.formulas and claim.source.startswith("lecture")
    assert page.count("<math") == sum(len(claim.formulas) for claim in CLAIMS.values())


@pytest.mark.parametrize("number", CLAIMS)
def test_formulas_are_converted_whole(number):
    for formula in CLAIMS[number].formulas:
        text = str(mathml(formula))
        assert "\\" not in re.sub(r"<annotation.*?</annotation>", "", text), text


def test_nothing_comes_from_the_network_and_nothing_in_records_runs(page):
    assert HOSTILE not in page and page.count("&lt;script&gt;") >= 4
    assert "<script" not in page
    for reference in re.findall(r'(?:src|href)="([^"]*)"', page):
        assert reference.startswith(("#", "data:image/png;base64,"))
    assert "@import" not in page and "url(" not in page


def test_what_does_not_hold_is_marked_and_stays(page):
    assert "3 of 4 rows hold" in page
    assert "0 of 2 claims hold everywhere" not in page and "1 of 2 claims hold everywhere" in page
    assert '<tr class="fails">' in page and "✗ does not hold" in page
    assert page.count("not measured") >= 10


def test_missing_numbers_and_seeds_are_shown_as_such(page):
    section = page[page.index('id="claim-12"') :]
    # No seed, and no standard error after a difference.
    assert ">all<" in section and "±" not in section


def test_a_table_of_one_row_is_enough(tmp_path):
    table = table_of([equal(10, "s", Subject("t", "m", 1), 0.0, 0.0, 0.1).plain()])
    write_page(tmp_path / "page.html", "s", pd.DataFrame(table), {}, {}, [])
    assert "1 of 1 rows hold" in (tmp_path / "page.html").read_text()


def test_numbers_have_the_digits_that_their_error_allows():
    row = {"left": -108.93473, "right": -102.38412, "difference": -6.55061, "tolerance": 0.91}
    assert texts_of(row | {"stderr": 0.1312}) == {
        "left": "-108.93", "right": "-102.38", "difference": "-6.55 ± 0.13", "tolerance": "0.91"
    }  # fmt: skip
    assert texts_of(row | {"stderr": None})["difference"] == "-6.55"
    # An identity: less than its tolerance shows, and an exact 0.
    exact = {"left": 21.225632, "right": 21.225632, "stderr": None, "tolerance": 0.0022}
    assert texts_of(exact | {"difference": -7.1e-15})["difference"] == "-7.1e-15"
    assert texts_of(exact | {"difference": 0.0})["difference"] == "0.0000"
    # Neither an error nor a tolerance: the seeds' spread, else three digits.
    free = {"left": 374.25, "right": 660.1, "difference": -285.85, "stderr": None, "tolerance": 0.0}
    assert texts_of(free, spread=24.0)["difference"] == "-286"
    assert (
        texts_of(free | {"left": 1.23456, "right": 0.0, "difference": 1.23456})["left"] == "1.235"
    )


def test_seeds_are_folded_into_means():
    rows = [equal(1, "s", Subject("t", "m", n), 1.0 + n, 1.0, 0.5, 0.3).plain() for n in (1, 2, 3)]
    [line] = means_over_seeds(table_of(rows))
    assert line["seed"] == 3 and line["verdict"] == "✗ 0 of 3"
    assert line["difference"] == "2.00 ± 0.17"  # 0.3 / sqrt(3)


@pytest.mark.skipif(EXECUTABLE is None, reason=MISSING)
def test_no_table_is_cut_and_the_keyboard_reaches_all(tmp_path):
    names = ("gaussian_vae decoder=DiscretizedLogistic leave_out_every=8", "realnvp")
    rows = [
        equal(n, "the long words of a statement " * 4, Subject("digits-binary", name, seed), -108.934, -102.384, 0.9, 0.13, unit="of the range of x").plain()
        for n in (2, 5) for name in names for seed in (1, 2, 3)
    ]  # fmt: skip
    path = tmp_path / "claims.html"
    write_page(path, "sweep", table_of(rows), {}, {2: "What is found. " * 9}, [])
    with browser() as chromium:
        page = chromium.new_page()
        page.goto(path.as_uri())
        page.evaluate("document.querySelectorAll('details').forEach(part => part.open = true)")
        for width in (360, 768, 1280, 1920):
            page.set_viewport_size({"width": width, "height": 900})
            for scheme in ("light", "dark"):
                page.emulate_media(color_scheme=scheme)
                assert page.evaluate(CUT) == [] and page.evaluate(PALE) == []
        assert unreached(page) == 0
        page.set_viewport_size({"width": 718, "height": 900})
        page.emulate_media(media="print")
        assert page.evaluate(CUT) == []
        first = page.locator("#claim-2 tbody tr").nth(1).locator("td").first
        assert first.inner_text().startswith("✗") and first.is_visible()
