"""Faults at system calls: the kernel asks about every call that changes a file, and is told go on, fail, or die there.

Seccomp user notification (Linux 5.5 and newer). The victim installs the filter in itself before it starts any thread,
so all its threads' calls are seen, in one order, which `strace --inject` cannot do: it counts per thread.
"""

from __future__ import annotations

import ctypes
import errno
import fcntl
import os
import platform
import select
import signal
import socket
import struct
import threading
import uuid
from collections.abc import Callable, Iterator
from contextlib import contextmanager, suppress
from dataclasses import dataclass, field
from pathlib import Path

# Number on x86-64 -> name, position of the argument that names the file, whether that is a path or a descriptor.
CALLS: dict[int, tuple[str, int, bool]] = {
    1: ("write", 0, False), 18: ("pwrite64", 0, False), 20: ("writev", 0, False), 296: ("pwritev", 0, False),
    74: ("fsync", 0, False), 75: ("fdatasync", 0, False), 77: ("ftruncate", 0, False), 285: ("fallocate", 0, False),
    82: ("rename", 1, True), 264: ("renameat", 3, True), 316: ("renameat2", 3, True), 86: ("link", 1, True),
    265: ("linkat", 3, True), 87: ("unlink", 0, True), 263: ("unlinkat", 1, True), 83: ("mkdir", 0, True),
    258: ("mkdirat", 1, True), 84: ("rmdir", 0, True),
}  # fmt: skip
_NO_SPACE_FAILS = {"write", "pwrite64", "writev", "pwritev", "fallocate", "ftruncate", "mkdir", "mkdirat"}
_NO_SPACE_FAILS |= {"rename", "renameat", "renameat2", "link", "linkat"}

_SECCOMP, _SET_MODE_FILTER, _NEW_LISTENER, _NO_NEW_PRIVS = 317, 1, 8, 38
_ASK, _ALLOW = 0x7FC00000, 0x7FFF0000
_RECEIVE, _RESPOND, _CONTINUE = 0xC0502100, 0xC0182101, 1


def is_available() -> bool:
    actions = Path("/proc/sys/kernel/seccomp/actions_avail")
    return platform.machine() == "x86_64" and actions.exists() and "user_notif" in actions.read_text()


@dataclass(frozen=True)
class Call:
    """One system call that is about to change a file under the watched folder."""

    number: int  # counted from 1, over all threads
    name: str
    path: str  # relative to the watched folder
    steps: tuple[str, ...]  # the steps the victim is in, outermost first

    @property
    def error(self) -> int:
        """What a full or broken disk answers to this call."""
        return errno.ENOSPC if self.name in _NO_SPACE_FAILS else errno.EIO


Verdict = str | None  # "die", "fail", or None = go on
Judge = Callable[[Call], Verdict]


@dataclass
class Watch:
    """What happened in one victim."""

    address: str
    calls: list[Call] = field(default_factory=list)
    fired: Call | None = None


class Watched:
    """The victim's end: tells which step it is in."""

    def __init__(self, address: str) -> None:
        self._socket = socket.socket(socket.AF_UNIX)
        self._socket.connect("\0" + address)
        listener = _install()
        socket.send_fds(self._socket, [b"x"], [listener])
        os.close(listener)
        self._socket.recv(1)

    def tell(self, mark: str) -> None:
        """`+step` or `-step`; returns once it was heard, so that marks and calls are in order."""
        self._socket.sendall(mark.encode().ljust(64))
        self._socket.recv(1)


@contextmanager
def watching(folder: Path, judge: Judge) -> Iterator[Watch]:
    """Wait for one victim and answer for its calls until it ends."""
    watch = Watch(f"timestore-{uuid.uuid4().hex}")
    with socket.socket(socket.AF_UNIX) as door:
        door.bind("\0" + watch.address)
        door.listen()
        thread = threading.Thread(target=_answer, args=(door, str(folder) + "/", judge, watch), daemon=True)
        thread.start()
        yield watch
        with suppress(OSError):  # a victim that never came
            door.shutdown(socket.SHUT_RDWR)
        thread.join()


