"""Rewrite docs/images: the pages of a dataset in the Dagster UI, from real flushes, in a headless Chromium.

Run from the repository: `.venv/bin/python scripts/screenshots.py`. Takes a minute; needs chromium on the PATH.
"""

from __future__ import annotations

import os
import shutil
import sys
import tempfile
from datetime import UTC, datetime, timedelta
from pathlib import Path

import dagster as dg
import pyarrow as pa
from playwright.sync_api import Page, sync_playwright

ROOT = Path(__file__).resolve().parents[1]
sys.path.insert(0, str(ROOT))

from demo.processes import Children, free_port  # noqa: E402
from demo.waiting import wait_until  # noqa: E402
from tests.services.web import get  # noqa: E402
from timestore_pipeline import Settings, StagingManager  # noqa: E402
from timestore_pipeline.definitions import defs  # noqa: E402
from timestore_pipeline.wiring import Timestore  # noqa: E402

IMAGES = ROOT / "docs" / "images"
START = datetime(2026, 1, 1, tzinfo=UTC)
PATIENCE = 120.0  # seconds, on a busy machine
DESCRIPTION = "Hourly weather at New York's airports."


def main() -> None:
    """One temporary project folder, gone afterwards."""
    with tempfile.TemporaryDirectory() as folder:
        _prepare(Path(folder))
        _flush_a_few_times()
        _serve_and_photograph(Path(folder))


def _prepare(folder: Path) -> None:
    for name in ("dagster.yaml", "workspace.yaml"):
        shutil.copy(ROOT / name, folder)
    known = {"TIMESTORE_HOME": folder / "home", "DAGSTER_HOME": folder, "PYTHONPATH": ROOT}
    os.environ.update({name: str(value) for name, value in known.items()})
    os.environ["DAGSTER_DISABLE_TELEMETRY"] = "1"
    os.chdir(folder)


def _flush_a_few_times() -> None:
    """Four flushes with a day left out, a batch that waits too long, and a check that says so."""
    settings = Settings.from_env()
    with (
        StagingManager.open(settings) as staging,
        Timestore(settings) as timestore,
        dg.DagsterInstance.get() as instance,
    ):
        document = {"description": DESCRIPTION, "owners": ["team:meteorology"], "staging": {"flush": {"maxAgeMs": 1}}}
        timestore.set_metadata("weather", document)
        for first, count in ((0, 30), (30, 60), (120, 24), (150, 90)):
            staging.enqueue("weather", _hours(first, count))
            _launch("partition_build", instance, {"claim_backlogs": {"config": {"flushes": [{"dataset": "weather"}]}}})
        staging.enqueue("weather", _hours(240, 5))
        _launch("verify_lake", instance, {})
        _check(instance)


def _hours(first: int, count: int) -> pa.Table:
    instants = [START + timedelta(hours=hour) for hour in range(first, first + count)]
    return pa.table({"time_hour": pa.array(instants, pa.timestamp("us", "UTC")), "temp": [20.0] * count})


def _launch(job: str, instance: dg.DagsterInstance, ops: dict[str, object]) -> None:
    defs().resolve_job_def(job).execute_in_process({"ops": ops} if ops else None, instance=instance)


def _check(instance: dg.DagsterInstance) -> None:
    job = defs().resolve_implicit_global_asset_job_def()
    keys = {key for key in job.asset_layer.asset_graph.asset_check_keys if key.name in ("fresh", "quarantine_empty")}
    job.get_subset(asset_selection=set(), asset_check_selection=keys).execute_in_process(instance=instance)


def _serve_and_photograph(folder: Path) -> None:
    port = free_port()
    url = f"http://127.0.0.1:{port}"
    command = [sys.executable, "-m", "dagster_webserver", "-w", "workspace.yaml", "-h", "127.0.0.1", "-p", str(port)]
    with Children(folder / "logs-of-children", os.environ) as children, sync_playwright() as playwright:
        children.start("webserver", command, directory=folder)
        wait_until(lambda: _answers(url), "the web server", PATIENCE)
        browser = playwright.chromium.launch(executable_path=shutil.which("chromium"), args=["--no-sandbox"])
        page = browser.new_page(viewport={"width": 1440, "height": 1400})
        page.set_default_timeout(15_000)
        _photograph(page, url)
        browser.close()


def _photograph(page: Page, url: str) -> None:
    asset = f"{url}/assets/timestore/weather"
    IMAGES.mkdir(exist_ok=True)
    _shot(page, f"{asset}?view=overview", DESCRIPTION, "asset.png")
    _shot(page, f"{asset}?view=partitions", "Partitions", "asset-partitions.png")
    _shot(page, f"{asset}?view=checks&checkDetail=fresh", "fresh", "failing-check.png")
    _shot(page, f"{url}/locations/timestore_pipeline/jobs/partition_build/playground", "Launch run", "launchpad.png")


def _shot(page: Page, address: str, expected: str, name: str) -> None:
    page.goto(address)
    page.get_by_text(expected).first.wait_for()
    _save(page, name)


def _save(page: Page, name: str) -> None:
    page.wait_for_timeout(2_000)  # panels move in
    page.screenshot(path=IMAGES / name, full_page=True)


def _answers(url: str) -> bool:
    try:
        get(f"{url}/server_info")
    except OSError:
        return False
    return True


if __name__ == "__main__":
    main()
