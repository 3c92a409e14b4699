"""page.html in headless Chromium: it sorts, filters, opens runs, and asks no network."""

import shlex

import pandas as pd
import pytest
from playwright.sync_api import expect

from bench.configuration.parsing import parse_run
from bench.records.key import key_of
from bench.report.page.write import page_of
from tests.conftest import patience, small_config
from tests.report.chromium import (
    CUT,
    EXECUTABLE,
    MISSING,
    PALE,
    UNDRAWN,
    Seen,
    browser,
    unreached,
)
from tests.report.test_report_page import HOSTILE, full, made_up_sweep, write_sweep

pytestmark = pytest.mark.skipif(EXECUTABLE is None, reason=MISSING)
BOARD = "#task-digits-17 .board tbody tr"
RUNS = "#task-digits-17 .runs tbody tr"


@pytest.fixture(scope="module", autouse=True)
def no_figures():
    """Of a report, the page alone: the files of its figures take longer than all that it shows."""
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr("bench.report.plots.figures_of", lambda records: {})
        yield


@pytest.fixture(scope="module")
def chromium():
    with browser() as opened:
        yield opened


@pytest.fixture(scope="module")
def path(tmp_path_factory):
    return write_sweep(tmp_path_factory.mktemp("page") / "sweep", made_up_sweep())


@pytest.fixture(scope="module")
def one_page(chromium):
    page = chromium.new_page(viewport={"width": 1280, "height": 900})
    yield Seen(page)
    page.close()


@pytest.fixture
def seen(one_page):
    """Nothing yet."""
    one_page.page.goto("about:blank")
    one_page.said.clear(), one_page.asked.clear()
    return one_page


@pytest.fixture(scope="module")
def drawn(chromium, path, one_page):
    """The page with all that it draws, for what only looks at it."""
    page = chromium.new_page(viewport=one_page.page.viewport_size)
    seen = Seen(page)
    seen.open(path)
    seen.scroll_through()
    yield seen
    page.close()


def column(page, rows, number):
    """Return the texts of a column's cells, of whole rows."""
    texts = f"rows => rows.map(row => row.querySelectorAll('td')[{number}].innerText)"
    return page.locator(rows).evaluate_all(texts)


def test_everything_is_drawn_in_silence_and_without_a_network(drawn, path):
    seen, page = drawn, drawn.page
    assert seen.said == []
    assert [url for url in seen.asked if not url.startswith("data:")] == [path.as_uri()]
    # Two tasks of four charts, and training curves of three models and of one.
    assert page.locator(".chart svg, .chart canvas").count() == 2 * 4 + 3 + 1
    assert page.locator(".pictures img").count() > 0


def test_pictures_of_a_task_have_one_scale(drawn):
    page = drawn.page
    ratios = "[...document.querySelectorAll('#task-digits-17 .pictures img')].map(i => i.clientWidth / i.naturalWidth)"
    assert len(set(page.evaluate(ratios))) == 1


@pytest.mark.parametrize("width", [360, 768, 1280, 1920])
def test_nothing_is_cut_and_every_text_is_seen(drawn, width):
    page, board = drawn.page, drawn.page.locator(".board").first
    page.set_viewport_size({"width": width, "height": 900})
    page.wait_for_function("innerWidth === document.documentElement.clientWidth")
    for scheme in ("light", "dark"):
        page.emulate_media(color_scheme=scheme)
        page.evaluate("new Promise(requestAnimationFrame)")
        expect(page.locator(UNDRAWN)).to_have_count(0)
        assert page.evaluate(CUT) == []
        assert page.evaluate(PALE) == []
    folded = board.locator("thead th.folded").count()
    assert folded == 12 if width >= 1280 else 12 <= folded <= 16
    # The rest comes by a button: as blocks on a phone, else beside a name that stays in its place.
    board.locator(".fold").click()
    assert board.locator("th.folded, td.folded").count() == 0
    if width < 700:
        assert page.evaluate(CUT) == []
    else:
        scroll = board.locator(".scroll")
        name = scroll.locator("td.name").first
        scroll.evaluate("e => e.scrollLeft = 10000")
        assert name.bounding_box()["x"] >= scroll.bounding_box()["x"] - 1
        assert scroll.locator("td").nth(18).bounding_box()["x"] < width
    board.locator(".fold").click()
    assert board.locator("thead th.folded").count() == folded


