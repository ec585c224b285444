"""Transactions: whole or not at all, and a typed error when the file will not have them."""

from __future__ import annotations

import errno
import os
import sqlite3
import subprocess
import sys
from collections.abc import Callable, Sequence
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

import pytest

from tests.services.require import require
from tests.staging.processes import held, run
from timestore_pipeline.errors import Corrupted, DiskFailing, DiskFull, LedgerBusy, TimestoreError
from timestore_pipeline.staging.ledger import Ledger, database
from timestore_pipeline.staging.ledger.database import Database

HOLD = """
import sqlite3, sys
connection = sqlite3.connect(sys.argv[1], isolation_level=None)
connection.execute("BEGIN IMMEDIATE")
print("ready", flush=True)
input()
"""


def test_commits_are_durable_and_readers_do_not_block(ledger: Ledger) -> None:
    for pragma, value in (("journal_mode", "wal"), ("synchronous", 2), ("foreign_keys", 1)):
        with ledger.database.transaction() as tx:
            assert tx.execute(f"PRAGMA {pragma}").fetchone()[0] == value


def test_a_quick_transaction_is_flushed_after_the_lock_is_released_and_before_it_returns(
    ledger: Ledger, monkeypatch: pytest.MonkeyPatch
) -> None:
    other = Database(ledger.database.path)
    flush, flushed = os.fdatasync, list[str]()

    def commit_and_flush(descriptor: int) -> None:
        if not flushed:
            with other.transaction() as tx:
                tx.execute("INSERT INTO meta VALUES ('other', '2')")
        flushed.append(str(Path(f"/proc/self/fd/{descriptor}").readlink()))
        flush(descriptor)

    monkeypatch.setattr(os, "fdatasync", commit_and_flush)
    with ledger.database.quick_transaction() as tx:
        tx.execute("INSERT INTO meta VALUES ('one', '1')")
    assert flushed == [f"{ledger.database.path}-wal"]
    assert (ledger.get_meta("one"), ledger.get_meta("other")) == ("1", "2")
    with ledger.database.transaction() as tx:
        assert tx.execute("PRAGMA synchronous").fetchone()[0] == 2
    other.close()


