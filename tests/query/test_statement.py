"""A query reads all acknowledged rows, as they will be published, and no others."""

from __future__ import annotations

import errno
import os
import random
import signal
from collections.abc import Callable
from datetime import UTC, date, datetime
from pathlib import Path
from typing import Any

import pyarrow as pa
import pytest

from tests.flush.conftest import hourly
from tests.flush.damaging import flip, journal_of, lose_end, poison, segment_of, stage, stage_in_journal
from tests.flush.damaging import numbers as numbers_of
from tests.flush.owners import start_owner
from tests.query.answers import ask, numbers, published_numbers, table
from tests.services.forked import Script, script
from tests.staging.rolled import roll_up_all
from timestore_pipeline import Settings, StagingManager
from timestore_pipeline.errors import InvalidQuery, RetryLater, TimestoreError, UnreadableSegment
from timestore_pipeline.flush.export_with_quarantine import ATTEMPTS_BEFORE_ISOLATION
from timestore_pipeline.lake import snapshot
from timestore_pipeline.model.flush import Trigger
from timestore_pipeline.query import staged_rows
from timestore_pipeline.recovery.shard_recovery import recover
from timestore_pipeline.staging import scratch
from timestore_pipeline.wiring import Timestore

__all__ = ["start_owner"]  # a fixture is found by its name in this module

_INTERRUPTED = """
import os, signal, sys, threading
from timestore_pipeline import Settings
from timestore_pipeline.query.statement import QueryThread
from timestore_pipeline.wiring import Timestore
signal.signal(signal.SIGINT, signal.default_int_handler)
run = QueryThread.run
def press_soon(*arguments):
    threading.Timer(0.2, os.kill, (os.getpid(), signal.SIGINT)).start()
    return run(*arguments)
QueryThread.run = press_soon  # DuckDB is at work by then
with Timestore(Settings.build(home=sys.argv[1])) as store:
    try:
        with store.query("SELECT sum(hash(a.i, b.i)) FROM range(1000000) a(i), range(1000000) b(i)"):
            print("done")
    except KeyboardInterrupt:
        print("interrupted")
"""

_HOLDING = """
import sys
from timestore_pipeline import Settings
from timestore_pipeline.wiring import Timestore
with Timestore(Settings.build(home=sys.argv[1])) as store, store.query("SELECT * FROM d"):
    print("pinned", flush=True)
    sys.stdin.read()
"""

INSTANTS = [datetime(2026, 3, 1, 5, 59, tzinfo=UTC), datetime(2026, 4, 2, tzinfo=UTC), None]


def flush(store: Timestore) -> None:
    store.flush("d", Trigger.MANUAL, "test")


@pytest.mark.parametrize("granularity", ["hour", "day", "month", "none"])
@pytest.mark.parametrize("kind", [pa.timestamp("ns", "Europe/Berlin"), pa.timestamp("ms"), pa.date64()], ids=str)
def test_a_row_reads_the_same_before_and_after_it_is_published(
    granularity: str, kind: pa.DataType, timestore: Timestore, staging: StagingManager
) -> None:
    timestore.set_metadata("d", {"partition": {"granularity": granularity}})
    columns = {
        "n": pa.array([1, 2, 3], pa.int16()),
        "ts": pa.array(INSTANTS).cast(kind),
        "u": pa.array([2**64 - 1, None, 0], pa.uint64()),
        "s": pa.array([{"a": [1]}, None, {"a": None}], pa.struct({"a": pa.list_(pa.int8())})),
        "b": pa.array([b"\xff", None, b""]),
        "m": pa.array([{"x": 1.5}, {}, None], pa.map_(pa.string(), pa.float32())),
    }
    staging.enqueue("d", pa.table(columns))
    staged = table(timestore, "FROM d ORDER BY n")
    flush(timestore)
    assert staged["n"].to_pylist() == [1, 2, 3]
    assert table(timestore, "FROM d ORDER BY n").equals(staged)


def test_a_column_that_the_table_has_not_yet(timestore: Timestore, staging: StagingManager) -> None:
    staging.enqueue("d", hourly(1))
    flush(timestore)
    staging.enqueue("d", hourly(1, first=1).append_column("added", pa.array(["x"])))
    rows = ask(timestore, "SELECT n, added, partition_date FROM d ORDER BY n")
    day = date(2026, 3, 1)
    assert rows == [{"n": n, "added": added, "partition_date": day} for n, added in ((0, None), (1, "x"))]
    flush(timestore)
    assert ask(timestore, "SELECT n, added, partition_date FROM d ORDER BY n") == rows


def test_acknowledged_batches_are_read_while_their_owner_writes(
    start_owner: Callable[[int], Script], timestore: Timestore
) -> None:
    owner = start_owner(0)
    for count in (10, 20, 30):
        assert numbers(timestore) == list(range(count))
        owner.tell(str(count))
        owner.wait_for_line("staged")


