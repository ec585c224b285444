"""Journals are read, and compared with the batches that were acknowledged into them."""

from __future__ import annotations

import shutil
from collections.abc import Callable
from pathlib import Path

import pytest

from tests.recovery.audit.books import alter_ledger, audited, codes, readings
from timestore_pipeline.recovery.shard_audit import verify
from timestore_pipeline.staging.journal_records import scan
from timestore_pipeline.wiring import Timestore


@pytest.fixture
def journal(store: Timestore) -> Path:
    """Two batches of the dataset and one of another, a record each."""
    with store.staging() as staging:
        staging.enqueue("weather", readings(6))
        staging.enqueue("other", readings(7))
        staging.enqueue("weather", readings(4))
    [path] = store.area.directory.journal_files()
    return path


def flip(path: Path, before: int) -> None:
    """A bit of what ends there."""
    content = bytearray(path.read_bytes())
    content[before - 40] ^= 0x10
    path.write_bytes(content)


def test_a_sound_journal_is_ok(store: Timestore, journal: Path) -> None:
    audit = audited(store)
    assert (audit.ok, audit.pending_rows, codes(audit.warnings)) == (True, 30, [])


def test_a_damaged_record_is_reported_with_its_journal_and_place(store: Timestore, journal: Path) -> None:
    offsets = [found.offset for found in scan(journal).records]
    flip(journal, offsets[1])
    [problem] = audited(store).problems
    assert problem.code == "unreadable_segment"
    assert f"the record at byte {offsets[0]} of journal {journal} is damaged" in problem.message
    assert "keep the journal" in problem.hint
    report = verify(store.area, store.lake)
    assert {audit.dataset: audit.ok for audit in report.datasets} == {"other": True, "weather": False}


def tear(path: Path) -> None:
    path.write_bytes(path.read_bytes()[:-50])


def exchange(path: Path) -> None:
    """The same bytes with another beginning: offsets point into the middle of records."""
    path.write_bytes(b"x" + path.read_bytes()[:-1])


@pytest.mark.parametrize(("spoil", "records"), [(tear, 1), (exchange, 2), (Path.unlink, 2)])
def test_every_record_that_cannot_be_read_is_a_problem(
    store: Timestore, journal: Path, spoil: Callable[[Path], None], records: int
) -> None:
    spoil(journal)
    problems = audited(store).problems
    assert codes(problems) == ["unreadable_segment"] * records
    assert all(str(journal) in problem.message for problem in problems)


def test_a_torn_end_that_was_never_promised_is_ok(store: Timestore, journal: Path) -> None:
    with journal.open("ab") as end:
        end.write(journal.read_bytes()[-300:-100])
    assert audited(store).ok


def test_a_record_that_holds_another_number_of_rows_than_was_promised_is_a_problem(
    store: Timestore, journal: Path
) -> None:
    alter_ledger(store, "UPDATE batches SET rows = rows + 1 WHERE record_offset IS NOT NULL AND rows = 6")
    assert "unreadable_segment" in codes(audited(store).problems)


def test_an_unlisted_journal_is_reported_for_each_dataset_in_it(store: Timestore, journal: Path) -> None:
    stray = journal.with_stem("0" * len(journal.stem))
    shutil.copy(journal, stray)
    stray.write_bytes(stray.read_bytes().replace(journal.stem.encode(), stray.stem.encode(), 1))
    report = verify(store.area, store.lake)
    told = {audit.dataset: codes(audit.problems) for audit in report.datasets}
    assert told == {"other": ["unknown_journal"], "weather": ["unknown_journal"]}
    assert str(stray) in report.datasets[0].problems[0].message
