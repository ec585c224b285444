"""The pages of the Dagster UI as objects: what people see and click there, for tests and `scripts/screenshots.py`."""

from __future__ import annotations

import re
import shutil
from collections.abc import Iterator
from contextlib import contextmanager
from typing import Literal

from playwright.sync_api import Locator, Page, expect, sync_playwright

from tests.live.graphql import LOCATION

PATIENCE = 120_000.0  # milliseconds for anything to appear on a busy machine
_WINDOW = (1280, 1000)  # pixels

Status = Literal["Success", "Failure", "Canceled"]


@contextmanager
def browser_page(width: int = _WINDOW[0], height: int = _WINDOW[1]) -> Iterator[Page]:
    """A page of the system's chromium; playwright brings none along."""
    with sync_playwright() as playwright:
        # Without a sandbox, because root has none, and the only server it talks to is ours.
        browser = playwright.chromium.launch(executable_path=shutil.which("chromium"), args=["--no-sandbox"])
        page = browser.new_page(viewport={"width": width, "height": height})
        page.set_default_timeout(PATIENCE)
        expect.set_options(timeout=PATIENCE)
        try:
            yield page
        finally:
            browser.close()


class AssetPage:
    """The asset of one dataset."""

    def __init__(self, page: Page, url: str, dataset: str) -> None:
        self.page = page
        self._address = f"{url}/assets/timestore/{dataset}"

    def open(self, view: str, **more: str) -> None:
        self.page.goto(f"{self._address}?view={view}" + "".join(f"&{name}={value}" for name, value in more.items()))

    def overview(self, description: str) -> None:
        """Returns once the asset is described and its latest numbers are there."""
        self.open("overview")
        expect(self.page.get_by_text(description).first).to_be_visible()
        expect(self.page.get_by_text("delta_version", exact=True)).to_be_visible()

    def plots(self) -> None:
        """The numbers of its flushes over time."""
        self.open("overview")
        self.page.get_by_role("button", name="Plots").click()
        self.page.get_by_role("button", name="Events").click()
        expect(self.page.locator("canvas").first).to_be_visible()

    def plot(self, label: str) -> Locator:
        """The drawing under that label."""
        return self.page.get_by_text(label, exact=True).locator("xpath=following::canvas[1]")

    def choose_latest(self) -> None:
        """In the dialog of *Materialize*, whose button says how many runs it would launch."""
        self.open("overview")
        self.page.get_by_role("button", name="Materialize").first.click()
        self.page.get_by_role("button", name="Latest", exact=True).click()
        expect(self.page.get_by_role("button", name="Launch 1 run")).to_be_enabled()

    def materialize(self) -> None:
        """Returns once the flush is asked for."""
        self.choose_latest()
        self.page.get_by_role("button", name="Launch 1 run").click()

    def check(self, name: str, said: str) -> None:
        """Returns once the check's page says that."""
        self.open("checks", checkDetail=name)
        expect(self.page.get_by_text(said).first).to_be_visible()


class Launchpad:
    """Where a job is launched by hand."""

    def __init__(self, page: Page, url: str, job: str) -> None:
        self.page = page
        self._address = f"{url}/locations/{LOCATION}/jobs/{job}/playground"
        self.button = page.get_by_role("button", name="Launch run")

    def open(self) -> None:
        """Returns once it can be typed into."""
        self.page.goto(self._address)
        expect(self.page.locator(".CodeMirror")).to_be_visible()
        expect(self.button).to_be_visible()

    def paste(self, configuration: str) -> None:
        """In place of what is there."""
        self.page.locator(".CodeMirror").click()
        self.page.keyboard.press("ControlOrMeta+a")
        self.page.keyboard.insert_text(configuration)

    def launch(self) -> RunPage:
        """Click, and be taken to the run."""
        expect(self.button).to_be_enabled()
        self.button.click()
        self.page.wait_for_url(re.compile(r"/runs/[0-9a-f-]{36}"))
        return RunPage(self.page)


class RunPage:
    """A run's page, which follows the run."""

    def __init__(self, page: Page) -> None:
        self.page = page

    @property
    def run_id(self) -> str:
        return self.page.url.rsplit("/", 1)[-1].partition("?")[0]

    def wait_for(self, status: Status) -> None:
        expect(self.page.get_by_text(status, exact=True).first).to_be_visible()

    def op(self, name: str) -> Locator:
        """The op's first line in the event list."""
        return self.page.get_by_text(name, exact=True).first

    def terminate(self) -> None:
        """Click, and confirm."""
        self.page.get_by_role("button", name="Terminate").click()
        self.page.get_by_role("dialog").get_by_role("button", name=re.compile("^Terminate")).click()