def test_print_has_every_column(drawn):
    page = drawn.page
    page.set_viewport_size({"width": 718, "height": 1000})  # A4 without its margins
    page.emulate_media(media="print", color_scheme="light")
    cells = page.locator("#task-digits-17 :is(.board, .runs) tbody tr[data-position] td")
    assert cells.count() == 3 * 19 + 10 * 9
    assert cells.evaluate_all("cells => cells.every(cell => cell.checkVisibility())")
    assert page.evaluate(CUT) == []
    page.emulate_media(media="screen")
    page.set_viewport_size({"width": 1280, "height": 900})
    page.wait_for_function("innerWidth === 1280")


def test_the_keyboard_reaches_everything(drawn):
    assert unreached(drawn.page) == 0


def test_references_do_not_stretch_the_axis_of_two_trained_models(chromium, tmp_path):
    records = [full(name, 1, bits) for name, bits in (("a", 0.419), ("b", 0.422), ("independent_pixels", 0.6), ("uniform", 1.0))]  # fmt: skip
    page = chromium.new_page()
    Seen(page).open(write_sweep(tmp_path / "sweep", records))
    marks = page.locator(".board .interval")
    places = marks.locator(".mean").evaluate_all("e => e.map(each => parseFloat(each.style.left))")
    assert places == [0, 100] and marks.locator(".beyond").count() == 2
    page.close()


def test_a_model_keeps_its_colour(seen, path):
    page = seen.open(path)
    seen.scroll_through()
    swatches = "e => e.map(s => [s.parentElement.innerText, getComputedStyle(s).color])"
    colors = dict(page.locator("#task-digits-17 .board .swatch").evaluate_all(swatches))
    assert len(set(colors.values())) == 3
    dots = "#task-digits-17 [data-chart=seeds] .mark-symbol path"
    page.locator("#filter").fill("flow")
    page.locator("#task-digits-binary").wait_for(state="hidden")
    expect(page.locator(dots)).to_have_count(3)
    fill = page.locator(dots).first.evaluate("e => getComputedStyle(e).fill")
    assert fill == colors["flow"]
    assert dict(page.locator(".board .swatch").evaluate_all(swatches))["flow"] == fill
    page.locator("#filter").fill("binary a-vae")
    page.locator("#task-digits-17").wait_for(state="hidden")
    again = dict(page.locator("#task-digits-binary .board .swatch").evaluate_all(swatches))
    assert again == {"a-vae": colors["a-vae"]}


def test_what_is_far_off_does_not_stretch_the_axis_and_a_flow_is_explained(chromium, tmp_path):
    records = [full(name, 1, bits) for name, bits in (("a", 2.0), ("b", 2.1), ("c", 2.2), ("d", 2.3), ("uniform", 9.0))]  # fmt: skip
    for split in records[1]["metrics"].values():  # a flow
        del split["marginal_kl"]
    records[4]["bound"] = "exact"
    for split in records[4]["metrics"].values():  # no latent variable
        del split["marginal_kl"], split["mutual_information"]
        split["log_likelihood"]["samples"] = 0
    page = chromium.new_page()
    seen = Seen(page)
    seen.open(write_sweep(tmp_path / "sweep", records))
    seen.scroll_through()
    chart = page.locator("[data-chart=seeds]")
    texts = chart.locator("svg text").all_text_contents()
    assert "9.000 ▸" in texts and "The axis is broken" in chart.locator(".note").inner_text()
    ticks = [float(text) for text in texts if text.replace(".", "").isdigit()]
    assert ticks and max(ticks) < 2.5
    apart = page.locator("[data-chart=decomposition]")
    note = apart.locator(".note").inner_text()
    assert note.startswith("b cannot be taken apart") and "uniform has no latent variable" in note
    assert apart.locator(".mark-rect path").count() == 3 * 3 + 1
    assert "its marginal KL are infinite, and its mutual information is log n" in note
    assert {"80.00", "84.00"} <= set(apart.locator("svg text").all_text_contents())
    cells = page.locator(BOARD).last.locator("td").all_text_contents()
    assert cells.count("exact") == 2  # the bound, and K, which is 0 in the table
    page.close()


