"""Ctrl-C, or a termination by Dagster, in the middle of an export or of an examination."""

from __future__ import annotations

import pytest

from tests.flush.interrupting import victim
from tests.services.forked import run_forked


@pytest.mark.parametrize("query", ["export", "examination"])
def test_a_signal_during_a_query_is_an_interruption_and_not_an_error(query: str) -> None:
    assert run_forked(victim, query) == 0
