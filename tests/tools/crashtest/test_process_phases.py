"""A killer sees what its victim's threads are doing."""

from __future__ import annotations

import os
import signal
import threading

import pytest

from timestore_pipeline.tools.crashtest.process_phases import IDLE, MARKED, START, PhaseBoard


@pytest.fixture
def board() -> PhaseBoard:
    return PhaseBoard(2)


def test_a_phase_ends_with_its_block(board: PhaseBoard) -> None:
    marker = board.marker(1)
    with marker.during("claim"):
        assert board.read(1) == "claim"
        with marker.during("finalize"):
            assert board.read(1) == "finalize"
        assert board.read(1) == "claim"
    assert board.read(1) == IDLE


def test_a_process_starts_until_it_says_otherwise(board: PhaseBoard) -> None:
    board.clear(0, START)
    assert (board.read(0), board.read(1)) == (START, IDLE)
    board.marker(0).idle()
    assert board.read(0) == IDLE


def test_of_several_threads_the_one_at_the_deepest_work_counts(board: PhaseBoard) -> None:
    marker = board.marker(0)
    entered, leave = threading.Event(), threading.Event()

    def append() -> None:
        with marker.during("journal append"):
            entered.set()
            leave.wait()

    thread = threading.Thread(target=append)
    with marker.during("send"):
        thread.start()
        entered.wait()
        assert board.read(0) == "journal append"
        leave.set()
        thread.join()
        assert board.read(0) == "send"


def test_the_phase_of_a_killed_process_stays_readable(board: PhaseBoard) -> None:
    child = os.fork()
    if child == 0:
        with board.marker(1).during("delta commit"):
            os.kill(os.getpid(), signal.SIGKILL)
    assert os.waitstatus_to_exitcode(os.waitpid(child, 0)[1]) == -signal.SIGKILL
    assert board.read(1) == "delta commit"


@pytest.mark.parametrize("phase", MARKED)
def test_every_phase_is_a_function_that_the_product_still_has(phase: str) -> None:
    owner, name = MARKED[phase]
    assert callable(getattr(owner, name))
