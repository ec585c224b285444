"""Guardrails: what they let in, what they count, what they refuse."""

from __future__ import annotations

from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor

import pytest

from tests.ingest.batches import counted
from timestore_pipeline.errors import DiskFull, GuardrailExceeded
from timestore_pipeline.ingest import admission
from timestore_pipeline.ingest.admission import Admission, DiskMeter, Tally
from timestore_pipeline.model.thresholds import GuardrailMode, Guardrails
from timestore_pipeline.staging.area import StagingArea
from timestore_pipeline.staging.directory import FilesystemSpace
from timestore_pipeline.system import clock

SOFT, HARD = GuardrailMode.SOFT, GuardrailMode.HARD
Admit = Callable[[int, int, GuardrailMode], Admission]


@pytest.fixture
def tally(area: StagingArea) -> Tally:
    area.ledger.datasets.ensure("d")
    area.ledger.datasets.ensure("e")
    return Tally(area.ledger.counters)


@pytest.fixture
def guarded(area: StagingArea, tally: Tally, monkeypatch: pytest.MonkeyPatch) -> Admit:
    """An admission with these limits per dataset and in all; disk use is measured once, at the start."""
    monkeypatch.setattr(admission, "_MEASURE_EVERY", float("inf"))
    return lambda dataset, total, mode: Admission(area, Guardrails(dataset, total, mode), tally)


def occupy(area: StagingArea, dataset: str, size: int) -> None:
    folder = area.directory.segment_folder(dataset)
    folder.mkdir(exist_ok=True)
    (folder / "some.duckdb").write_bytes(b"x" * size)


