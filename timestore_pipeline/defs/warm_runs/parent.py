"""The launcher's side of the warm parent: starts it, asks it for runs, and is notified when they end."""

import json
import socket
import subprocess
import sys
import threading
from collections.abc import Callable
from concurrent.futures import Future, InvalidStateError, ThreadPoolExecutor
from contextlib import suppress
from typing import Any

from timestore_pipeline.system.context_managers import Closing

_START_PATIENCE = 120.0  # seconds for its imports, which take four on an idle machine
_FORK_PATIENCE = 60.0  # seconds for one fork, which takes a hundredth of one

OnEnd = Callable[[str, int, int], None]  # run id, process id, exit code; negative: the signal


class ParentGone(Exception):
    """The warm parent ended, or does not answer; `asked`: it may have started the run all the same."""

    def __init__(self, message: str, *, asked: bool) -> None:
        super().__init__(message)
        self.asked = asked


class WarmParent(Closing):
    """One process. Thread-safe. Raises `ParentGone` when it does not start."""

    def __init__(self, on_end: OnEnd) -> None:
        """on_end is called, on another thread, for each run that this parent started and whose process has ended."""
        self._on_end = on_end
        # A thread of its own: Dagster's storage may be slow, and starts must not wait for it.
        self._ends = ThreadPoolExecutor(1, "warm-run-ends")
        self._lock = threading.Lock()
        self._ready = Future[int]()
        self._asked: dict[str, Future[int]] = {}
        self._door, theirs = socket.socketpair()
        with theirs:
            self._process = subprocess.Popen(
                [sys.executable, "-m", "timestore_pipeline.defs.warm_runs.forking", str(theirs.fileno())],
                stdin=subprocess.DEVNULL,
                pass_fds=[theirs.fileno()],
            )
        threading.Thread(target=self._listen, name="warm-parent", daemon=True).start()
        try:
            self._wait(self._ready, _START_PATIENCE, asked=False)
        except ParentGone:
            self._process.kill()
            raise

    @property
    def pid(self) -> int:
        return self._process.pid

    @property
    def is_alive(self) -> bool:
        return self._process.poll() is None

    def start(self, run: str, arguments: str) -> int:
        """Fork a child that executes the run; its process id."""
        answer = Future[int]()
        with self._lock:
            self._asked[run] = answer
            try:
                self._door.sendall(json.dumps({"run": run, "arguments": arguments}).encode() + b"\n")
            except OSError as error:
                raise ParentGone(f"the warm parent {self.pid} is gone: {error}", asked=False) from error
        return self._wait(answer, _FORK_PATIENCE, asked=True)

    def close(self) -> None:
        """The parent ends at once, its children when their runs have ended."""
        with suppress(OSError):  # it was gone before
            self._door.shutdown(socket.SHUT_RDWR)
        self._process.wait()

    def _wait(self, answer: Future[int], seconds: float, *, asked: bool) -> int:
        try:
            return answer.result(seconds)
        except (TimeoutError, EOFError) as error:
            raise ParentGone(f"the warm parent {self.pid} does not answer", asked=asked) from error

    def _listen(self) -> None:
        with self._door, self._door.makefile("r") as lines:
            for line in lines:
                self._take(json.loads(line))
        self._process.wait()
        self._ends.shutdown(wait=False)
        with self._lock:
            for answer in (self._ready, *self._asked.values()):
                _fail(answer)

    def _take(self, message: dict[str, Any]) -> None:
        if "ready" in message:
            self._ready.set_result(self.pid)
        elif "code" in message:
            self._ends.submit(self._on_end, message["run"], message["pid"], message["code"])
        else:
            with self._lock:
                answer = self._asked.pop(message["run"])
            answer.set_result(message["pid"])


def _fail(answer: Future[Any]) -> None:
    with suppress(InvalidStateError):  # it was answered before
        answer.set_exception(EOFError())
