"""The server's side of its reader processes: a thread per process sends it bodies, and stages the rows that it returns.

A process that a body crashes, or that exceeds its time, is replaced, and the body is refused.
"""

from __future__ import annotations

import asyncio
import logging
import queue
import shutil
import signal
import subprocess
import threading
from collections.abc import Callable, Mapping
from concurrent.futures import Future
from contextlib import closing, suppress
from dataclasses import dataclass
from functools import partial
from typing import Any

from timestore_pipeline.doors.http.body_reading import Parsed
from timestore_pipeline.doors.http.frames import FramedPipes
from timestore_pipeline.doors.http.limits import ReaderLimits
from timestore_pipeline.doors.http.reader_process import ERRORS
from timestore_pipeline.errors import BodyTooLarge, UnreadableInput
from timestore_pipeline.ingest.values.notes import Note
from timestore_pipeline.model.batch import Receipt
from timestore_pipeline.settings import harmless_environment
from timestore_pipeline.system import clock, unprivileged

_log = logging.getLogger(__name__)

Stage = Callable[[Parsed, memoryview], Future[Receipt]]
_ARROW_OVERHEAD = 16 << 20  # bytes of a stream besides its rows
_LOOK_SECONDS = 1.0  # an idle process that was killed is replaced within this time
_DYING_SECONDS = 1.0  # from the end of a process's pipes to its exit


class Reader:
    """One process; used by one thread."""

    def __init__(self, limits: ReaderLimits) -> None:
        self._limits = limits
        self._process: subprocess.Popen[bytes] | None = None  # None = not needed yet, or it could not be started

    def read(self, job: Mapping[str, Any], body: bytes) -> tuple[Parsed, memoryview]:
        """The result of parsing, and the rows as an Arrow stream if they are not in a file.

        Raises the errors of parsing, `BodyTooLarge` when it exceeds its time, and `UnreadableInput` when the body
        crashes the process.
        """
        if self._process is None or self._process.poll() is not None:
            self.start()
        deadline = clock.monotonic() + self._limits.seconds
        try:
            self._pipes.send(job, body, deadline)
            answer, rows = self._pipes.receive(deadline)
        except TimeoutError as error:
            self.close()
            _remove(job)
            raise _endless(f"{self._limits.seconds:.0f} s") from error
        except (EOFError, OSError, ValueError) as error:
            code = self._exit_code()
            _remove(job)
            if code == -signal.SIGXCPU:
                raise _endless(f"{self._limits.cpu_seconds:g} s of a processor") from error
            _log.warning("a body ended its reader process with code %s", code)
            hint = str(job["hint"])
            raise UnreadableInput("the body ends the process that reads it", hint=hint) from error
        return _parsed(answer), rows

    def replace_if_dead(self) -> None:
        """Never raises: if the process cannot be started, reading the next body will raise."""
        if self._process is not None and self._process.poll() is not None:
            with suppress(OSError):
                self.start()

    def kill(self) -> None:
        """Kill the process, even while it parses; from any thread."""
        if self._process is not None:
            self._process.kill()

    def close(self) -> None:
        process, self._process = self._process, None
        if process is None:
            return
        process.kill()
        for pipe in (process.stdin, process.stdout):
            if pipe is not None:
                pipe.close()
        process.wait()

    def _exit_code(self) -> int:
        """The exit code of a process that has closed its pipes."""
        assert self._process is not None
        with suppress(subprocess.TimeoutExpired):
            return self._process.wait(_DYING_SECONDS)
        self._process.kill()
        return self._process.wait()

    def start(self) -> None:
        """Start a new process; raises `OSError`."""
        self.close()
        most = 2 * self._limits.body_bytes + _ARROW_OVERHEAD
        arguments = map(str, (self._limits.memory_bytes, most, self._limits.niceness))
        self._process = subprocess.Popen(
            unprivileged.command("timestore_pipeline.doors.http.reader_process", *arguments),
            bufsize=0,
            env=harmless_environment(),
            stdin=subprocess.PIPE,
            stdout=subprocess.PIPE,
            start_new_session=True,  # Ctrl-C must reach the server only, which still has bodies to finish
        )
        assert self._process.stdin is not None
        assert self._process.stdout is not None
        to_process, from_process = self._process.stdin.fileno(), self._process.stdout.fileno()
        self._pipes = FramedPipes(to_process, from_process, most)


