"""Every series that is documented moves when the thing it counts happens: no counter is written by a test."""

from __future__ import annotations

from collections.abc import Callable
from functools import partial
from itertools import product
from pathlib import Path

import pytest
from prometheus_client.parser import text_string_to_metric_families

from tests.monitoring.telemetry.conftest import readings
from tests.services.small_disk import fill, mounted
from timestore_pipeline.errors import (
    Conflict,
    Corrupted,
    DiskFull,
    GuardrailExceeded,
    QueueFull,
    RetryLater,
    TimestoreError,
)
from timestore_pipeline.ingest.manager import StagingManager
from timestore_pipeline.lake.table import LakeTable
from timestore_pipeline.maintain.dataset_maintenance import maintain
from timestore_pipeline.model.flush import RetryReason, Trigger
from timestore_pipeline.monitoring.telemetry import series
from timestore_pipeline.monitoring.telemetry.metrics import exposition
from timestore_pipeline.settings import Settings
from timestore_pipeline.wiring import Timestore

Sample = tuple[str, frozenset[tuple[str, str]]]  # name without the prefix, labels without dataset and shard

COMPACTION = {
    "compactions_total",
    "compacted_files_total",
    "compacted_rows_total",
    "compacted_bytes_total",
    "compaction_written_bytes_total",
    "compaction_seconds_total",
}

FAILURES: dict[RetryReason, Callable[[], BaseException]] = {
    RetryReason.INTERRUPTED: KeyboardInterrupt,
    RetryReason.DISK_FULL: lambda: DiskFull("no space left in the lake"),
    RetryReason.RETRY_LATER: lambda: RetryLater("the lake is away"),
    RetryReason.CORRUPTED: lambda: Corrupted("the file is not what was written"),
    RetryReason.CONFLICT: lambda: Conflict("the table has another column"),
    RetryReason.ERROR: lambda: ValueError("nobody foresaw this"),
}


def moved(store: Timestore) -> set[Sample]:
    """Samples above 0."""
    families = text_string_to_metric_families(exposition(store.area, store.settings))
    return {
        (sample.name.removeprefix(series.PREFIX), frozenset(sample.labels.items() - _where(sample.labels)))
        for family in families
        for sample in family.samples
        if sample.value > 0
    }


def _where(labels: dict[str, str]) -> set[tuple[str, str]]:
    return {(name, labels[name]) for name in ("dataset", "shard") if name in labels}


def declared(one: series.CounterSeries, part: str = "") -> set[Sample]:
    names = list(one.labels)
    every = product(*one.labels.values())
    return {(one.name + part, frozenset(zip(names, values, strict=True))) for values in every}


def test_flushes_move_everything_that_counts_flushes(
    settings: Settings, store: Timestore, monkeypatch: pytest.MonkeyPatch
) -> None:
    with store.staging() as staging:
        for number, trigger in enumerate(Trigger):
            staging.enqueue("weather", readings(3 + number))
            with monkeypatch.context() as broken:
                broken.setattr(LakeTable, "write", _failing(RetryLater("the lake is away")))
                with pytest.raises(RetryLater):
                    store.flush("weather", trigger, "test")
            assert store.flush("weather", trigger, "test") is not None
    wanted = declared(series.ACCEPTED_BATCHES) | declared(series.ACCEPTED_ROWS)
    for one in series.COUNTERS:
        wanted |= declared(one) if one.name.startswith("flush") else set()
    for part in ("_count", "_sum"):
        wanted |= declared(series.FLUSH_DURATION, part)
    assert wanted - moved(store) == set()


def _failing(error: BaseException) -> Callable[..., None]:
    def write(*_arguments: object, **_options: object) -> None:
        raise error

    return write


@pytest.mark.parametrize("reason", RetryReason)
def test_each_way_to_fail_moves_its_retry_counter(
    store: Timestore, reason: RetryReason, monkeypatch: pytest.MonkeyPatch
) -> None:
    error = FAILURES[reason]()
    monkeypatch.setattr(LakeTable, "write", _failing(error))
    with pytest.raises(type(error)):
        store.flush("weather", Trigger.MANUAL, "test")
    assert ("retried_batches_total", frozenset({("reason", reason.value)})) in moved(store)


