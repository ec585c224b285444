"""Rewrite docs/images: a dataset in the Dagster UI, from real flushes, in a headless Chromium.

Run from the repository: `.venv/bin/python scripts/screenshots.py`. Takes a minute; needs chromium on the PATH. The
deployment, what is in it and the pages are those of `tests/live`.
"""

from __future__ import annotations

import sys
import tempfile
from pathlib import Path

from playwright.sync_api import Page, expect

ROOT = Path(__file__).resolve().parents[1]
sys.path.insert(0, str(ROOT))

from tests.live import scene  # noqa: E402
from tests.live.instance import LiveInstance, live_instance  # noqa: E402
from tests.live.pages import AssetPage, Launchpad, browser_page  # noqa: E402

IMAGES = ROOT / "docs" / "images"
_WIDTH = 1_280  # pixels
_NAVIGATION = 240  # what Dagster's own navigation takes of them
_DESCRIBED = 608  # what stands above the plots; the overview has it
BY_HAND = f"""ops:
  claim_backlogs:
    config:
      flushes:
        - dataset: {scene.DATASET}
          overrides: {{compression: zstd, row_group_size: 122880}}
"""
REFUSED = BY_HAND.replace("zstd", "rar")


def main() -> None:
    """The launch comes last: it publishes what the failing check complains about."""
    with (
        tempfile.TemporaryDirectory() as folder,
        live_instance(Path(folder) / "timestore") as live,
        browser_page() as page,
    ):
        _asset(live, page)
        _materialize(live, page)
        _refusal(live, page)
        _launch(live, page)


def _asset(live: LiveInstance, page: Page) -> None:
    asset = AssetPage(page, live.url, scene.DATASET)
    asset.overview(scene.DESCRIPTION)
    _save(page, "asset.png")
    asset.open("partitions")
    _save(page, "asset-partitions.png")
    asset.plots()
    expect(asset.plot("rows")).to_be_visible()
    _save(page, "asset-plots.png", height=1_580, left=_NAVIGATION, top=_DESCRIBED, width=740)
    asset.check("fresh", "flushes are paused")
    _save(page, "failing-check.png", height=800)


def _materialize(live: LiveInstance, page: Page) -> None:
    """The dialog, as it is before the last click."""
    AssetPage(page, live.url, scene.DATASET).choose_latest()
    expect(page.get_by_text("Backfills all partitions in a single run")).to_be_visible()
    _save(page, "materialize.png", height=760)


def _refusal(live: LiveInstance, page: Page) -> None:
    launchpad = Launchpad(page, live.url, "partition_build")
    launchpad.open()
    launchpad.paste(REFUSED)
    expect(page.get_by_text("not in enum type")).to_be_visible()
    _save(page, "refused-launch.png", height=900)


def _launch(live: LiveInstance, page: Page) -> None:
    launchpad = Launchpad(page, live.url, "partition_build")
    launchpad.open()
    launchpad.paste(BY_HAND)
    expect(launchpad.button).to_be_enabled()
    _save(page, "manual-launch.png", height=900)
    run = launchpad.launch()
    run.wait_for("Success")
    _save(page, "manual-run.png", height=900)


def _save(page: Page, name: str, height: int = 1_000, left: int = 0, top: int = 0, width: int = _WIDTH) -> None:
    page.set_viewport_size({"width": _WIDTH, "height": height})
    page.wait_for_timeout(2_500)  # panels move in and plots draw themselves
    page.screenshot(path=IMAGES / name, clip={"x": left, "y": top, "width": width, "height": height - top})


if __name__ == "__main__":
    main()
