"""The command `timestore` without the second that a new Python needs to import it: for shells that run many commands.

Each command is a process of its own, forked from one that has everything imported, and has the standard streams,
working directory and environment of whoever calls it.
"""

from __future__ import annotations

import json
import os
import shlex
import socket
import sys
from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import contextmanager, suppress
from functools import partial
from pathlib import Path

from tests.services.forked import FORKED
from timestore_pipeline.cli.app import COMMANDS, load, main

_LONGEST_REQUEST = 1 << 20  # bytes
_FAILED = 1

for _name in COMMANDS:  # here, where it is done once
    load(_name)

_CALLER = """
import json, os, socket, sys
with socket.socket(socket.AF_UNIX) as door:
    door.connect(sys.argv[1])
    request = [sys.argv[2:], os.getcwd(), dict(os.environ)]
    socket.send_fds(door, [json.dumps(request).encode()], [0, 1, 2])
    sys.exit(door.recv(1)[0])
"""


@contextmanager
def warm_timestore(folder: Path) -> Iterator[str]:
    """A line of shell that defines the function `timestore`; it works for as long as the block."""
    address = str(folder / "timestore.socket")
    with socket.socket(socket.AF_UNIX) as listening:
        listening.bind(address)
        listening.listen()
        server = FORKED.Process(target=_serve, args=(listening,))
        server.start()
    try:
        yield f'timestore() {{ {shlex.join([sys.executable, "-ISc", _CALLER, address])} "$@"; }}\n'
    finally:
        server.kill()
        server.join()


def _serve(listening: socket.socket) -> None:
    while True:
        caller, _ = listening.accept()
        with caller:
            if os.fork() == 0:
                _answer(caller)
        with suppress(ChildProcessError):
            while os.waitpid(-1, os.WNOHANG) != (0, 0):
                pass


def _answer(caller: socket.socket) -> None:
    request, streams, _, _ = socket.recv_fds(caller, _LONGEST_REQUEST, 3)
    arguments, folder, environment = json.loads(request)
    os.chdir(folder)
    code = run_program(partial(timestore, *arguments), streams, environment)
    sys.stdout.flush()
    sys.stderr.flush()
    caller.send(bytes([code]))
    os._exit(code)


def timestore(*arguments: str) -> None:
    """The command, in this process."""
    sys.argv = ["timestore", *arguments]
    main()


def run_program(program: Callable[[], None], streams: Sequence[int], environment: Mapping[str, str]) -> int:
    """Its exit code. For good, this process has that environment and those standard input, output and error."""
    for number, stream in enumerate(streams):
        os.dup2(stream, number)
        os.close(stream)
    sys.stdin, sys.stdout, sys.stderr = os.fdopen(0), os.fdopen(1, "w"), os.fdopen(2, "w")
    os.environ.clear()
    os.environ.update(environment)
    try:
        program()
    except SystemExit as ended:
        return ended.code if isinstance(ended.code, int) else _FAILED if ended.code else 0
    return 0
