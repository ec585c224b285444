from __future__ import annotations

import io
from collections import Counter
from dataclasses import replace

import pyarrow as pa
from rich.console import Console

from demo.outcome import DatasetOutcome, Outcome
from demo.producer import Report
from demo.summary import conservation, counted, show
from demo.verification import compare

_SOURCE = pa.table({"n": [1, 2, 3]})
_ACCOUNT = {"accepted_batches": 2, "accepted_rows": 3, "published_rows": 2, "in_flight_rows": 1, "problems": []}
_DATASET = DatasetOutcome(
    compare("flights", _SOURCE, _SOURCE), _ACCOUNT, Counter(rows=2, manual=1), file_bytes=(10_000, 30_000, 20_000)
)
_OUTCOME = Outcome(
    [_DATASET],
    verified=True,
    reports=[Report("JFK", duplicate_batches=3), Report("LGA", duplicate_batches=4)],
    runs=Counter(SUCCESS=3),
    kills=[("producer", "process 7 ended by signal 9")],
    elapsed_seconds=90.04,
)


def _shown(outcome: Outcome) -> str:
    console = Console(file=io.StringIO(), width=150)
    show(console, outcome)
    assert isinstance(console.file, io.StringIO)
    return console.file.getvalue()


def test_the_summary_of_a_good_run_says_so_and_tells_its_figures() -> None:
    text = _shown(_OUTCOME)
    for expected in (
        "exactly once",
        "2 rows, 1 manual",
        "10 / 20 / 30 kB",
        "7 batches",
        "3 success",
        "process 7",
        "90.0 s",
    ):
        assert expected in text


def test_both_sides_of_the_equation_are_shown() -> None:
    assert conservation(_DATASET) == "3 accepted = 1 in flight + 2 published"


def test_nothing_counted_is_none() -> None:
    assert counted(Counter()) == "none"


def test_a_missing_row_is_a_problem_and_is_shown_with_the_brackets_it_has() -> None:
    lost = replace(_DATASET, comparison=compare("flights", _SOURCE, pa.table({"n": [1, 2]})))
    outcome = replace(_OUTCOME, datasets=[lost])
    assert outcome.problems == ['flights: 1 rows missing, such as {"n integer":"3"}']
    assert outcome.problems[0] in _shown(outcome)
    assert "exactly once" not in _shown(outcome)


def test_what_verify_says_is_a_problem() -> None:
    dataset = replace(_DATASET, account=_ACCOUNT | {"problems": ["2 rows too many"]})
    assert replace(_OUTCOME, datasets=[dataset]).problems == ["timestore verify: flights: 2 rows too many"]
    assert replace(_OUTCOME, verified=False).problems == ["timestore verify says no"]


def test_a_victim_that_got_away_is_a_problem() -> None:
    assert replace(_OUTCOME, missed_kills=["run worker"]).problems == ["chaos: the run worker was never caught"]
