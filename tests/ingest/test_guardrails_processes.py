"""Guardrails under several producing processes: what is refused, what is counted, how far the limit is passed."""

from __future__ import annotations

import os
import time
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field
from multiprocessing.queues import Queue
from multiprocessing.synchronize import Barrier
from pathlib import Path
from typing import Any

import pyarrow as pa
import pytest

from tests.flush.conftest import START, published
from tests.services.forked import FORKED, Forked
from timestore_pipeline.errors import GuardrailExceeded
from timestore_pipeline.ingest import admission
from timestore_pipeline.ingest.admission import Admission, Tally
from timestore_pipeline.ingest.manager import StagingManager
from timestore_pipeline.model.flush import Trigger
from timestore_pipeline.model.thresholds import GuardrailMode, Guardrails
from timestore_pipeline.settings import Settings
from timestore_pipeline.staging.area import StagingArea
from timestore_pipeline.wiring import Timestore

ROWS, WIDTH = 8, 16_384  # random bytes, which no file format makes smaller: a batch is as large on disk as in Arrow
LIMIT = {"dataset_bytes": 2_000_000, "total_bytes": 6_000_000}
VARIABLE = {
    "dataset_bytes": "TIMESTORE_STAGING_MAX_DATASET_BYTES",
    "total_bytes": "TIMESTORE_STAGING_MAX_TOTAL_BYTES",
}
REFUSALS = 6  # in a row, a pause between them: more than one measuring interval, so the last ones saw the disk
SOFT_BATCHES = 60  # of each process; those of one alone pass either limit


@dataclass
class Told:
    """What one process was told."""

    acknowledged: list[int] = field(default_factory=list)
    bytes: int = 0
    refused: list[tuple[str, str, str, float]] = field(default_factory=list)  # guardrail, message, hint, seconds


def batch(first: int) -> tuple[list[int], pa.Table]:
    numbers = list(range(first, first + ROWS))
    table = {
        "ts": pa.array([START] * ROWS, pa.timestamp("us", "UTC")),
        "n": numbers,
        "noise": [os.urandom(WIDTH) for _ in numbers],
    }
    return numbers, pa.table(table)


def _send(manager: StagingManager, dataset: str, first: int, told: Told) -> bool:
    numbers, table = batch(first)
    try:
        told.bytes += manager.enqueue(dataset, table).bytes
    except GuardrailExceeded as error:
        told.refused.append((error.guardrail, str(error), error.hint or "", error.retry_after.total_seconds()))
        time.sleep(0.1)  # a producer's pause; nothing depends on its length but the number of refusals
        return False
    told.acknowledged += numbers
    return True


def _until_refused(manager: StagingManager, dataset: str, first: int) -> Told:
    told, in_a_row = Told(), 0
    while in_a_row < REFUSALS:
        in_a_row = 0 if _send(manager, dataset, first, told) else in_a_row + 1
        first += ROWS
    return told


def _until_let_in(manager: StagingManager, dataset: str, first: int) -> Told:
    told, deadline = Told(), time.monotonic() + 60
    while not _send(manager, dataset, first, told) and time.monotonic() < deadline:
        pass
    return told


def _hard(barrier: Barrier, options: dict[str, Any], dataset: str, first: int, answers: Queue[Told]) -> None:
    with StagingManager.open(Settings.build(**options)) as manager:
        barrier.wait(60)
        answers.put(_until_refused(manager, dataset, first))
        barrier.wait(60)
        answers.put(_until_let_in(manager, dataset, first + 500_000))


def _soft(barrier: Barrier, options: dict[str, Any], dataset: str, first: int, answers: Queue[Told]) -> None:
    told = Told()
    with StagingManager.open(Settings.build(**options)) as manager:
        barrier.wait(60)
        for n in range(SOFT_BATCHES):
            _send(manager, dataset, first + n * ROWS, told)
    answers.put(told)


class Producers:
    """One process per name of a dataset."""

    def __init__(self, target: Any, options: dict[str, Any], datasets: str) -> None:
        self.barrier = FORKED.Barrier(len(datasets) + 1)
        self.answers: Queue[Told] = FORKED.Queue()
        self.children = [
            Forked(target, self.barrier, options, dataset, n * 1_000_000, self.answers)
            for n, dataset in enumerate(datasets)
        ]

    def go_on(self) -> list[Told]:
        self.barrier.wait(60)
        return self.told()

    def told(self) -> list[Told]:
        return [self.answers.get(timeout=120) for _ in self.children]

    def end(self) -> None:
        assert [child.wait() for child in self.children] == [0] * len(self.children)


@contextmanager
def producing(target: Any, options: dict[str, Any], datasets: str) -> Iterator[Producers]:
    producers = Producers(target, options, datasets)
    try:
        yield producers
    finally:
        for child in producers.children:  # gone already, unless the test has failed
            child.kill()
        producers.answers.close()
        producers.answers.join_thread()


def _options(home: Path, guardrail: str, mode: str) -> dict[str, Any]:
    return {
        "home": home,
        "staging_guardrail_mode": mode,
        "staging_flush_max_bytes": 1_000_000,
        "staging_max_dataset_bytes": 0,
        f"staging_max_{guardrail}": LIMIT[guardrail],
    }


def _on_disk(timestore: Timestore, guardrail: str) -> int:
    area = timestore.area
    return area.total_bytes() if guardrail == "total_bytes" else area.dataset_usage("d").total