def test_a_click_and_the_keyboard_sort(seen, path):
    page = seen.open(path)
    head = page.locator("#task-digits-17 .board th").nth(2)
    assert column(page, BOARD, 0) == ["1", "2", "3"] and head.get_attribute("aria-sort") == "none"
    # At its very corner: the whole cell sorts.
    head.click(position={"x": 2, "y": 2})
    assert head.get_attribute("aria-sort") == "ascending"
    head.locator("button").focus()
    page.keyboard.press("Enter")
    assert head.get_attribute("aria-sort") == "descending"
    assert column(page, BOARD, 0) == ["3", "2", "1"]
    # Tab leads on to the next column, and its heading sorts as well.
    page.keyboard.press("Tab")
    page.keyboard.press("Space")
    assert page.locator("#task-digits-17 .board th").nth(3).get_attribute("aria-sort") != "none"
    assert head.get_attribute("aria-sort") == "none"


def test_what_has_no_value_stands_last_either_way(seen, path):
    page = seen.open(path)
    page.locator("#task-digits-17 .runs").scroll_into_view_if_needed()
    head = page.locator("#task-digits-17 .runs th").nth(4).locator("button")
    for _ in range(2):
        head.click()
        assert column(page, RUNS, 4)[-1] == "–" and column(page, RUNS, 3)[-1] == "failed"


def test_the_filter_leaves_tasks_and_models_that_match(seen, path):
    page = seen.open(path)
    page.locator("#filter").fill("digits-17 flow")
    page.locator("#task-digits-binary").wait_for(state="hidden")
    links = page.locator("nav[aria-label=Tasks] li").filter(visible=True)
    assert links.all_inner_texts() == ["digits-17"]
    assert column(page, BOARD, 1) == ["flow"]
    seen.scroll_through()
    assert set(column(page, RUNS, 1)) == {"flow"} and len(column(page, RUNS, 1)) == 4
    page.locator("#filter").fill("")
    page.locator("#task-digits-binary").wait_for(state="visible")
    assert links.count() == 2
    assert len(column(page, BOARD, 1)) == 3
    page.locator("#task-digits-17 .runs input").fill("flow seed=2")
    assert column(page, RUNS, 2) == ["2"]


def test_a_link_opens_its_run_and_its_task(seen, path):
    runs = pd.read_csv(path.parent / "runs.csv")
    key = runs.loc[runs["task"] == "digits-binary", "key"].iloc[-1]
    page = seen.open(path, f"#run-{key}")
    opened = page.locator("#task-digits-binary td.detail")
    assert opened.is_visible() and "bench train --config run.json" in opened.inner_text()
    assert '{"seed": 2, "trainer": {"beta": 1.0' in opened.inner_text()
    assert page.evaluate("document.activeElement.textContent").endswith(key)
    # And by a click on another link of the same page.
    page.evaluate(f"location.hash = 'run-{'f' * 16}'")
    failed = page.locator("#task-digits-17 td.detail")
    failed.wait_for()
    assert f"failed: {HOSTILE}" in failed.inner_text() and seen.said == []
    page.evaluate("location.hash = 'task-digits-17'")
    expect(page.locator("#task-digits-17 h2")).to_be_in_viewport()


def test_a_row_opens_and_closes_by_keyboard(seen, path):
    page = seen.open(path)
    page.locator("#task-digits-17 .runs").scroll_into_view_if_needed()
    first = page.locator(f"{RUNS} button").first
    first.focus()
    page.keyboard.press("Enter")
    assert page.locator("#task-digits-17 td.detail").count() == 1
    assert page.evaluate("location.hash").startswith("#run-")
    page.keyboard.press("Enter")
    assert page.locator("#task-digits-17 td.detail").count() == 0


def test_hostile_text_is_shown_as_text(drawn):
    page = drawn.page
    assert HOSTILE in column(page, BOARD, 1)
    assert page.title() == "sweep: leaderboards, charts and runs"
    assert page.locator("img[src=x]").count() == 0


