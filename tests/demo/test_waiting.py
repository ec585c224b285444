from __future__ import annotations

import pytest

from demo.waiting import TookTooLong, wait_until


def test_waiting_ends_when_it_is_done() -> None:
    answers = iter([False, False, True])
    wait_until(lambda: next(answers), "three answers", 60, pause_seconds=0)
    assert list(answers) == []


def test_waiting_in_vain_names_what_did_not_happen() -> None:
    with pytest.raises(TookTooLong, match="waited 0 s for the moon"):
        wait_until(lambda: False, "the moon", 0, pause_seconds=0)
