"""Managers in several processes, in forked children, and killed between file and ledger."""

from __future__ import annotations

from collections.abc import Callable
from multiprocessing.queues import Queue
from multiprocessing.synchronize import Barrier
from pathlib import Path

import pyarrow as pa
import pytest

from tests.ingest.batches import journal_rows, readings, segment_rows, volumes
from tests.services.forked import FORKED, Forked
from tests.staging.processes import run, run_until_killed
from timestore_pipeline.ingest.manager import StagingManager
from timestore_pipeline.settings import Settings
from timestore_pipeline.staging.area import StagingArea

PRODUCER = """
import os, sys
from tests.ingest.batches import readings
from timestore_pipeline import Settings, StagingManager
from timestore_pipeline.ingest import group, group_commit
from timestore_pipeline.staging import journal
from timestore_pipeline.staging.ledger.batches import Batches

def die(*_, **__):
    os.kill(os.getpid(), 9)

manager = StagingManager.open(Settings.build(home=sys.argv[1]))
manager.enqueue("d", readings(3), idempotency_key="acknowledged")
"""


@pytest.mark.parametrize(
    ("death", "rows_in_file"),
    [
        ("die()", 3),
        ("group.encode = die", 3),
        ("journal.os.writev = die", 3),
        ("journal.os.fdatasync = die", 8),  # written, and perhaps not durable
        ("Batches.promise = die", 8),  # between the journal's flush and the ledger's commit
    ],
)
def test_killed_at_any_step_what_was_acknowledged_is_there_and_nothing_else_counts(
    area: StagingArea, settings: Settings, death: str, rows_in_file: int
) -> None:
    script = f"{PRODUCER}\n{death}\nmanager.enqueue('d', readings(5), idempotency_key='lost')"
    run_until_killed(script, settings.home)
    assert volumes(area)["accepted"].rows == volumes(area)["pending"].rows == 3
    assert sum(rows for _, rows in journal_rows(area)) == rows_in_file
    assert sum(segment_rows(area).values()) == 3
    assert area.directory.journal_files() == []  # its owner is dead
    with StagingManager.open(settings) as manager:
        assert manager.enqueue("d", readings(3), idempotency_key="acknowledged").duplicate
        assert not manager.enqueue("d", readings(5), idempotency_key="lost").duplicate
    assert volumes(area)["pending"].rows == 8


def test_killed_after_the_ledgers_commit_the_batch_is_a_duplicate(area: StagingArea, settings: Settings) -> None:
    death = "group_commit.resolve = die"
    run_until_killed(f"{PRODUCER}\n{death}\nmanager.enqueue('d', readings(5), idempotency_key='silent')", settings.home)
    with StagingManager.open(settings) as manager:
        assert manager.enqueue("d", readings(5), idempotency_key="silent").duplicate
    assert sum(segment_rows(area).values()) == volumes(area)["pending"].rows == 8


@pytest.mark.parametrize("death", ["journal.os.open = die", "journal.keep_private = die", "journal.sync = die"])
def test_killed_while_its_journal_is_made_it_is_known_and_removed(
    area: StagingArea, settings: Settings, death: str
) -> None:
    run_until_killed(PRODUCER.replace("manager.enqueue", f"{death}\nmanager.enqueue"), settings.home)
    [journal] = area.ledger.journals.all()
    assert not journal.closed
    assert segment_rows(area) == {}
    assert area.ledger.journals.all() == []
    assert area.directory.journal_files() == []
    with StagingManager.open(settings) as manager:
        assert not manager.enqueue("d", readings(3), idempotency_key="acknowledged").duplicate


def _same_keys(barrier: Barrier, home: Path, answers: Queue[list[bool]]) -> None:
    with StagingManager.open(Settings.build(home=home)) as manager:
        barrier.wait(60)
        futures = [manager.submit("d", readings(1), idempotency_key=f"k{n}") for n in range(30)]
        answers.put([future.result(60).duplicate for future in futures])


def _new_column(barrier: Barrier, home: Path, column: str, answers: Queue[list[bool]]) -> None:
    with StagingManager.open(Settings.build(home=home)) as manager:
        barrier.wait(60)
        for n in range(3):
            manager.enqueue("d", readings(2, **{f"{column}{n}": pa.int64()}))
        answers.put([])


def _together(target: Callable[..., None], home: Path, arguments: list[tuple[str, ...]]) -> list[list[bool]]:
    barrier = FORKED.Barrier(len(arguments))
    answers: Queue[list[bool]] = FORKED.Queue()
    children = [Forked(target, barrier, home, *extra, answers) for extra in arguments]
    found = [answers.get(timeout=120) for _ in children]
    assert [child.wait() for child in children] == [0] * len(children)
    answers.close()
    answers.join_thread()
    return found


def test_processes_that_send_the_same_keys_stage_each_once(area: StagingArea, settings: Settings) -> None:
    found = _together(_same_keys, settings.home, [(), (), ()])
    assert sum(not duplicate for answers in found for duplicate in answers) == 30
    assert volumes(area)["accepted"].batches == 30


def test_processes_that_add_columns_at_once_all_succeed(area: StagingArea, settings: Settings) -> None:
    _together(_new_column, settings.home, [("a",), ("b",), ("c",)])
    schema = area.ledger.datasets.get("d").schema
    assert schema is not None
    assert sorted(schema.names) == sorted(["at", "value", *(f"{c}{n}" for c in "abc" for n in range(3))])
    assert sum(segment_rows(area).values()) == volumes(area)["pending"].rows == 18


FORKING = """
import gc, os, sys
from tests.ingest.batches import readings
from timestore_pipeline import Settings, StagingManager
from timestore_pipeline.errors import InvalidInput

manager = StagingManager.open(Settings.build(home=sys.argv[1]))
manager.enqueue("d", readings(3))
child = os.fork()
if child == 0:
    try:
        with manager:
            manager.enqueue("d", readings(5))
    except InvalidInput as error:
        print(error, "|", error.hint)
    del manager
    gc.collect()
    sys.exit(0)
assert os.waitpid(child, 0)[1] == 0
manager.enqueue("d", readings(4))
os.kill(os.getpid(), 9)
"""


def test_a_forked_child_is_told_and_cannot_harm_its_parents_journal(area: StagingArea, settings: Settings) -> None:
    run_until_killed(FORKING, settings.home)
    assert sum(segment_rows(area).values()) == volumes(area)["pending"].rows == 7


def test_a_forked_child_is_told_what_to_do(settings: Settings) -> None:
    told = run(FORKING.replace("os.kill(os.getpid(), 9)", "manager.close()"), settings.home)
    assert told.startswith("this staging manager was opened in another process | open one in each process")
