"""The page in headless Chromium: where it is, and a page that notes what goes wrong in it."""

import shutil
from contextlib import contextmanager

from playwright.sync_api import expect, sync_playwright

from tests.conftest import patience

EXECUTABLE = next(
    filter(None, map(shutil.which, ("chromium", "chromium-browser", "google-chrome"))), None
)
UNDRAWN = "section:not([hidden]) .chart:not([hidden]):not([data-drawn])"
MISSING = "no chromium, chromium-browser or google-chrome on PATH"


class Seen:
    """A page, what its console said, and what it asked the network for."""

    def __init__(self, page):
        self.page, self.said, self.asked = page, [], []
        page.set_default_timeout(1000 * patience(30))
        expect.set_options(timeout=1000 * patience(10))
        page.on("console", lambda message: self.said.append(message.text))
        page.on("pageerror", lambda error: self.said.append(str(error)))
        page.on("request", lambda request: self.asked.append(request.url))

    def open(self, path, fragment=""):
        self.page.goto(f"{path.as_uri()}{fragment}")
        return self.page

    def scroll_through(self):
        """Bring every part of the page into view, as a reader would, and wait for its charts."""
        for place in self.page.locator(".board, .chart, .pictures, .latents, .runs").all():
            if place.is_visible():
                place.scroll_into_view_if_needed()
        waiting = self.page.locator(UNDRAWN)
        expect(waiting).to_have_count(0, timeout=1000 * patience(60))
        # What was drawn above may have pushed these out of view again.
        for runs in self.page.locator(".runs").all():
            if runs.is_visible():
                runs.scroll_into_view_if_needed()
                runs.locator("table").first.wait_for()


@contextmanager
def browser():
    with sync_playwright() as playwright:
        # Without its sandbox, which needs rights that a container does not give.
        chromium = playwright.chromium.launch(
            executable_path=EXECUTABLE, args=["--no-sandbox", "--disable-dev-shm-usage"]
        )
        yield chromium
        chromium.close()


# Visible elements outside charts that end beyond what contains them, or whose content is cut; and
# texts of charts that end beyond their chart.
CUT = """() => {
  const found = [], name = e => `${e.tagName}.${e.className} ${e.textContent.slice(0, 60)}`;
  for (const e of document.body.querySelectorAll("*")) {
    if (!e.checkVisibility() || e.closest("svg, math") && e.tagName !== "text") continue;
    const own = e.getBoundingClientRect(), around = (e.closest("svg") ?? e.parentElement).getBoundingClientRect();
    if (!own.width || e.closest("[data-scrolls]")) continue;
    if (own.right > around.right + 1.5 || own.left < around.left - 1.5) found.push(`beyond: ${name(e)}`);
    if (e.clientWidth && getComputedStyle(e).overflowX !== "visible" && e.scrollWidth > e.clientWidth + 1) found.push(`cut: ${name(e)}`);
  }
  if (document.documentElement.scrollWidth > innerWidth) found.push("the page is wider than the screen");
  return found;
}"""
# Visible texts whose contrast to what lies behind them is below 4.5, the AA of WCAG 2.2.
PALE = """() => {
  const canvas = document.createElement("canvas").getContext("2d", { willReadFrequently: true });
  const rgb = color => { canvas.clearRect(0, 0, 1, 1); canvas.fillStyle = color; canvas.fillRect(0, 0, 1, 1); return [...canvas.getImageData(0, 0, 1, 1).data]; };
  const light = ([r, g, b]) => [r, g, b].map(v => v / 255).map(v => v <= 0.04045 ? v / 12.92 : ((v + 0.055) / 1.055) ** 2.4)
    .reduce((sum, v, i) => sum + v * [0.2126, 0.7152, 0.0722][i], 0);
  const contrast = (a, b) => { const [low, high] = [light(rgb(a)), light(rgb(b))].sort((x, y) => x - y); return (high + 0.05) / (low + 0.05); };
  const behind = e => { for (; e; e = e.parentElement) { const c = getComputedStyle(e).backgroundColor; if (rgb(c)[3] > 250) return c; } return "white"; };
  const found = new Set(), walker = document.createTreeWalker(document.body, NodeFilter.SHOW_TEXT);
  while (walker.nextNode()) {
    const e = walker.currentNode.parentElement;
    if (!walker.currentNode.textContent.trim() || !e.checkVisibility() || e.closest("script, style")) continue;
    // Texts on bars have colours of their own.
    if (e.tagName === "text" && !e.closest(".role-axis, .role-legend")) continue;
    const style = getComputedStyle(e), color = e.tagName === "text" ? style.fill : style.color;
    if (contrast(color, behind(e)) < 4.5) found.add(`${e.tagName}.${e.className} ${e.textContent.slice(0, 40)}: ${color} on ${behind(e)}`);
  }
  const root = getComputedStyle(document.documentElement);
  for (let i = 0; i < 10; i++) {
    const color = root.getPropertyValue(`--m${i}`).trim();
    if (color && contrast(color, root.getPropertyValue("--page").trim()) < 4.5) found.add(`--m${i}`);
  }
  return [...found];
}"""
# A change of the screen's width is answered a frame or two later.
SETTLED = "new Promise(done => { let frames = 5; const next = () => frames-- ? requestAnimationFrame(next) : done(); next(); })"
REACHABLE = "a, button:not(:disabled), input, summary, .scroll"


def unreached(page):
    """Return how many visible links, buttons, fields and scrolling parts Tab does not reach."""
    wanted = f"[...document.querySelectorAll('{REACHABLE}')].filter(e => e.checkVisibility())"
    page.evaluate(SETTLED)
    page.evaluate(f"{wanted}.forEach(e => e.dataset.wanted = 1); scrollTo(0, 0)")
    page.evaluate("document.activeElement?.blur()")
    for _ in range(page.locator("[data-wanted]").count() + 3):
        page.keyboard.press("Tab")
        page.evaluate("delete document.activeElement.dataset.wanted")
    return page.locator("[data-wanted]").filter(visible=True).count()