def test_a_meter_adds_to_what_it_measured(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(admission, "_MEASURE_EVERY", float("inf"))
    meter = DiskMeter(lambda: 100)
    assert meter.used() == 100
    meter.admit(10)
    meter.admit(5)
    assert meter.used() == 115
    meter.settle(10, written=True)
    meter.settle(5, written=False)
    assert meter.used() == 110


def test_a_measurement_that_takes_long_is_not_made_again_at_once(monkeypatch: pytest.MonkeyPatch) -> None:
    now = 0.0
    sizes = iter([100, 200])

    def measure() -> int:
        nonlocal now
        now += 1.0
        return next(sizes)

    monkeypatch.setattr(clock, "monotonic", lambda: now)
    meter = DiskMeter(measure)
    assert meter.used() == 100
    now += 19
    assert meter.used() == 100
    now += 1
    assert meter.used() == 200


def test_a_new_measurement_replaces_what_was_written_but_not_what_waits(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(admission, "_MEASURE_EVERY", 0.0)
    monkeypatch.setattr(admission, "_PAUSE_FACTOR", 0)
    sizes = iter([100, 200, 300])
    meter = DiskMeter(lambda: next(sizes))
    meter.admit(10)
    assert meter.used() == 110
    meter.settle(10, written=True)
    meter.admit(7)
    assert meter.used() == 207
    meter.settle(7, written=False)
    assert meter.used() == 300


def test_no_limit_is_never_reached(area: StagingArea, guarded: Admit) -> None:
    occupy(area, "d", 1000)
    guarded(0, 0, HARD).admit("d", 10**12)


def test_soft_warns_counts_and_lets_in(
    area: StagingArea, guarded: Admit, tally: Tally, caplog: pytest.LogCaptureFixture
) -> None:
    occupy(area, "d", 100)
    gate = guarded(100, 0, SOFT)
    for _ in range(3):
        gate.admit("d", 1)
    tally.write()
    assert counted(area, "guardrail_exceeded_total") == {"dataset_bytes": 3}
    assert counted(area, "dropped_batches_total") == {}
    assert caplog.text.count("TIMESTORE_STAGING_MAX_DATASET_BYTES=100") == 1


def test_hard_refuses_with_the_limit_and_counts_the_drop(area: StagingArea, guarded: Admit, tally: Tally) -> None:
    occupy(area, "d", 100)
    with pytest.raises(GuardrailExceeded, match=r"100 bytes staged .* TIMESTORE_STAGING_MAX_DATASET_BYTES=100") as no:
        guarded(100, 0, HARD).admit("d", 1)
    assert (no.value.guardrail, no.value.dataset) == ("dataset_bytes", "d")
    assert no.value.retry_after.total_seconds() > 0
    tally.write()
    assert counted(area, "guardrail_exceeded_total") == {"dataset_bytes": 1}
    assert counted(area, "dropped_batches_total") == {"dataset_bytes": 1}


def test_just_below_the_limit_a_batch_is_let_in_since_no_flush_is_forced(area: StagingArea, guarded: Admit) -> None:
    occupy(area, "d", 99)
    gate = guarded(100, 0, HARD)
    gate.admit("d", 50)
    with pytest.raises(GuardrailExceeded):
        gate.admit("d", 1)


def test_a_batch_larger_than_the_limit_is_told_to_be_smaller(guarded: Admit) -> None:
    with pytest.raises(GuardrailExceeded) as refused:
        guarded(100, 0, HARD).admit("d", 101)
    assert "send smaller batches" in refused.value.hint


def test_one_dataset_at_its_limit_leaves_the_others_alone(area: StagingArea, guarded: Admit) -> None:
    occupy(area, "d", 100)
    guarded(100, 0, HARD).admit("e", 50)


def test_the_total_guardrail_counts_all_datasets_and_the_ledger(
    area: StagingArea, guarded: Admit, tally: Tally
) -> None:
    occupy(area, "d", 100)
    limit = area.total_bytes()
    assert limit > 100
    with pytest.raises(GuardrailExceeded) as refused:
        guarded(0, limit, HARD).admit("e", 1)
    assert refused.value.guardrail == "total_bytes"
    tally.write()
    assert counted(area, "dropped_batches_total") == {"total_bytes": 1}


def test_a_refused_batch_takes_no_room_in_the_other_guardrail(area: StagingArea, guarded: Admit) -> None:
    gate = guarded(1000, area.total_bytes() + 50, HARD)
    gate.admit("d", 50)
    for _ in range(10):
        with pytest.raises(GuardrailExceeded) as refused:
            gate.admit("e", 200)
        assert refused.value.guardrail == "total_bytes"
    gate.settle("d", 50, written=False)
    gate.admit("e", 10)


def test_a_batch_that_was_not_staged_gives_its_bytes_back(guarded: Admit) -> None:
    gate = guarded(100, 0, HARD)
    for _ in range(20):
        gate.admit("d", 100)
        gate.settle("d", 100, written=False)
    gate.admit("d", 100)
    gate.settle("d", 100, written=True)
    with pytest.raises(GuardrailExceeded):
        gate.admit("d", 1)


@pytest.mark.parametrize("mode", GuardrailMode)
def test_the_last_of_the_disk_is_left_to_flushes(
    area: StagingArea, tally: Tally, monkeypatch: pytest.MonkeyPatch, mode: GuardrailMode
) -> None:
    monkeypatch.setattr(area.directory, "volume", lambda: FilesystemSpace(size=1000, available=300))
    gate = Admission(area, Guardrails(0, 0, mode, free_bytes=200), tally)
    gate.admit("d", 60)
    gate.admit("e", 41)
    with pytest.raises(DiskFull, match="is kept for flushes") as refused:
        gate.admit("d", 1)
    assert "TIMESTORE_STAGING_MIN_FREE_BYTES=200" in refused.value.hint
    tally.write()
    assert counted(area, "dropped_batches_total") == {"disk_full": 1}
    gate.settle("e", 41, written=False)
    gate.admit("d", 1000)  # just before, any batch is let in: no flush is forced yet


def test_a_small_disk_keeps_no_more_than_a_quarter_free() -> None:
    assert FilesystemSpace(size=1000, available=250).lacks(10**9) == 0
    assert FilesystemSpace(size=0, available=0).lacks(10**9) == 0  # it does not say


def test_producers_cannot_slip_past_together(guarded: Admit) -> None:
    gate = guarded(100, 0, HARD)

    def admitted() -> bool:
        try:
            gate.admit("d", 10)
        except GuardrailExceeded:
            return False
        return True

    with ThreadPoolExecutor(16) as pool:
        outcomes = [pool.submit(admitted) for _ in range(200)]
    assert sum(outcome.result() for outcome in outcomes) == 10
