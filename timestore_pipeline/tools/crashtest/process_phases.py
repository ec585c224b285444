"""One life of one process of the test, from its fork to its kill, and its current phase.

The phase is in memory shared with the killer, because killing an idle process proves nothing. Phases are marked around
the product's own functions. Every thread writes its own byte, so no lock is needed, and after a kill at any instruction
the memory holds the phase of that instant.

Notes are append-only files, a JSON document per line, for processes that may be killed at any instant. One call of
`append_lines` is one `write`. A kill may tear a line; a torn line is ignored, and spoils none after it.
"""

from __future__ import annotations

import itertools
import json
import mmap
import os
import signal
import threading
from collections.abc import Callable, Iterable, Iterator
from contextlib import contextmanager, suppress
from functools import wraps
from pathlib import Path
from types import FrameType
from typing import Any

from timestore_pipeline.flush import claim, export, pipeline
from timestore_pipeline.flush.pipeline import FlushPipeline
from timestore_pipeline.lake.maintenance import TableMaintenance
from timestore_pipeline.lake.retention import LogMaintenance
from timestore_pipeline.lake.table import LakeTable
from timestore_pipeline.maintain import prune
from timestore_pipeline.maintain.rewrite import Compactor, Rewriter
from timestore_pipeline.recovery import shard_recovery
from timestore_pipeline.staging import roll_up, segments
from timestore_pipeline.staging.journal import Journal
from timestore_pipeline.staging.ledger import schema_changes
from timestore_pipeline.staging.ledger.batches import Batches
from timestore_pipeline.staging.ledger.flushes import Flushes
from timestore_pipeline.staging.ledger.journals import Journals
from timestore_pipeline.staging.ledger.published import Published
from timestore_pipeline.system import clock
from timestore_pipeline.tools.crashtest.schedule import ROSTER, CrashPlan, Role

IDLE = "idle"
START = "start"  # from the fork to the opened staging directory
SEND = "send"
FLUSH = "flush"
RECOVER = "recover"
READ = "read"
MAINTAIN = "maintain"

# The product's function of each phase. Of several at once, in threads of one process, the last one in this list counts.
MARKED: dict[str, tuple[Any, str]] = {
    "roll up": (shard_recovery, "roll_up"),
    "schema change": (schema_changes, "apply"),
    "table change": (LakeTable, "ensure"),
    "journal begin": (Journal, "__init__"),
    "journal append": (Journal, "append"),
    "ledger promise": (Batches, "promise"),
    "segment write": (roll_up, "write_segment"),
    "ledger move": (Journals, "move"),
    "look for idle journals": (claim, "remove_idle_journals"),
    "unlink journals": (pipeline, "remove_idle_journals"),
    "claim": (Flushes, "claim"),
    "export": (FlushPipeline, "export"),
    "attach": (export, "attach_sources"),
    "write file": (LakeTable, "write"),
    "record export": (Flushes, "record_export"),
    "delta commit": (LakeTable, "publish"),
    "finalize": (Flushes, "finalize"),
    "fold": (Published, "fold"),
    "burn": (LakeTable, "burn"),
    "abort": (Flushes, "abort"),
    "discard files": (LakeTable, "discard"),
    "unlink": (segments, "remove"),
    "compact": (Compactor, "run"),
    "write compacted": (TableMaintenance, "write"),
    "prove compacted": (Rewriter, "_prove"),
    "swap files": (TableMaintenance, "replace"),
    "burn generation": (TableMaintenance, "burn"),
    "vacuum": (prune, "vacuum"),
    "trim log": (LogMaintenance, "trim"),
}
PHASES: tuple[str, ...] = (IDLE, START, READ, RECOVER, MAINTAIN, FLUSH, SEND, *MARKED)
_NUMBER = {name: number for number, name in enumerate(PHASES)}

# The phases that a killer may wait for; phases that are too rare are left to chance.
TARGETS: dict[Role, tuple[str, ...]] = {
    Role.PRODUCER: ("start", "journal begin", "journal append", "ledger promise", "segment write", "ledger move"),
    Role.FLUSHER: (
        "look for idle journals", "claim", "export", "attach", "write file", "record export", "delta commit",
        "delta commit", "finalize", "finalize", "unlink journals", "unlink", "fold",
    ),
    Role.RECOVERY: ("recover", "roll up", "segment write", "ledger move", "burn", "abort", "finalize"),
    Role.READER: ("read",),
    Role.EVOLVER: ("schema change", "schema change", "journal append", "ledger promise"),
    Role.MAINTAINER: (
        "compact", "write compacted", "prove compacted", "swap files", "swap files", "vacuum", "trim log",
    ),
}  # fmt: skip