def test_a_dead_owners_rows_are_seen(start_owner: Callable[[int], Script], timestore: Timestore) -> None:
    owner = start_owner(0)
    owner.kill()
    assert numbers(timestore) == list(range(10))
    flush(timestore)
    assert numbers(timestore) == list(range(10))


def test_a_silent_owners_rows_are_seen(start_owner: Callable[[int], Script], timestore: Timestore) -> None:
    os.kill(start_owner(0).pid, signal.SIGSTOP)
    assert numbers(timestore) == list(range(10))


def test_a_journal_that_cannot_be_read_now_is_named_with_what_it_keeps(
    timestore: Timestore, settings: Settings, monkeypatch: pytest.MonkeyPatch
) -> None:
    stage_in_journal(settings, 1)
    kept = journal_of(timestore)
    stage_in_journal(settings, 1, first=1)
    opened = os.open

    def refuse(path: Any, *arguments: Any, **options: Any) -> int:
        if path == kept:
            raise PermissionError(errno.EACCES, os.strerror(errno.EACCES), str(path))
        return opened(path, *arguments, **options)

    monkeypatch.setattr(os, "open", refuse)
    with timestore.query("SELECT n FROM d ORDER BY n") as answer:
        assert answer.rows.read_all()["n"].to_pylist() == list(range(10, 20))
        [note] = answer.notes
    assert "10 staged rows of dataset 'd' are not read" in note
    assert str(kept) in note


def test_only_named_datasets_are_prepared(timestore: Timestore, staging: StagingManager) -> None:
    for name in ("d", "other"):
        staging.enqueue(name, hourly(10))
    lose_end(journal_of(timestore))  # of the other's record
    assert numbers(timestore) == list(range(10))
    with pytest.raises(UnreadableSegment):
        ask(timestore, "SELECT count(*) FROM other")


@pytest.mark.parametrize(
    "sql",
    [
        'WITH w AS (FROM "weather-hourly.v1") SELECT count(*) AS n FROM d, w WHERE d.n = w.n',
        'EXPLAIN SELECT count(*) FROM d JOIN "weather-hourly.v1" USING (n)',
        "PIVOT (SELECT n % 2 AS odd, n FROM D) ON odd USING sum(n)",
        "SUMMARIZE d",
        "DESCRIBE d",
    ],
)
def test_ways_to_name_a_dataset(sql: str, timestore: Timestore, staging: StagingManager) -> None:
    for name in ("d", "weather-hourly.v1"):
        staging.enqueue(name, hourly(10))
    assert ask(timestore, sql) != []


def test_a_dataset_without_columns_is_refused(timestore: Timestore) -> None:
    timestore.set_metadata("d", {})
    with pytest.raises(InvalidQuery, match="does not exist"):
        numbers(timestore)


def test_of_very_many_segments_the_rows_are_copied(
    timestore: Timestore, settings: Settings, monkeypatch: pytest.MonkeyPatch
) -> None:
    for first in range(5):
        stage(settings, 2, 2 * first)
    monkeypatch.setattr(staged_rows, "MOST_ATTACHED", 2)
    assert numbers(timestore) == numbers_of(range(10))


def test_a_spool_on_another_filesystem_gets_copies(
    timestore: Timestore, settings: Settings, monkeypatch: pytest.MonkeyPatch
) -> None:
    stage(settings, 2)

    def refuse(*_arguments: Any) -> None:
        raise OSError(errno.EXDEV, "Invalid cross-device link")

    monkeypatch.setattr(os, "link", refuse)
    assert numbers(timestore) == numbers_of(range(2))


def test_rows_can_be_read_long_after_their_segments_are_gone(timestore: Timestore, settings: Settings) -> None:
    stage(settings, 3)
    with timestore.query("SELECT n FROM d ORDER BY n") as answer:
        flush(timestore)
        assert list(timestore.area.directory.segment_folder("d").iterdir()) == []
        assert answer.rows.read_all()["n"].to_pylist() == numbers_of(range(3))
    assert list(timestore.area.directory.spool.iterdir()) == []


