"""What people see and click in the Dagster UI, in a real browser."""

from __future__ import annotations

from collections.abc import Iterator

import pyarrow.parquet as pq
import pytest
from playwright.sync_api import Page, expect

from tests.defs.flushing import hourly, published, run_config
from tests.live import scene
from tests.live.instance import LiveInstance
from tests.live.pages import AssetPage, Launchpad, browser_page
from tests.services.require import require_command
from timestore_pipeline.defs.checks import AUDITED, WATCHED

PLOTTED = ("rows", "bytes", "files", "file_bytes", "duration_seconds", "freshness_lag_seconds")

pytestmark = [pytest.mark.slow, pytest.mark.service, pytest.mark.timeout(1200)]


@pytest.fixture(scope="module")
def browser() -> Iterator[Page]:
    require_command("chromium", remedy="apt-get install chromium")
    with browser_page() as opened:
        yield opened


@pytest.fixture
def page(live: LiveInstance, request: pytest.FixtureRequest) -> Page:
    """Opened after the deployment: beside a browser's event loop Dagster could not end those of the scene's runs."""
    opened: Page = request.getfixturevalue("browser")
    return opened


def flushing(dataset: str, overrides: str) -> str:
    """As people write it into the launchpad."""
    return f"ops: {{claim_backlogs: {{config: {{flushes: [{{dataset: {dataset}, overrides: {overrides}}}]}}}}}}"


def test_the_numbers_of_the_flushes_are_plotted_on_the_assets_page(live: LiveInstance, page: Page) -> None:
    asset = AssetPage(page, live.url, scene.DATASET)
    asset.plots()
    for label in PLOTTED:
        expect(asset.plot(label)).to_be_visible()


def test_a_check_that_fails_says_why(live: LiveInstance, page: Page) -> None:
    AssetPage(page, live.url, scene.DATASET).check("fresh", "the age limit is 1 s: flushes are paused")
    expect(page.get_by_text("Failed", exact=True).first).to_be_visible()


def test_a_flush_that_is_launched_by_hand_is_published_as_its_overrides_say(live: LiveInstance, page: Page) -> None:
    live.stage("by_hand", hourly(5_000).drop_columns(["ts"]))
    launchpad = Launchpad(page, live.url, "partition_build")
    launchpad.open()
    launchpad.paste(flushing("by_hand", "{compression: gzip, row_group_size: 2048}"))
    run = launchpad.launch()
    run.wait_for("Success")
    expect(run.op("finalize_flushes")).to_be_visible()
    assert published(live.timestore, "by_hand") == [*range(5_000)]
    assert live.flushes("by_hand")[0].run_id == run.run_id
    table = live.timestore.lake.table("by_hand")
    [file] = table.to_arrow_dataset().files
    written = pq.read_metadata(f"{table.uri}/{file}")
    assert (written.num_row_groups, written.row_group(0).column(0).compression) == (3, "GZIP")


def test_wrong_overrides_are_explained_in_the_launchpad_and_cannot_be_launched(live: LiveInstance, page: Page) -> None:
    launchpad = Launchpad(page, live.url, "partition_build")
    launchpad.open()
    launchpad.paste(flushing("by_hand", "{compression: rar}"))
    expect(page.get_by_text("overrides:compression not in enum type")).to_be_visible()
    expect(launchpad.button).to_be_disabled()


def test_overrides_out_of_range_are_explained_on_the_runs_page_and_nothing_is_claimed(
    live: LiveInstance, page: Page
) -> None:
    live.stage("untouched", hourly(3))
    launchpad = Launchpad(page, live.url, "partition_build")
    launchpad.open()
    launchpad.paste(flushing("untouched", "{row_group_size: 10}"))
    launchpad.launch().wait_for("Failure")
    expect(page.get_by_text("greater than or equal to 2048").first).to_be_visible()
    assert (live.backlog("untouched").pending.rows, live.flushes("untouched")) == (3, [])


def test_a_run_is_terminated_with_two_clicks(live: LiveInstance, page: Page) -> None:
    live.stage("stopped", hourly(3))
    launchpad = Launchpad(page, live.url, "partition_build")
    launchpad.open()
    launchpad.paste(flushing("stopped", "{}"))
    with live.held("export_partitions") as wait_until_there:
        run = launchpad.launch()
        wait_until_there()
        run.terminate()
        run.wait_for("Canceled")
    assert (live.backlog("stopped").pending.rows, live.backlog("stopped").in_flight.rows) == (3, 0)


def test_materialize_on_a_datasets_page_flushes_it_although_it_is_paused(live: LiveInstance, page: Page) -> None:
    before = live.flushes(scene.DATASET)[0].epoch
    AssetPage(page, live.url, scene.DATASET).materialize()
    flush = live.published(scene.DATASET, before + 1)
    assert flush.volume.rows == scene.WAITING
    assert live.backlog(scene.DATASET).pending.rows == 0


def test_the_checks_of_a_dataset_are_green_or_red_after_a_flush(live: LiveInstance, page: Page) -> None:
    """Comes last: it publishes what others look at."""
    live.stage(scene.DATASET, scene.hours(300, 3))
    assert live.ended(live.api.launch("partition_build", run_config(scene.DATASET))) == "SUCCESS"
    checks = live.api.checks(scene.DATASET)
    assert set(checks) == {*WATCHED, *AUDITED}
    assert set(checks.values()) <= {"SUCCEEDED", "FAILED"}
    assert checks["verified"] == "SUCCEEDED"
    AssetPage(page, live.url, scene.DATASET).open("checks", checkDetail="verified")
    expect(page.get_by_text("Passed", exact=True).first).to_be_visible()