def test_a_quick_transaction_that_fails_changes_nothing_and_is_not_flushed(
    ledger: Ledger, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(os, "fdatasync", lambda _: pytest.fail("there is nothing to flush"))
    with pytest.raises(KeyboardInterrupt), ledger.database.quick_transaction() as tx:
        _interrupt(tx)
    assert ledger.get_meta("half") is None
    with ledger.database.transaction() as tx:
        assert tx.execute("PRAGMA synchronous").fetchone()[0] == 2


def test_a_log_that_cannot_be_flushed_is_the_disks_failure(ledger: Ledger, monkeypatch: pytest.MonkeyPatch) -> None:
    def fails(_descriptor: int) -> None:
        raise OSError(errno.EIO, "Input/output error")

    with monkeypatch.context() as patched:
        patched.setattr(os, "fdatasync", fails)
        with pytest.raises(DiskFailing, match="-wal"), ledger.database.quick_transaction() as tx:
            tx.execute("INSERT INTO meta VALUES ('a', '1')")
    ledger.set_meta("a", "2")
    assert ledger.get_meta("a") == "2"


def test_the_log_gives_back_what_a_large_transaction_took(ledger: Ledger, tmp_path: Path) -> None:
    (log,) = tmp_path.rglob("*-wal")
    with ledger.database.transaction() as tx:
        tx.execute("INSERT INTO meta VALUES ('large', zeroblob(40000000))")
    assert log.stat().st_size > 40_000_000
    ledger.set_meta("small", "1")
    ledger.set_meta("small", "2")
    assert log.stat().st_size <= 16 << 20


def _begin_and(ledger: Ledger, then: Callable[[sqlite3.Connection], object]) -> None:
    with ledger.database.transaction() as tx:
        tx.execute("INSERT INTO meta VALUES ('half', 'done')")
        then(tx)


def _interrupt(tx: sqlite3.Connection) -> None:
    raise KeyboardInterrupt


def _fill_the_disk(tx: sqlite3.Connection) -> None:
    tx.execute("PRAGMA max_page_count = 1")
    tx.execute("CREATE TABLE large AS SELECT randomblob(100000)")


def test_an_exception_takes_the_whole_transaction_back(ledger: Ledger) -> None:
    with pytest.raises(KeyboardInterrupt):
        _begin_and(ledger, _interrupt)
    assert ledger.get_meta("half") is None
    ledger.set_meta("next", "works")


def test_a_transaction_inside_a_transaction_is_refused_and_undoes_both(ledger: Ledger) -> None:
    with pytest.raises(TimestoreError, match="within a transaction"):
        _begin_and(ledger, lambda _: ledger.set_meta("inner", "1"))
    assert ledger.get_meta("half") is None


def test_an_interrupt_just_after_the_lock_was_taken_lets_go_of_it(
    ledger: Ledger, monkeypatch: pytest.MonkeyPatch
) -> None:
    def begin_and_be_interrupted(connection: sqlite3.Connection, _statement: str) -> None:
        connection.execute("BEGIN IMMEDIATE")
        raise KeyboardInterrupt

    with monkeypatch.context() as patched:
        patched.setattr(database, "_patiently", begin_and_be_interrupted)
        with pytest.raises(KeyboardInterrupt):
            ledger.set_meta("key", "interrupted")
    ledger.set_meta("key", "value")
    assert ledger.get_meta("key") == "value"


def test_a_process_that_holds_the_lock_and_stands_still_is_reported(
    ledger: Ledger, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(database, "_BUSY_TIMEOUT", 0.01)
    with held(HOLD, ledger.database.path):
        with pytest.raises(LedgerBusy, match="write lock was held"):
            ledger.set_meta("a", "1")
        assert ledger.get_meta("a") is None
    ledger.set_meta("a", "2")
    assert ledger.get_meta("a") == "2"


def test_a_snapshot_sees_one_state(ledger: Ledger) -> None:
    with ledger.database.snapshot() as tx:
        before = tx.execute("SELECT count(*) FROM meta").fetchone()[0]
        ledger.set_meta("a", "1")
        assert tx.execute("SELECT count(*) FROM meta").fetchone()[0] == before
    assert ledger.get_meta("a") == "1"


def test_threads_share_a_ledger(ledger: Ledger) -> None:
    ledger.datasets.ensure("d")
    with ThreadPoolExecutor(8) as pool:
        for done in [pool.submit(ledger.counters.add, "d", "s", {}, 1) for _ in range(100)]:
            done.result()
    assert [counter.value for counter in ledger.counters.all()] == [100]


def test_the_change_marker_moves_with_every_commit_and_only_then(ledger: Ledger) -> None:
    marker = ledger.database.change_marker()
    assert ledger.database.change_marker() == marker
    ledger.set_meta("a", "1")
    assert ledger.database.change_marker() != marker


def test_what_is_no_database_is_reported_and_kept(tmp_path: Path) -> None:
    path = tmp_path / "ledger.sqlite"
    path.write_bytes(b"not a database, not even nearly" * 100)
    with pytest.raises(Corrupted, match="is damaged"):
        Database(path)
    assert path.read_bytes().startswith(b"not a database")


def test_a_full_disk_is_told_apart(ledger: Ledger) -> None:
    with pytest.raises(DiskFull, match="no space left for the ledger"):
        _begin_and(ledger, _fill_the_disk)
    assert ledger.get_meta("half") is None


AT_REST = """
import os, resource, sys
from pathlib import Path
from timestore_pipeline.errors import TimestoreError
from timestore_pipeline.staging.ledger import Ledger
ledger = Path(sys.argv[1]) / "ledger.sqlite"
Ledger(ledger, "shard-0").close()
{trouble}
try:
    Ledger(ledger, "shard-0")
except TimestoreError as error:
    print(type(error).__name__)
"""
FILL = """
with open(ledger.with_name("ballast"), "wb", buffering=0) as file:
    try:
        while file.write(bytes(512)): pass
    except OSError: pass
"""
TAKE_DESCRIPTORS = """
resource.setrlimit(resource.RLIMIT_NOFILE, (64, 64))
taken = []
try:
    while True: taken.append(os.open("/dev/null", os.O_RDONLY))
except OSError: os.close(taken.pop())
"""


def test_a_ledger_at_rest_on_a_full_disk_is_not_refused_for_any_other_reason(tmp_path: Path) -> None:
    script = 'mount -t tmpfs -o size=1m tmpfs "$0" && exec "$1" -c "$2" "$0"'
    command = ["unshare", "--map-root-user", "--mount", "sh", "-c", script, str(tmp_path)]
    available = run_out([*command, "true", ""]).returncode == 0
    require("a mount namespace", available=available, remedy="allow user namespaces, or run as root")
    done = run_out([*command, sys.executable, AT_REST.format(trouble=FILL)])
    assert (done.stdout.strip(), done.stderr) == ("DiskFull", "")


def test_without_a_descriptor_left_the_ledger_is_not_refused_for_its_mode(tmp_path: Path) -> None:
    assert run(AT_REST.format(trouble=TAKE_DESCRIPTORS), tmp_path) == "RetryLater"


def run_out(command: Sequence[str | Path]) -> subprocess.CompletedProcess[str]:
    return subprocess.run(command, cwd=Path(__file__).parents[3], capture_output=True, text=True, check=False)


def test_a_closed_ledger_answers_with_a_typed_error(tmp_path: Path) -> None:
    closed = Ledger(tmp_path / "l.sqlite", "shard-0")
    closed.close()
    closed.close()
    for call in (closed.datasets.all, lambda: closed.set_meta("a", "1")):
        with pytest.raises(TimestoreError):
            call()


def test_another_program_may_read_the_ledger(ledger: Ledger) -> None:
    ledger.set_meta("a", "1")
    with sqlite3.connect(f"file:{ledger.database.path}?mode=ro", uri=True) as other:
        assert other.execute("SELECT value FROM meta WHERE key = 'a'").fetchall() == [("1",)]
    other.close()