@pytest.mark.parametrize("damage", ["everywhere", "in a value"])
def test_a_damaged_segment_is_named_and_stays_for_a_flush_to_judge(
    damage: str, timestore: Timestore, settings: Settings
) -> None:
    drawn = random.Random(1)
    with StagingManager.open(settings) as staging:
        staging.enqueue("d", pa.table({"n": [drawn.getrandbits(60) for _ in range(50_000)]}))
    [path] = roll_up_all(timestore.area)
    size = path.stat().st_size
    for offset in range(12_288, size, 4096) if damage == "everywhere" else [size // 2]:
        flip(path, offset)
    with pytest.raises(UnreadableSegment, match=str(path)) as refused:
        numbers(timestore)
    assert "--published-only" in refused.value.hint
    assert timestore.area.ledger.open_incidents() == 0
    assert timestore.area.backlog("d").pending.batches == 1


@pytest.mark.parametrize("spoil", [lose_end, Path.unlink], ids=["damaged", "missing"])
def test_a_damaged_journal_is_an_error_and_nothing_more(
    timestore: Timestore, settings: Settings, spoil: Callable[[Path], None]
) -> None:
    stage_in_journal(settings, 3)
    path = journal_of(timestore)
    spoil(path)
    with pytest.raises(UnreadableSegment, match=str(path)) as refused:
        numbers(timestore)
    assert "timestore recover" in refused.value.hint
    assert timestore.area.ledger.open_incidents() == 0


def test_rows_in_quarantine_are_noted(timestore: Timestore, settings: Settings) -> None:
    stage(settings, 2)
    poison(segment_of(timestore), [1])
    for _ in range(ATTEMPTS_BEFORE_ISOLATION):
        with pytest.raises(TimestoreError, match="poison"):
            flush(timestore)
    flush(timestore)
    with timestore.query("SELECT count(*) AS n FROM d") as answer:
        assert answer.rows.read_all()["n"].to_pylist() == [10]
        assert "10 rows of dataset 'd' are in quarantine" in answer.notes[0]


def test_published_rows_alone(timestore: Timestore, settings: Settings) -> None:
    stage(settings, 2)
    flush(timestore)
    stage(settings, 1, first=2)
    assert published_numbers(settings) == numbers_of(range(2))


def test_a_table_is_not_read_far_ahead(
    timestore: Timestore, settings: Settings, monkeypatch: pytest.MonkeyPatch
) -> None:
    """DuckDB has to scan it by our own method, or Arrow reads as far ahead as it likes."""
    stage(settings, 2)
    flush(timestore)
    scanned: list[set[str]] = []
    scanner = snapshot._Frugal.scanner

    def recording(self: Any, **options: Any) -> Any:
        scanned.append(set(options))
        return scanner(self, **options)

    monkeypatch.setattr(snapshot._Frugal, "scanner", recording)
    assert ask(timestore, "SELECT sum(n) AS n FROM d WHERE n < 3") == [{"n": 3}]
    assert scanned == [{"columns", "filter"}]


def test_rows_come_before_all_are_there(timestore: Timestore) -> None:
    with timestore.query("SELECT i FROM range(1000000000000) t(i)") as answer:
        assert answer.rows.read_next_batch()["i"][0].as_py() == 0


def test_data_beyond_memory_is_spilled(settings: Settings) -> None:
    small = settings.model_copy(update={"export_memory_mb": 64})
    with Timestore(small) as store:
        [row] = ask(
            store, "SELECT count(*) AS n FROM (SELECT i, md5(i::VARCHAR) m FROM range(1500000) t(i) ORDER BY m, i)"
        )
        assert row == {"n": 1_500_000}


def test_the_folder_of_a_query_that_was_killed_is_removed_by_the_next(timestore: Timestore, settings: Settings) -> None:
    with Timestore(settings) as other, scratch.query_folder(other.area) as living:
        dead = living.with_name(f"query-{'0' * 16}-abcdefgh")
        for tidy in (lambda: ask(timestore, "SELECT 1"), lambda: recover(timestore.area, timestore.lake)):
            dead.mkdir()
            tidy()
            assert living.exists()
            assert not dead.exists()


def test_the_next_flush_removes_the_folder_of_a_killed_query(timestore: Timestore, settings: Settings) -> None:
    spool = timestore.area.directory.spool
    with timestore.staging() as staging:
        staging.enqueue("d", hourly(3))
    with script(_HOLDING, settings.home) as holding:
        holding.wait_for_line("pinned")
        flush(timestore)
        assert list(spool.glob("query-*/*.journal"))
        holding.kill()
    with timestore.staging() as staging:
        staging.enqueue("d", hourly(3))
    flush(timestore)
    assert list(spool.iterdir()) == []


@pytest.mark.parametrize("kind", ["query", "export", "maintain"])
def test_every_kind_of_folder_in_the_spool_names_its_process(kind: str) -> None:
    assert scratch.owner_of(scratch.prefix(kind, "0123456789abcdef") + "abcd_123") == "0123456789abcdef"


def test_ctrl_c_ends_a_long_query(settings: Settings) -> None:
    with script(_INTERRUPTED, settings.home) as running:
        assert running.finish() == "interrupted\n"


def test_a_query_that_needs_more_memory_says_so(settings: Settings) -> None:
    small = settings.model_copy(update={"export_memory_mb": 64})
    with Timestore(small) as store, pytest.raises(RetryLater, match="memory"):
        ask(store, "SELECT list(i) AS n FROM range(30000000) t(i)")
