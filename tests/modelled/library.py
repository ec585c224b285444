"""The library in a process of its own that can be killed in the middle of a step: `python -m tests.modelled.library`.

A warm parent reads one JSON order a line and forks a life, which opens the staging directory, does what it is told and
may be told to die at a named point of it. So a crash is a real one and costs a fork.
"""

from __future__ import annotations

import json
import os
import signal
import sys
from collections.abc import Sequence
from contextlib import suppress
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Any, NoReturn

import pyarrow as pa

from tests.flush.dying import POINTS
from tests.services.dying import arm
from timestore_pipeline import Settings
from timestore_pipeline.errors import AllSetAside, DiskFull, TimestoreError
from timestore_pipeline.ingest import group_commit, threads
from timestore_pipeline.lake.table import LakeTable
from timestore_pipeline.model.flush import FlushRef, Trigger
from timestore_pipeline.recovery.shard_recovery import recover
from timestore_pipeline.staging import quarantine, roll_up
from timestore_pipeline.staging.journal import Journal
from timestore_pipeline.staging.ledger.batches import Batches
from timestore_pipeline.staging.ledger.journals import Journals
from timestore_pipeline.wiring import Timestore

# A journal is closed by the rules alone: what the thread behind it does at its own time would move beside the evidence.
threads._IDLE = timedelta(hours=1)
group_commit._MOST_SECONDS = timedelta(hours=1).total_seconds()


# Points of a group commit and of a roll-up, beside those of a flush.
STAGING_POINTS: dict[str, tuple[Any, str]] = {
    "begin journal": (Journal, "__init__"),
    "append": (Journal, "append"),
    "promise": (Batches, "promise"),
    "write segment": (roll_up, "write_segment"),
    "move": (Journals, "move"),
    "forget journals": (Journals, "forget"),
}
_START = datetime(2026, 1, 1, tzinfo=UTC)


def rows(first: int, count: int, level: int) -> pa.Table:
    """Rows `first` .. `first + count - 1`, over two days, with `level` columns that came later."""
    numbers = list(range(first, first + count))
    at = [_START + timedelta(days=number % 2, seconds=number) for number in numbers]
    later = {f"later_{n}": pa.array(numbers, pa.int64()) for n in range(level)}
    return pa.table({"at": pa.array(at, pa.timestamp("us", "UTC")), "n": pa.array(numbers, pa.int64()), **later})