def _assert_published_once(timestore: Timestore, datasets: str, told: list[Told]) -> None:
    for dataset in set(datasets):
        timestore.flush(dataset, Trigger.MANUAL, "last")
    rows = [n for dataset in set(datasets) for n in published(timestore, dataset)]
    assert sorted(rows) == sorted(n for one in told for n in one.acknowledged)


def _count(area: StagingArea, series: str) -> dict[str, float]:
    """Label value -> count, of all datasets."""
    found: dict[str, float] = {}
    for counter in area.ledger.counters.all():
        if counter.series == series:
            [label] = counter.labels.values()
            found[label] = found.get(label, 0) + counter.value
    return found


@pytest.mark.parametrize(("guardrail", "datasets"), [("dataset_bytes", "ddd"), ("total_bytes", "dde")])
def test_hard_refuses_all_processes_within_the_bound_and_a_flush_lets_them_in_again(
    tmp_path: Path, guardrail: str, datasets: str
) -> None:
    options = _options(tmp_path, guardrail, "hard")
    with Timestore(Settings.build(**options)) as timestore:
        with producing(_hard, options, datasets) as producers:
            full = producers.go_on()
            _assert_bounded(full, _on_disk(timestore, guardrail), guardrail)
            assert timestore.status("d").decision.trigger is Trigger.GUARDRAIL
            for dataset in set(datasets):  # any of them may hold most of it
                timestore.flush(dataset, Trigger.GUARDRAIL, "first")
            again = producers.go_on()
            producers.end()
        assert [len(one.acknowledged) for one in again] == [ROWS] * len(datasets)
        refused = [refusal for one in full + again for refusal in one.refused]
        _assert_typed(refused, guardrail)
        assert _count(timestore.area, "dropped_batches_total") == {guardrail: len(refused)}
        assert _count(timestore.area, "guardrail_exceeded_total") == {guardrail: len(refused)}
        _assert_published_once(timestore, datasets, full + again)


def _assert_bounded(full: list[Told], used: int, guardrail: str) -> None:
    """Each process may fill what it saw free, and one batch more; a tenth for what files take beside their rows."""
    limit, size = LIMIT[guardrail], ROWS * WIDTH
    assert limit <= used <= 1.1 * len(full) * (limit + size)
    assert all(one.bytes <= 1.1 * (limit + size) for one in full)


def _assert_typed(refused: list[tuple[str, str, str, float]], guardrail: str) -> None:
    assert {(label, seconds) for label, _, _, seconds in refused} == {(guardrail, 5.0)}
    assert all(f"{VARIABLE[guardrail]}={LIMIT[guardrail]}" in message for _, message, _, _ in refused)
    assert {hint for _, _, hint, _ in refused} == {f"retry after the forced flush, or raise {VARIABLE[guardrail]}"}


@pytest.mark.parametrize(("guardrail", "datasets"), [("dataset_bytes", "dd"), ("total_bytes", "de")])
def test_soft_refuses_nothing_counts_and_makes_the_datasets_due(tmp_path: Path, guardrail: str, datasets: str) -> None:
    options = _options(tmp_path, guardrail, "soft")
    with Timestore(Settings.build(**options)) as timestore:
        with producing(_soft, options, datasets) as producers:
            told = producers.go_on()
            producers.end()
        assert [len(one.acknowledged) for one in told] == [SOFT_BATCHES * ROWS] * len(datasets)
        assert _on_disk(timestore, guardrail) >= LIMIT[guardrail]
        assert {status.decision.trigger for status in timestore.statuses()} == {Trigger.GUARDRAIL}
        assert _count(timestore.area, "guardrail_exceeded_total").keys() == {guardrail}
        assert _count(timestore.area, "dropped_batches_total") == {}
        _assert_published_once(timestore, datasets, told)


@pytest.fixture
def two(area: StagingArea) -> list[Admission]:
    """Two processes' admissions to one directory, with 100 bytes for each dataset."""
    area.ledger.datasets.ensure("d")
    limits = Guardrails(100, 0, GuardrailMode.HARD)
    return [Admission(area, limits, Tally(area.ledger.counters)) for _ in range(2)]


def _stage(area: StagingArea, gate: Admission, size: int) -> int:
    """Let batches in until one is refused, each written to disk at once; returns their bytes."""
    staged = 0
    for _ in range(20):
        try:
            gate.admit("d", size)
        except GuardrailExceeded:
            return staged
        folder = area.directory.segment_folder("d")
        folder.mkdir(exist_ok=True)
        with (folder / "some.duckdb").open("ab") as file:
            file.write(b"x" * size)
        gate.settle("d", size, written=True)
        staged += size
    return staged


def test_between_two_measurements_each_process_fills_what_it_saw_free_and_one_batch_at_most(
    area: StagingArea, two: list[Admission], monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(admission, "_MEASURE_EVERY", float("inf"))
    for gate in two:
        gate.admit("d", 1)  # measured: both saw an empty directory
        gate.settle("d", 1, written=False)
    assert [_stage(area, gate, 30) for gate in two] == [120, 120]


def test_who_measures_sees_what_the_others_wrote(
    area: StagingArea, two: list[Admission], monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(admission, "_MEASURE_EVERY", 0.0)
    monkeypatch.setattr(admission, "_PAUSE_FACTOR", 0)
    assert [_stage(area, gate, 30) for gate in two] == [120, 0]