def test_numbers_are_the_csvs(seen, path):
    page = seen.open(path, "#run-" + "f" * 16)
    board = pd.read_csv(path.parent / "leaderboard.csv", float_precision="round_trip")
    runs = pd.read_csv(path.parent / "runs.csv", float_precision="round_trip")
    own = board[board["task"] == "digits-17"]
    half = own["bits_per_dim"] - own["bits_per_dim_low"]
    shown = [f"{value:.3f} ± {error:.3f}" for value, error in zip(own["bits_per_dim"], half)]
    marks = ["*" if failed else "" for failed in own["failed"]]
    assert column(page, BOARD, 2) == [text + mark for text, mark in zip(shown, marks)]
    assert column(page, BOARD, 7) == [
        f"{low:.0f}" if low == high else f"{low:.0f}–{high:.0f}"
        for low, high in zip(own["rank_low"], own["rank_high"])
    ]
    ends = [own[f"bits_per_dim_to_best{end}"] for end in ("", "_low", "_high")]
    assert column(page, BOARD, 3) == [
        f"{'best' if high == 0 else 'behind'} by {abs(value):.3f} (at most {max(-low, high):.3f})"
        for value, low, high in zip(*ends)
    ]
    likelihoods = [float(text.partition(" ")[0]) for text in column(page, BOARD, 11)]
    assert likelihoods == [round(value, 2) for value in own["log_likelihood"]]
    for name, number in (
        ("elbo", 12),
        ("reconstruction", 13),
        ("mutual_information", 4),
        ("marginal_kl", 5),
    ):
        assert column(page, BOARD, number) == [f"{value:.2f}" for value in own[name]]
    test = runs[(runs["split"] == "test") & (runs["status"] == "ok")].set_index("key")
    for row in page.locator(RUNS).all():
        cells = row.locator("td").all_inner_texts()
        if len(cells) > 1 and cells[3] == "ok":
            expected = test.loc[cells[0].split()[-1]]
            assert cells[4] == f"{expected['bits_per_dim']:.4f}"
            assert cells[5] == f"{expected['elbo']:.2f}" and cells[2] == str(expected["seed"])
    key = test.index[0]
    page.evaluate(f"location.hash = 'run-{key}'")
    page.locator("table.estimates").wait_for()
    rows = page.locator("table.estimates tbody tr").all()
    assert len(rows) == 9 + 5  # with the diagnostics of L_K and an error of theirs
    for row in rows:
        name, value = row.locator("th").inner_text(), row.locator("td").first.inner_text()
        assert float(value) == test.loc[key, name]


def test_the_command_of_a_run_makes_its_configuration_again(chromium, tmp_path):
    evaluation = [f"--evaluation.importance_{part}" for part in ("samples=100", "data=300")]
    config = small_config("aggregate_vae", "digits-binary", "--seed=7", *evaluation)
    made = full("aggregate_vae", 7, 0.5) | {"config": config, "key": key_of(config)}
    page = chromium.new_page()
    seen = Seen(page)
    seen.open(write_sweep(tmp_path / "sweep", [made]), f"#run-{made['key']}")
    lines = page.locator("td.detail pre").first.inner_text().splitlines()
    assert lines[:2] == ["git checkout c0ffee", "make setup && source .venv/bin/activate"]
    assert lines[2] == "cat > run.json <<'END'" and seen.said == []
    assert lines[4:] == ["END", "bench train --config run.json"]
    (tmp_path / "run.json").write_text(lines[3])
    assert parse_run(["--config", str(tmp_path / "run.json")]) == config
    assert "--only 'task=digits-17 model=aggregate_vae seed=7'" in page.content()
    page.close()


