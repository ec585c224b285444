"""The warm parent: a process that imports what runs need, opens nothing, and forks one child per run.

It talks with the launcher that started it over one socket, in lines of JSON:

    parent -> launcher   {"ready": true}                        everything is imported
    launcher -> parent   {"run": id, "arguments": text}         start a run
    parent -> launcher   {"run": id, "pid": number}             it is started
    parent -> launcher   {"run": id, "pid": number, "code": n}  it has ended; negative: by this signal

When the launcher ends, the socket closes, and the parent ends. Children go on, whatever happens to the parent: each is
an ordinary run worker. When a child is forked, there is no second Python thread, no connection and no open file but the
socket and the pipes to running children; the allocators of Arrow and of Delta have threads that survive a fork.
Definitions are built in the child, so datasets that appear later are known; code that changes later needs another
parent.
"""

import gc
import importlib
import json
import multiprocessing
import os
import selectors
import signal
import socket
import sys
from contextlib import suppress
from multiprocessing.context import ForkProcess
from typing import Any

_MODULES = (
    "timestore_pipeline.definitions",
    "timestore_pipeline.flush.pipeline",
    "timestore_pipeline.lake.table",
    "dagster._cli.api",
)
_FORK = multiprocessing.get_context("fork")
_STOPPING = (signal.SIGINT, signal.SIGTERM)
_LONGEST_READ = 1 << 16  # bytes


def main() -> None:
    """Runs until the launcher is gone."""
    signal.pthread_sigmask(signal.SIG_BLOCK, _STOPPING)  # of a whole group: the launcher's end is the parent's end
    door = socket.socket(fileno=int(sys.argv[1]))
    for name in _MODULES:
        importlib.import_module(name)
    gc.freeze()  # or the first collection in each child copies every page
    Parent(door).serve()
    os._exit(0)  # nothing is open, and libraries complain at the end about frozen objects


class Parent:
    """Forks on request, and reports the end of each child."""

    def __init__(self, door: socket.socket) -> None:
        self._door = door
        self._received = b""
        self._selector = selectors.DefaultSelector()
        self._selector.register(door, selectors.EVENT_READ)

    def serve(self) -> None:
        """Returns when the launcher is gone."""
        self._send({"ready": True})
        while True:
            for key, _ in self._selector.select():
                if key.data is not None:
                    self._report_end(*key.data)
                elif not self._receive():
                    return

    def _receive(self) -> bool:
        """Fork what is asked for; False = the launcher is gone."""
        data = self._door.recv(_LONGEST_READ)
        *lines, self._received = (self._received + data).split(b"\n")
        for request in map(json.loads, lines):
            self._fork(request["run"], request["arguments"])
        return bool(data)

    def _fork(self, run: str, arguments: str) -> None:
        child = _FORK.Process(target=self._work, args=(arguments,))
        child.start()
        self._selector.register(child.sentinel, selectors.EVENT_READ, (run, child))
        self._send({"run": run, "pid": child.pid})

    def _work(self, arguments: str) -> None:
        """In the child: what `dagster api execute_run` does, the entry point of every run launcher.

        A request to stop that comes this early is kept for the run, which then ends as canceled.
        """
        from dagster._cli.api import execute_run_command
        from dagster._utils.interrupts import capture_interrupts

        self._selector.close()
        self._door.close()
        with capture_interrupts():
            signal.pthread_sigmask(signal.SIG_UNBLOCK, _STOPPING)
            execute_run_command.main([arguments], prog_name="dagster", standalone_mode=False)

    def _report_end(self, run: str, child: ForkProcess) -> None:
        self._selector.unregister(child.sentinel)
        child.join()
        self._send({"run": run, "pid": child.pid, "code": child.exitcode})
        child.close()

    def _send(self, message: dict[str, Any]) -> None:
        with suppress(OSError):  # the launcher is gone, which the next read finds out
            self._door.sendall(json.dumps(message).encode() + b"\n")


if __name__ == "__main__":
    main()
