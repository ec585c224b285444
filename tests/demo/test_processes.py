from __future__ import annotations

import os
import signal
import socket
import sys
from contextlib import suppress
from pathlib import Path

import psutil
import pytest

from demo.processes import Child, ChildFailed, Children, free_port, listens, uninterrupted

# Starts a grandchild, tells both pids, and both ignore the polite signal.
STUBBORN = """
import os, pathlib, signal, sys, time
signal.signal(signal.SIGTERM, signal.SIG_IGN)
other = os.fork()
if other:
    draft = pathlib.Path(sys.argv[1] + ".draft")
    draft.write_text(f"{os.getpid()} {other}")
    draft.rename(sys.argv[1])
time.sleep(600)
"""


@pytest.fixture
def children(tmp_path: Path) -> Children:
    return Children(tmp_path / "logs", os.environ, grace_seconds=0.2)


def _wait(child: Child) -> None:
    child.process.wait(60)


def _start_stubborn(children: Children, tmp_path: Path) -> list[int]:
    children.start("stubborn", [sys.executable, "-c", STUBBORN, str(tmp_path / "pids")])
    announced = tmp_path / "pids"
    while not announced.exists():
        os.sched_yield()
    return [int(pid) for pid in announced.read_text().split()]


def _alive(pids: list[int]) -> list[int]:
    return [pid for pid in pids if _lives(pid)]


def _lives(pid: int) -> bool:
    try:
        return bool(psutil.Process(pid).status() != psutil.STATUS_ZOMBIE)
    except psutil.NoSuchProcess:
        return False


def test_nothing_is_left_running_when_the_demo_fails(children: Children, tmp_path: Path) -> None:
    pids: list[int] = []
    with suppress(KeyboardInterrupt), children:
        pids.extend(_start_stubborn(children, tmp_path))
        raise KeyboardInterrupt
    assert len(pids) == 2
    assert _alive(pids) == []


def test_what_a_killed_child_left_behind_is_stopped_too(children: Children, tmp_path: Path) -> None:
    with children:
        leader, orphan = _start_stubborn(children, tmp_path)
        os.kill(leader, 9)
        assert _alive([orphan]) == [orphan]
    assert _alive([orphan]) == []


def test_an_interruption_waits_for_the_end_of_what_must_not_be_interrupted() -> None:
    done = []

    def work() -> None:
        with uninterrupted():
            signal.raise_signal(signal.SIGINT)
            done.append("all of it")

    with pytest.raises(KeyboardInterrupt):
        work()
    assert done


def test_a_child_that_fails_is_reported_with_the_end_of_its_log(children: Children) -> None:
    with children:
        child = children.start("broken", [sys.executable, "-c", "raise SystemExit('no disk')"])
        _wait(child)
        with pytest.raises(ChildFailed, match="broken ended with 1\nno disk"):
            child.finished()


def test_a_kill_says_whether_it_was_the_end(children: Children) -> None:
    with children:
        alive = children.start("alive", [sys.executable, "-c", "import time; time.sleep(600)"])
        assert alive.kill()
        ended = children.start("ended", [sys.executable, "-c", "pass"])
        _wait(ended)
        assert not ended.kill()


def test_a_child_that_ends_well_is_finished(children: Children) -> None:
    with children:
        child = children.start("good", [sys.executable, "-c", "pass"])
        _wait(child)
        assert child.finished()


def test_a_free_port_is_one_where_nobody_listens_until_somebody_does() -> None:
    port = free_port()
    assert not listens(port)
    with socket.create_server(("127.0.0.1", port)):
        assert listens(port)


def test_a_chosen_port_is_none_that_the_system_gives_away_or_that_was_chosen_before() -> None:
    ports = [free_port() for _ in range(20)]
    with socket.create_server(("127.0.0.1", 0)) as any_port:
        given_away = any_port.getsockname()[1]
    assert len(set(ports)) == 20
    assert max(ports) < min(32_768, given_away)