_LANES = 16  # threads of one process that have a byte of their own
_LOOK_EVERY = 0.1  # seconds of a pause


class PhaseBoard:
    """One row of bytes per process; created before the fork, shared after it."""

    def __init__(self, processes: int) -> None:
        self._memory = mmap.mmap(-1, processes * _LANES)

    def clear(self, process: int, phase: str = IDLE) -> None:
        self._memory[process * _LANES : (process + 1) * _LANES] = bytes([_NUMBER[phase], *bytes(_LANES - 1)])

    def read(self, process: int) -> str:
        """The phase that counts, of all threads of the process."""
        return PHASES[max(self._memory[process * _LANES : (process + 1) * _LANES])]

    def marker(self, process: int) -> PhaseMarker:
        return PhaseMarker(self._memory, process * _LANES)


class PhaseMarker:
    """Marks the phases of one process; the thread that constructs it has the first lane."""

    def __init__(self, memory: mmap.mmap, first: int) -> None:
        self._memory = memory
        self._first = first
        self._thread = threading.local()
        self._threads = itertools.count()
        self._lane()

    def idle(self) -> None:
        """Mark the end of the start phase."""
        self._memory[self._lane()] = _NUMBER[IDLE]

    @contextmanager
    def during(self, phase: str) -> Iterator[None]:
        lane = self._lane()
        before = self._memory[lane]
        self._memory[lane] = _NUMBER[phase]
        try:
            yield
        finally:
            self._memory[lane] = before

    def mark_product(self) -> None:
        """Wrap every function of the product that is a phase, for the life of this process."""
        for phase, (owner, name) in MARKED.items():
            setattr(owner, name, self._marked(phase, getattr(owner, name)))

    def _marked(self, phase: str, function: Callable[..., Any]) -> Callable[..., Any]:
        @wraps(function)
        def marked(*arguments: Any, **options: Any) -> Any:
            with self.during(phase):
                return function(*arguments, **options)

        return marked

    def _lane(self) -> int:
        if not hasattr(self._thread, "lane"):
            self._thread.lane = self._first + next(self._threads) % _LANES
        lane: int = self._thread.lane
        return lane


def append_lines(path: Path, documents: Iterable[Any]) -> None:
    if text := "".join(f"\n{json.dumps(document)}\n" for document in documents):
        with path.open("a", encoding="utf-8") as file:
            file.write(text)


def whole_lines(path: Path) -> Iterator[Any]:
    """Oldest first; nothing while there is no file."""
    if not path.exists():
        return
    for line in path.read_text(encoding="utf-8").splitlines():
        with suppress(ValueError):  # torn, or the empty line that ends a torn one
            yield json.loads(line)


class Life:
    """To be constructed in the process itself: a termination signal asks it to end after its current step."""

    def __init__(self, plan: CrashPlan, process: int, marker: PhaseMarker, parent: int) -> None:
        """parent: its process id, noted before the fork, because the parent may have been killed since."""
        self.plan = plan
        self.process = process
        self.marker = marker
        self._parent = parent
        self._asked_to_end = False
        signal.signal(signal.SIGTERM, self._end)
        signal.pthread_sigmask(signal.SIG_UNBLOCK, {signal.SIGTERM})

    @property
    def role(self) -> Role:
        return ROSTER[self.process]

    @property
    def ending(self) -> bool:
        """Asked to end, or the parent, which would ask, is gone."""
        return self._asked_to_end or os.getppid() != self._parent

    def pause(self, seconds: float) -> None:
        """Sleep, but not beyond the request to end."""
        until = clock.monotonic() + seconds
        while not self.ending and (left := until - clock.monotonic()) > 0:
            clock.sleep(min(left, _LOOK_EVERY))

    def _end(self, _number: int, _frame: FrameType | None) -> None:
        self._asked_to_end = True