def test_a_flush_whose_process_is_gone_counts_as_interrupted(store: Timestore, settings: Settings) -> None:
    with Timestore(settings) as other:
        assert other.pipeline.claim("weather", Trigger.MANUAL, "other").ref is not None
    assert store.flush("weather", Trigger.MANUAL, "test") is not None
    assert ("retried_batches_total", frozenset({("reason", "interrupted")})) in moved(store)


def stage_for_ever(staging: StagingManager, rows: int) -> None:
    while True:
        staging.enqueue("weather", readings(rows))


def submit_for_ever(staging: StagingManager) -> None:
    table = readings(100)
    while True:
        staging.submit("weather", table)


def limited(settings: Settings, **limits: object) -> Settings:
    base = {"home": settings.home, "shard": settings.shard, "staging_guardrail_mode": "hard"}
    return Settings.build(**(base | {"staging_flush_max_bytes": 10} | limits))


@pytest.mark.parametrize("guardrail", ["dataset_bytes", "total_bytes"])
def test_a_guardrail_moves_its_two_counters(settings: Settings, guardrail: str) -> None:
    with Timestore(limited(settings, **{f"staging_max_{guardrail}": 1_000, **_other(guardrail)})) as store:
        with store.staging() as staging, pytest.raises(GuardrailExceeded):
            stage_for_ever(staging, 1_000)
        label = {"dropped_batches_total": "reason", "guardrail_exceeded_total": "guardrail"}
        wanted = {(name, frozenset({(key, guardrail)})) for name, key in label.items()}
        assert wanted - moved(store) == set()


def _other(guardrail: str) -> dict[str, object]:
    return {"staging_max_dataset_bytes": 0} if guardrail == "total_bytes" else {}


def test_a_full_queue_moves_its_counter(settings: Settings) -> None:
    with Timestore(settings.model_copy(update={"staging_max_pending": 1})) as store:
        with store.staging() as staging, pytest.raises(QueueFull):
            submit_for_ever(staging)
        assert ("dropped_batches_total", frozenset({("reason", "queue_full")})) in moved(store)


def test_a_full_disk_moves_its_counter_as_soon_as_there_is_room_to_write_it(tmp_path: Path) -> None:
    with mounted(tmp_path / "disk", megabytes=8) as disk:
        settings = Settings.build(home=disk)
        with Timestore(settings) as store:
            with store.staging() as staging:
                staging.enqueue("weather", readings(10))
                filler = fill(disk)
                with pytest.raises(TimestoreError):
                    stage_for_ever(staging, 10_000)  # the first may still fit into what is allocated
                filler.unlink()
            assert ("dropped_batches_total", frozenset({("reason", "disk_full")})) in moved(store)


def test_a_compaction_moves_what_counts_its_cost_and_a_dry_run_moves_nothing(store: Timestore) -> None:
    with store.staging() as staging:
        for number in range(2):
            staging.enqueue("weather", readings(3 + number))
            assert store.flush("weather", Trigger.MANUAL, "test") is not None
    maintained = partial(maintain, store.area, store.lake, ["weather"])
    [planned] = maintained(store.maintain_options(min_files=2, dry_run=True))
    assert planned.compactions
    assert COMPACTION & {name for name, _ in moved(store)} == set()
    [done] = maintained(store.maintain_options(min_files=2))
    amounts = {one.series: one.value for one in store.area.ledger.counters.all() if one.series in COMPACTION}
    assert amounts.pop("compaction_seconds_total") > 0
    assert amounts == {
        "compactions_total": done.compactions,
        "compacted_files_total": done.compacted_files,
        "compacted_rows_total": done.compacted_rows,
        "compacted_bytes_total": done.compacted_bytes,
        "compaction_written_bytes_total": done.written_bytes,
    }
    assert COMPACTION - {name for name, _ in moved(store)} == set()


def test_every_counter_that_is_declared_is_moved_by_some_test() -> None:
    here = {"accepted_batches_total", "accepted_rows_total", "retried_batches_total", "dropped_batches_total"}
    here |= {"flush_batches_total", "flush_rows_total", "flushes_total", "guardrail_exceeded_total"}
    quarantine = {
        "quarantined_batches_total",
        "requeued_batches_total",
        "discarded_batches_total",
    }  # with its own tests
    assert {one.name for one in series.COUNTERS} == here | quarantine | COMPACTION
    assert set(FAILURES) == set(RetryReason)
