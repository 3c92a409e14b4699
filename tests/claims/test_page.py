"""claims.html: complete, self-contained, and safe whatever records contain."""

import re

import matplotlib
import pandas as pd
import pytest

from bench.claims.catalogue import CLAIMS
from bench.claims.outcome import table_of
from bench.claims.page import mathml, write_page
from bench.claims.rows import Subject, at_most, equal

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
    assert '<tr class="fails">' in page and "✗ does not hold" in page
    assert page.count("not measured") >= 10


def test_missing_numbers_and_seeds_are_shown_as_such(page):
    section = page[page.index('id="claim-12"') :]
    assert ">all<" in section and ">–<" in section


def test_a_table_of_one_row_is_enough(tmp_path):
    table = table_of([equal(10, "s", Subject("t", "m", 1), 0.0, 0.0, 0.1).plain()])
    write_page(tmp_path / "page.html", "s", pd.DataFrame(table), {}, {}, [])
    assert "1 of 1 rows hold" in (tmp_path / "page.html").read_text()