def test_runs_of_code_that_is_no_commits_are_marked(chromium, tmp_path):
    clean, dirty, unknown = (full("a-vae", seed, 2.0) for seed in (1, 2, 3))
    dirty["environment"] |= {"dirty": True}
    unknown["environment"] |= {"commit": None, "dirty": None, "commit_unknown": HOSTILE}
    unknown["environment"] |= {"code_sha256": "d" * 64, "version": "0.1.0"}
    outside = full("flow", 1, 3.0)
    plugin = {"name": HOSTILE[:100], "version": "1.5", "sha256": "e" * 64}
    outside["config"] |= {"plugins": [plugin], "data": {"name": "mine", "pixels_sha256": "f" * 64}}
    records = [clean, dirty, unknown, outside]
    page = chromium.new_page()
    seen = Seen(page)
    seen.open(write_sweep(tmp_path / "sweep", records), f"#run-{dirty['key']}")
    detail = page.locator("td.detail").first
    assert "Dirty: the code was not that of this commit" in detail.inner_text()
    assert column(page, BOARD, 1) == ["a-vae dirty", "flow plugin"]
    status = column(page, f"{RUNS}[data-position]", 3)
    assert status == ["ok", "ok dirty", "ok", "ok"]
    page.evaluate(f"location.hash = 'run-{unknown['key']}'")
    page.get_by_text("The commit is unknown").wait_for()
    text = page.locator("td.detail", has_text="The commit is unknown").inner_text()
    assert "version 0.1.0" in text and "d" * 64 in text and "git checkout" not in text
    page.evaluate(f"location.hash = 'run-{outside['key']}'")
    detail = page.locator("td.detail", has_text="Parts of the model come from")
    detail.wait_for()
    text, command = detail.inner_text(), detail.locator("pre").first.inner_text().splitlines()[-1]
    assert "version 1.5" in text and "e" * 64 in text and "The images mine are not" in text
    given = shlex.split(command)
    assert given[4:] == ["--plugin", plugin["name"], "--data.path", "IMAGES"]
    assert seen.said == []
    page.close()


@pytest.mark.long
def test_ten_thousand_runs_stay_usable(chromium, tmp_path):
    from bench.report.reduce import leaderboard_table, slim

    records = [slim(full(f"m-{n % 500:03}", n, 2 + n / 9000)) for n in range(10_000)]
    text = page_of("many", records, leaderboard_table(records, "many"), [])
    (tmp_path / "page.html").write_text(text, encoding="utf-8")
    page = chromium.new_page(viewport={"width": 1280, "height": 900})
    seen = Seen(page)
    seen.open(tmp_path / "page.html")
    seen.scroll_through()
    assert page.locator(RUNS).count() == 50 and page.evaluate(CUT) == []
    # What a reader does takes no longer than a blink: milliseconds of the page's own work.
    took = page.evaluate("""() => [...document.querySelectorAll(".board th button, .runs th button")].map(button => {
        const start = performance.now(); button.click(); document.body.offsetHeight; return performance.now() - start;
    })""")
    assert len(took) == 19 + 9 and sorted(took)[-1] < 1000 * patience(1)
    page.locator(".runs input").fill("m-123 seed=9123")
    expect(page.locator(RUNS)).to_have_count(1)
    page.evaluate(f"location.hash = 'run-{records[-1]['key']}'")
    page.locator("td.detail").wait_for()
    assert seen.said == []
    page.close()


@pytest.mark.long
def test_of_many_models_only_a_page_is_in_the_document(chromium, tmp_path):
    records = [full(f"m-{n:02}", 1, 2 + n / 50) for n in range(60)]
    page = chromium.new_page()
    seen = Seen(page)
    seen.open(write_sweep(tmp_path / "sweep", records))
    seen.scroll_through()
    assert page.locator(BOARD).count() == 50 and page.locator(RUNS).count() == 50
    below = page.locator(".board .below")
    assert "60 rows, page 1 of 2" in below.inner_text()
    below.get_by_role("button", name="next").click()
    assert column(page, BOARD, 1) == [f"m-{n:02}" for n in range(50, 60)]
    # Curves of as many models as there is room for, which the figure says.
    assert page.locator(".chart[data-chart=curves] svg").count() == 12
    note = page.locator(".chart[data-chart=curves] .note").inner_text()
    assert note.startswith("The best 12 of 60 models are shown")
    # A run of the last page is reached by its link as well.
    page.evaluate(f"location.hash = 'run-{records[-1]['key']}'")
    page.locator("td.detail").wait_for()
    assert page.locator(".runs tr[data-position]").count() == 10 and seen.said == []
    page.close()