class Library:
    """One life. Every method is an order; its result is plain JSON."""

    def __init__(self, home: str, hard_limit: int) -> None:
        limits: dict[str, Any] = {"staging_max_dataset_bytes": hard_limit, "staging_guardrail_mode": "hard"}
        settings = Settings.build(home=home, staging_flush_max_bytes=0, **limits if hard_limit else {})
        self._store = Timestore(settings)
        self._staging = self._store.staging()

    def enqueue(self, dataset: str, key: str | None, first: int, count: int, level: int) -> list[Any]:
        receipt = self._staging.enqueue(dataset, rows(first, count, level), idempotency_key=key)
        return [receipt.batch_id, receipt.rows, receipt.duplicate]

    def enqueue_text(self, dataset: str) -> None:
        """A column that changes its type."""
        self._staging.enqueue(dataset, [{"at": _START, "n": "not a number"}])

    def claim(self, dataset: str) -> int | None:
        ref = self._store.pipeline.claim(dataset, Trigger.MANUAL, "model").ref
        return None if ref is None else ref.epoch

    def export(self, dataset: str, epoch: int) -> None:
        self._store.pipeline.export(FlushRef(dataset, epoch), self._store.export_options())

    def publish(self, dataset: str, epoch: int) -> int | None:
        return self._store.pipeline.publish(FlushRef(dataset, epoch))

    def finalize(self, dataset: str, epoch: int, version: int | None) -> str:
        return self._store.pipeline.finalize(FlushRef(dataset, epoch), version).state.value

    def flush(self, dataset: str) -> str | None:
        flush = self._store.flush(dataset, Trigger.MANUAL, "model")
        return None if flush is None else flush.state.value

    def flush_on_a_full_disk(self, dataset: str) -> None:
        """Every file fails. The model knows no sizes, so the next claim takes everything again."""

        def full(*_: Any, **__: Any) -> NoReturn:
            raise DiskFull("no space left for a file")

        real = LakeTable.write
        LakeTable.write = full  # type: ignore[method-assign]
        try:
            self._store.flush(dataset, Trigger.MANUAL, "model")
        finally:
            LakeTable.write = real  # type: ignore[method-assign]
            self._store.area.ledger.flush_failures.limit_claims(dataset, None)

    def recover(self) -> int:
        return len(recover(self._store.area, self._store.lake).settled)

    def lose_segments(self, dataset: str) -> bool:
        return self._lose(dataset, list(self._store.area.directory.segment_folder(dataset).glob("*.duckdb")))

    def lose_journals(self, dataset: str) -> bool:
        return self._lose(dataset, self._store.area.directory.journal_files())

    def _lose(self, dataset: str, files: Sequence[Path]) -> bool:
        """They are moved away, a flush of the dataset finds out, and they are put back, as an operator would.

        Whether anything was set aside.
        """
        for path in files:
            path.rename(path.with_suffix(".away"))
        with suppress(AllSetAside):
            self._store.flush(dataset, Trigger.MANUAL, "model")
        for path in files:
            path.with_suffix(".away").rename(path)
        return bool(self._store.area.ledger.incidents.all(dataset))

    def decide(self, dataset: str, decision: str) -> bool:
        """About all that was set aside."""
        incidents = self._store.area.ledger.incidents.all(dataset)
        for incident in incidents:
            getattr(quarantine, decision)(self._store.area, incident.incident_id)
        return bool(incidents)

    def remove_dataset(self, dataset: str) -> None:
        self._store.area.ledger.datasets.remove(dataset)

    def pause(self, dataset: str, paused: bool) -> None:
        self._store.area.ledger.datasets.set_paused(dataset, paused)

    def is_due(self, dataset: str) -> list[Any]:
        decision = self._store.status(dataset).decision
        return [decision.due, decision.reason]

    def close(self) -> None:
        self._staging.close()
        self._store.close()


class Keeper:
    """Holds one life at a time and speaks to it through pipes."""

    def __init__(self) -> None:
        self._pid = 0

    def open(self, home: str, hard_limit: int) -> Any:
        orders, self._orders = os.pipe()
        self._answers, answers = os.pipe()
        self._pid = os.fork()
        if self._pid == 0:
            os.close(self._orders)
            os.close(self._answers)
            _live(home, hard_limit, orders, answers)
        os.close(orders)
        os.close(answers)
        self._from = os.fdopen(self._answers)
        return json.loads(self._from.readline())

    def do(self, order: list[Any]) -> Any:
        """The life's answer, or that it died of it."""
        os.write(self._orders, json.dumps(order).encode() + b"\n")
        answer = self._from.readline()
        return json.loads(answer) if answer else self._bury()

    def crash(self) -> Any:
        os.kill(self._pid, signal.SIGKILL)
        return self._bury()

    def _bury(self) -> Any:
        _, status = os.waitpid(self._pid, 0)
        os.close(self._orders)
        self._from.close()
        return {"died": os.waitstatus_to_exitcode(status)}


def _live(home: str, hard_limit: int, orders: int, answers: int) -> NoReturn:
    status = 1
    try:
        library = Library(home, hard_limit)
        os.write(answers, b"{}\n")
        with os.fdopen(orders) as lines:
            for line in lines:
                name, *arguments = json.loads(line)
                os.write(answers, json.dumps(_answer(library, name, arguments)).encode() + b"\n")
        status = 0
    finally:
        os._exit(status)


def _answer(library: Library, name: str, arguments: list[Any]) -> dict[str, Any]:
    if name == "arm":
        point, moment = arguments
        arm(*(POINTS | STAGING_POINTS)[point], moment)
        return {"result": None}
    try:
        return {"result": getattr(library, name)(*arguments)}
    except TimestoreError as error:
        return {"error": error.code, "message": str(error)}


def main() -> None:
    keeper = Keeper()
    for line in sys.stdin:
        name, *arguments = json.loads(line)
        sys.stdout.write(json.dumps(getattr(keeper, name)(*arguments)) + "\n")
        sys.stdout.flush()


if __name__ == "__main__":
    main()