def _install() -> int:
    """Put the filter on this thread and all it will start; returns the descriptor on which the kernel asks."""
    libc = ctypes.CDLL(None, use_errno=True)
    libc.prctl(_NO_NEW_PRIVS, 1, 0, 0, 0)
    numbers = list(CALLS)
    program = [(0x20, 0, 0, 0)]  # load the call's number
    program += [(0x15, len(numbers) - i, 0, number) for i, number in enumerate(numbers)]
    program += [(0x06, 0, 0, _ALLOW), (0x06, 0, 0, _ASK)]
    code = ctypes.create_string_buffer(b"".join(struct.pack("HBBI", *line) for line in program))
    described = ctypes.create_string_buffer(struct.pack("HxxxxxxQ", len(program), ctypes.addressof(code)))
    listener = int(libc.syscall(_SECCOMP, _SET_MODE_FILTER, _NEW_LISTENER, described))
    if listener < 0:
        raise OSError(ctypes.get_errno(), "the kernel takes no seccomp filter")
    return listener


def _answer(door: socket.socket, folder: str, judge: Judge, watch: Watch) -> None:
    try:
        victim, _ = door.accept()
    except OSError:
        return
    with victim:
        _, (listener, *_), _, _ = socket.recv_fds(victim, 1, 1)
        victim.sendall(b"!")
        try:
            _serve(victim, listener, folder, judge, watch)
        finally:
            os.close(listener)


def _serve(victim: socket.socket, listener: int, folder: str, judge: Judge, watch: Watch) -> None:
    steps: list[str] = []
    poll = select.poll()
    poll.register(victim, select.POLLIN)
    poll.register(listener, select.POLLIN)
    while True:
        ready = dict(poll.poll())
        if ready.get(victim.fileno()):
            mark = victim.recv(64).decode().strip() if ready[victim.fileno()] & select.POLLIN else ""
            if not mark:
                poll.unregister(victim)  # dead, or about to end; its last calls are still asked for
            else:
                _note(steps, mark)
                victim.sendall(b"!")
        if ready.get(listener, 0) & select.POLLIN:
            _decide(listener, folder, judge, watch, tuple(steps))
        elif ready.get(listener, 0):
            return


def _note(steps: list[str], mark: str) -> None:
    if mark.startswith("+"):
        steps.append(mark[1:])
    else:
        steps.remove(mark[1:])


def _decide(listener: int, folder: str, judge: Judge, watch: Watch, steps: tuple[str, ...]) -> None:
    asked = bytearray(80)
    try:
        fcntl.ioctl(listener, _RECEIVE, asked)
    except OSError:
        return  # the victim died meanwhile
    key, thread, _, number, _, _, *arguments = struct.unpack("QIIiIQ6Q", asked)
    name, position, is_path = CALLS[number]
    path = _path(thread, arguments[position], is_path)
    error = 0
    if path.startswith(folder):
        call = Call(len(watch.calls) + 1, name, path.removeprefix(folder), steps)
        watch.calls.append(call)
        verdict = judge(call) if watch.fired is None else None
        if verdict is not None:
            watch.fired = call
        if verdict == "die":
            os.kill(thread, signal.SIGKILL)
            return
        error = -call.error if verdict == "fail" else 0
    with suppress(OSError):
        fcntl.ioctl(listener, _RESPOND, bytearray(struct.pack("QqiI", key, 0, error, 0 if error else _CONTINUE)))


def _path(thread: int, argument: int, is_path: bool) -> str:
    try:
        if not is_path:
            return str(Path(f"/proc/{thread}/fd/{argument & 0xFFFFFFFF}").readlink())
        with Path(f"/proc/{thread}/mem").open("rb", buffering=0) as memory:
            memory.seek(argument)
            return memory.read(4096).split(b"\0", 1)[0].decode(errors="replace")
    except OSError:
        return ""
