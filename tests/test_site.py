"""The site that `make docs` builds: whole, without a network, from the disk and from a server."""

import re
import subprocess
import sys
from functools import partial
from html.parser import HTMLParser
from http.server import SimpleHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path
from threading import Thread
from urllib.parse import unquote, urlsplit

import pytest

from tests.conftest import patience
from tests.report.chromium import EXECUTABLE, MISSING, Seen, browser
from tests.test_docs import DOCS, PAGES


class Links(HTMLParser):
    """The links, the sources and the anchors of a page."""

    def __init__(self, path: Path):
        super().__init__()
        self.links, self.loaded, self.anchors = [], [], set()
        self.feed(path.read_text(encoding="utf-8"))

    def handle_starttag(self, tag, attributes):
        given = dict(attributes)
        self.anchors |= {given[name] for name in ("id", "name") if given.get(name)}
        if tag == "a" and "href" in given:
            self.links.append(given["href"])
        if given.get("src"):
            self.loaded.append(given["src"])
        if tag == "link" and given.get("rel") in ("stylesheet", "preconnect", "preload"):
            self.loaded.append(given["href"])


@pytest.fixture(scope="module")
def site(tmp_path_factory) -> Path:
    pytest.importorskip("mkdocs")
    folder = tmp_path_factory.mktemp("site")
    config = DOCS / ".mkdocs" / "mkdocs.yml"
    done = subprocess.run(
        [sys.executable, "-m", "mkdocs", "build", "--strict", "-f", config, "-d", folder],
        capture_output=True,
        text=True,
        timeout=patience(120),
    )
    assert done.returncode == 0, done.stderr
    return folder


def test_every_internal_link_leads_somewhere(site):
    pages = {path: Links(path) for path in site.rglob("*.html")}
    assert len(pages) > len(PAGES)
    broken = []
    for path, page in pages.items():
        for link in page.links + page.loaded:
            parts = urlsplit(link)
            if parts.scheme or link.startswith("//") or path.name == "404.html":
                continue
            target = (path.parent / unquote(parts.path)).resolve() if parts.path else path
            target = target / "index.html" if target.is_dir() else target
            known = pages[target].anchors if target in pages else set()
            if not target.exists() or (parts.fragment and unquote(parts.fragment) not in known):
                if not (target in pages and parts.fragment in ("", "__skip")):
                    broken.append(f"{path.name}: {link}")
    assert not broken


def test_the_site_loads_nothing_from_elsewhere(site):
    for path in site.rglob("*.html"):
        elsewhere = [
            source
            for source in Links(path).loaded
            if urlsplit(source).scheme in ("http", "https") or source.startswith("//")
        ]
        assert not elsewhere, path.name
    for path in [*site.rglob("*.css"), *site.rglob("*.html")]:
        assert not re.search(r"(@import|url\()\s*['\"]?(https?:)?//", path.read_text()), path.name


def test_the_pages_of_results_are_in_the_menu_and_lead_back(site):
    for name in ("results/published/default/page.html", "results/published/default/claims.html"):
        assert f'<a href="{name}" class="md-nav__link">' in (site / "index.html").read_text("utf-8")
        assert "../../../index.html" in Links(site / name).links


def test_formulas_are_mathml(site):
    text = (DOCS / "lecture.md").read_text(encoding="utf-8")
    page = (site / "lecture.html").read_text(encoding="utf-8")
    blocks = text.count("$$") // 2
    assert page.count('class="formula"') == blocks > 10
    assert page.count('display="inline"') == text.replace("$$", "").count("$") // 2
    for path in site.glob("*.html"):
        assert "arithmatex" not in path.read_text(encoding="utf-8"), path.name


def test_the_notebook_is_a_page_with_its_outputs(site):
    page = (site / "evaluate-your-model.html").read_text(encoding="utf-8")
    assert "bits_per_dim" in page and "data:image/png;base64," in page


# Formulas that end beyond the text around them; tables scroll by themselves.
CUT_FORMULAS = """() => [...document.querySelectorAll("math, .formula")].filter(e => {
  const around = e.closest(".md-typeset__scrollwrap, .md-content__inner").getBoundingClientRect();
  const own = e.getBoundingClientRect();
  return e.scrollWidth > e.clientWidth + 1 || e.scrollHeight > e.clientHeight + 1 && e.matches(".formula")
    || !e.closest("table") && (own.left < around.left - 1 || own.right > around.right + 1);
}).map(e => e.textContent)"""

# The first element of each text in formulas.
MARK_TEXTS = """() => {
  const texts = new Set();
  for (const e of document.querySelectorAll("math :is(mi, mo, mn, mtext)")) {
    if (e.textContent.trim() && !texts.has(e.textContent)) e.dataset.first = 1;
    texts.add(e.textContent);
  }
  return texts.size;
}"""


class Quiet(SimpleHTTPRequestHandler):
    def log_message(self, *_):
        pass


@pytest.fixture(scope="module")
def addresses(site):
    """Where the site is on the disk, and where it is served."""
    handler = partial(Quiet, directory=str(site))
    with ThreadingHTTPServer(("127.0.0.1", 0), handler) as server:
        Thread(target=server.serve_forever, daemon=True).start()
        yield site.as_uri(), f"http://127.0.0.1:{server.server_port}"
        server.shutdown()


@pytest.fixture(scope="module")
def chromium():
    if EXECUTABLE is None:
        pytest.skip(MISSING)
    with browser() as started:
        yield started


def test_the_search_leads_to_a_page_from_the_disk_and_from_a_server(chromium, addresses):
    for address in addresses:
        seen = Seen(chromium.new_page(viewport={"width": 1280, "height": 900}))
        seen.page.goto(f"{address}/limits.html")
        seen.page.locator("input[name=query]").click()
        seen.page.keyboard.type("lecturers")
        seen.page.locator(".md-search-result__link[href*='/lecturers.html']").first.click()
        seen.page.wait_for_url(re.compile(f"{address}/lecturers.html.*"))
        assert seen.page.locator("h1").inner_text().startswith("For lecturers")
        elsewhere = [url for url in seen.asked if not url.startswith((address, "data:"))]
        assert not elsewhere and not seen.said
        seen.page.close()


def test_no_formula_is_cut_and_none_needs_a_font_of_the_machine(chromium, site):
    """At 360 pixels and on a screen, on every page that has formulas."""
    seen = Seen(chromium.new_page())
    fonts = seen.page.context.new_cdp_session(seen.page)
    pages = [path for path in site.glob("*.html") if 'class="formula"' in path.read_text()]
    assert len(pages) >= 5
    for path in pages:
        seen.open(path)
        seen.page.evaluate("document.fonts.ready")
        for width in (360, 1280):
            seen.page.set_viewport_size({"width": width, "height": 900})
            assert seen.page.evaluate(CUT_FORMULAS) == [], (path.name, width)
        assert seen.page.evaluate(MARK_TEXTS) > 5
        fonts.send("DOM.enable")
        fonts.send("CSS.enable")
        root = fonts.send("DOM.getDocument")["root"]["nodeId"]
        selected = {"nodeId": root, "selector": "[data-first]"}
        for node in fonts.send("DOM.querySelectorAll", selected)["nodeIds"]:
            used = fonts.send("CSS.getPlatformFontsForNode", {"nodeId": node})["fonts"]
            assert used and all(font["isCustomFont"] for font in used), (path.name, used)
    assert not seen.said
