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