@dataclass(frozen=True, slots=True)
class _Order:
    """A body on its way from its request to its receipt."""

    job: Mapping[str, Any]
    body: bytes
    stage: Stage
    receipt: asyncio.Future[Receipt]

    def carry_out(self, reader: Reader) -> None:
        try:
            staged = self.stage(*reader.read(self.job, self.body))
        except Exception as error:  # noqa: BLE001  # the request gets every error
            self._settle(partial(self.receipt.set_exception, error))
        else:
            staged.add_done_callback(self._staged)

    def _staged(self, staged: Future[Receipt]) -> None:
        error = staged.exception()
        if error is None:
            self._settle(partial(self.receipt.set_result, staged.result()))
        else:
            self._settle(partial(self.receipt.set_exception, error))

    def _settle(self, settle: Callable[[], None]) -> None:
        """In the event loop of the request, if it still waits."""

        def in_loop() -> None:
            if not self.receipt.done():
                settle()

        with suppress(RuntimeError):  # the loop is closed
            self.receipt.get_loop().call_soon_threadsafe(in_loop)


class Readers:
    """As many processes as the limits allow. Bodies pass from reader to writer without the event loop."""

    def __init__(self, limits: ReaderLimits) -> None:
        self._limits = limits
        self._orders: queue.SimpleQueue[_Order | None] = queue.SimpleQueue()
        self._readers: list[Reader] = []
        self._threads: list[threading.Thread] = []

    def start(self) -> None:
        """Start the readers for short bodies now, so that the first request does not wait for imports."""
        self._readers = [Reader(self._limits) for _ in range(self._limits.processes)]
        for reader in self._readers if self._limits.starts_at_once else ():
            reader.start()
        self._threads = [threading.Thread(target=self._work, args=(reader,)) for reader in self._readers]
        for thread in self._threads:
            thread.start()

    async def stage(self, job: Mapping[str, Any], body: bytes, stage: Stage) -> Receipt:
        """Read a body and stage its rows; `stage` is called in a reader's thread.

        Raises the errors of reading and staging.
        """
        receipt: asyncio.Future[Receipt] = asyncio.get_running_loop().create_future()
        self._orders.put(_Order(job, body, stage, receipt))
        return await receipt

    def close(self) -> None:
        """End all readers, also busy ones: no request waits for them any more."""
        for reader in self._readers:
            self._orders.put(None)
            reader.kill()
        for thread in self._threads:
            thread.join()

    def _work(self, reader: Reader) -> None:
        with closing(reader):
            while (order := self._next(reader)) is not None:
                if not order.receipt.done():
                    order.carry_out(reader)

    def _next(self, reader: Reader) -> _Order | None:
        while True:
            try:
                return self._orders.get(timeout=_LOOK_SECONDS)
            except queue.Empty:
                reader.replace_if_dead()


def _parsed(answer: Mapping[str, Any]) -> Parsed:
    error = answer.get("error")
    if error is not None:
        raise ERRORS[error["code"]](error["message"], hint=error["hint"])
    return Parsed(answer["rows"], answer["bytes"], [Note(*note) for note in answer["notes"]])


def _remove(job: Mapping[str, Any]) -> None:
    """Remove the folder that a dead process left behind."""
    shutil.rmtree(job["work"], ignore_errors=True)


def _endless(what: str) -> BodyTooLarge:
    return BodyTooLarge(f"the body takes more than {what} to read", hint="send smaller batches")
