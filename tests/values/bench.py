"""One staging directory and one lake for many datasets: an example is sent, flushed and read in milliseconds.

What must hold of every example stands in `Bench.run`: what is acknowledged comes back value by value from every reader;
all else is refused by a typed error that names the column, line or row and says what to do.
"""

from __future__ import annotations

import tempfile
from collections import Counter
from contextlib import ExitStack
from dataclasses import dataclass, field, replace
from pathlib import Path
from typing import Any, Self

from tests.values.doors import DOORS, FILE_DOORS, Workplace
from tests.values.kinds import Batch
from tests.values.plain import STRICT, Broken, Policy, same
from tests.values.readers import READERS, ROW, Reader, Rows, read_everywhere
from tests.values.sources import File
from timestore_pipeline import Settings, StagingManager, TimestoreError
from timestore_pipeline.errors import RetryLater
from timestore_pipeline.model.flush import Trigger
from timestore_pipeline.system.context_managers import Closing
from timestore_pipeline.wiring import Timestore

FLUSH = "flush"
_EXAMPLES = 300  # in one staging directory: its ledger and its threads grow with each


@dataclass(frozen=True, slots=True)
class Step:
    """A batch through a door; batch None = a flush."""

    batch: Batch | None = None
    door: str = "enqueue"


@dataclass(frozen=True, slots=True)
class Example:
    """One dataset's life."""

    steps: tuple[Step, ...]
    policy: Policy = STRICT
    metadata: dict[str, Any] = field(default_factory=dict)  # beside what the policy says

    def through(self, door: str) -> Example:
        """The same with all files coming in there."""
        steps = [
            replace(step, door=door) if isinstance(step.batch and step.batch.payload, File) else step
            for step in self.steps
        ]
        return replace(self, steps=tuple(steps))

    @property
    def document(self) -> dict[str, Any]:
        chosen = {"subMicroseconds": self.policy.fraction.value, "localTimestamps": self.policy.local.value}
        given = self.metadata.get("schema", {})
        said = {} if self.policy == STRICT else chosen
        return self.metadata | ({"schema": said | given} if said or given else {})


class Bench(Closing):
    """Opens a new staging directory every few hundred examples. `counts` is what became of all of them."""

    def __init__(self, **settings: Any) -> None:
        self.counts: Counter[str] = Counter()
        self.doors = dict(DOORS)
        self._settings = settings
        self._stack = ExitStack()
        self._used = 0
        self._open()

    def __enter__(self) -> Self:
        return self

    def run(self, example: Example) -> None:
        """Raise `Broken` unless the promise holds for this example."""
        try:
            self._run(example)
        except Broken as broken:
            raise Broken(f"{broken}; metadata {example.document}") from broken
        self.counts["examples"] += 1

    def _run(self, example: Example) -> None:
        dataset = self.new_dataset(example.document)
        sent: dict[int, dict[str, Any]] = {}
        seen: set[str] = set()  # columns of earlier batches, by which a later one may be refused
        for step in example.steps:
            if step.batch is None:
                self.flush(dataset, len(sent))
                continue
            must = step.batch.must_be_taken(example.policy) and not seen & step.batch.own_columns
            seen |= step.batch.own_columns
            if self.send(dataset, step.batch, step.door, must=must):
                sent |= {row[ROW]: row for row in step.batch.rows}
        self.flush(dataset, len(sent))
        if sent:
            self.check(dataset, sent, example.policy)
        self.counts["examples with rows staged"] += bool(sent)

    def new_dataset(self, metadata: dict[str, Any]) -> str:
        """The name of one that nothing was staged for."""
        if self._used >= _EXAMPLES:
            self._stack.close()
            self._open()
        self._used += 1
        dataset = f"d{self._used}"
        if metadata:
            self.store.set_metadata(dataset, metadata)
        return dataset

    def send(self, dataset: str, batch: Batch, door: str, *, must: bool) -> bool:
        """Whether the batch was acknowledged; must: anything else is a failure."""
        try:
            self.doors[door](self._place, dataset, batch.payload)
        except TimestoreError as error:
            self.counts[f"batches refused: {error.code}"] += 1
            _check_refusal(error, batch)
            if must:
                raise Broken(f"{door} refuses {batch.told}: {error} ({error.hint})") from error
            return False
        except Exception as error:
            raise Broken(f"{door}, {batch.told}: untyped {type(error).__name__}: {error}") from error
        if batch.malformed:
            raise Broken(f"{door} takes what is malformed: {batch.told}")
        self.counts["batches staged"] += 1
        return True

    def flush(self, dataset: str, rows: int) -> None:
        """rows: that should be published, or already are."""
        if rows == 0:
            return
        try:
            self.store.flush(dataset, Trigger.MANUAL, "example")
        except Exception as error:
            raise Broken(f"acknowledged, and not published: {type(error).__name__}: {error}") from error

    def check(self, dataset: str, sent: Rows, policy: Policy, readers: dict[str, Reader] = READERS) -> None:
        """Every value that was sent, and no other, in the eyes of every reader."""
        for reader, rows in read_everywhere(self.uri(dataset), readers).items():
            if rows.keys() != sent.keys():
                raise Broken(f"{reader} sees the rows {sorted(rows)} of {sorted(sent)}")
            _check_rows(reader, rows, sent, policy)
            self.counts["values compared"] += sum(map(len, sent.values()))

    def uri(self, dataset: str) -> str:
        """Of the dataset's table."""
        return str(Path(self.store.settings.lake_uri, dataset))

    def close(self) -> None:
        self._stack.close()

    def _open(self) -> None:
        self._used = 0
        memory = Path("/dev/shm")
        folder = tempfile.TemporaryDirectory(prefix="values-", dir=memory if memory.is_dir() else None)
        self.home = home = Path(self._stack.enter_context(folder))
        (home / "landing").mkdir()
        settings = Settings.build(home=home, landing_directory=home / "landing", landing_settle_ms=0, **self._settings)
        staging = self._stack.enter_context(StagingManager.open(settings))
        self.store = self._stack.enter_context(Timestore(settings))
        self._place = Workplace(home, settings, staging)
        self._stack.callback(self._place.trial.close)


def doors_for(payload: object) -> list[str]:
    return list(FILE_DOORS) if isinstance(payload, File) else ["enqueue"]


def _check_refusal(error: TimestoreError, batch: Batch) -> None:
    message = str(error)
    if isinstance(error, RetryLater) or not error.hint or error.code == "timestore_error":
        raise Broken(f"no way out is named: {error.code}: {message!r} ({error.hint!r})") from error
    names = {name for row in batch.rows for name in row}
    named = any(name[:30] in message or repr(name)[1:-1][:30] in message for name in names)
    if not (named or "line " in message or "row " in message or batch.malformed or not batch.rows):
        raise Broken(f"neither column nor line is named: {error.code}: {message!r}") from error


def _check_rows(reader: str, rows: Rows, sent: Rows, policy: Policy) -> None:
    for number, row in sent.items():
        found = rows[number]
        for name, value in row.items():
            if not same(value, found.get(name), policy):
                raise Broken(f"{reader}, row {number}, column {name!r}: sent {value!r}, found {found.get(name)!r}")
        if extra := {name: value for name, value in found.items() if name not in row and value is not None}:
            raise Broken(f"{reader}, row {number}: {extra} was never sent")
