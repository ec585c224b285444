"""A journal that is appended to: durable, private, and given up after an error with what was acknowledged whole."""

from __future__ import annotations

import errno
import os
import stat
from collections.abc import Iterator, Sequence
from pathlib import Path

import pytest

from tests.ingest.batches import group_commit as make_group_commit
from tests.ingest.batches import journals_of, queued, readings, segment_rows, volumes
from tests.services.small_disk import fill, mounted
from tests.staging.journals import record, write
from tests.staging.processes import run
from timestore_pipeline.errors import AccessDenied, DiskFailing, DiskFull, RetryLater, TimestoreError
from timestore_pipeline.ingest.group_commit import GroupCommit
from timestore_pipeline.ingest.queue import QueuedBatch
from timestore_pipeline.staging.area import StagingArea
from timestore_pipeline.staging.journal import Journal
from timestore_pipeline.staging.journal_records import encode, scan


@pytest.fixture
def path(tmp_path: Path) -> Path:
    return tmp_path / "00ab.journal"


@pytest.fixture
def journal(path: Path) -> Iterator[Journal]:
    opened = Journal(path, "shard-0")
    yield opened
    opened.close()


def sizes(path: Path) -> list[int]:
    """Rows of each batch in it."""
    return [batch.rows for one in scan(path).records for batch in one.record.batches]


def test_records_are_appended_one_after_the_other(path: Path, journal: Journal) -> None:
    offsets = journal.append([encode(record(1)), encode(record(2, 3))])
    offsets += journal.append([encode(record(4))])
    assert [one.offset for one in scan(path).records] == offsets
    assert sizes(path) == [1, 2, 3, 4]
    assert journal.bytes == path.stat().st_size
    assert journal.append([]) == []


def test_a_journal_belongs_to_its_user_alone(path: Path, journal: Journal) -> None:
    assert stat.S_IMODE(path.stat().st_mode) == 0o600
    assert (journal.journal_id, journal.path) == ("00ab", path)


def test_a_file_that_is_there_is_never_written_to(path: Path) -> None:
    path.write_bytes(b"somebody's")
    with pytest.raises(RetryLater, match=str(path)):
        Journal(path, "shard-0")
    assert path.read_bytes() == b"somebody's"


def test_more_parts_than_one_call_takes_are_written(path: Path, journal: Journal) -> None:
    encoded = [encode(record(1, stream=str(number))) for number in range(1200)]
    assert len(journal.append(encoded)) == 1200
    assert len(scan(path).records) == 1200


@pytest.mark.parametrize("most", [1, 7, 64, 1000])
def test_a_call_that_writes_a_part_is_gone_on_with(
    path: Path, journal: Journal, monkeypatch: pytest.MonkeyPatch, most: int
) -> None:
    writev = os.writev

    def writes_little(descriptor: int, parts: Sequence[memoryview]) -> int:
        return writev(descriptor, [parts[0][:most]])

    monkeypatch.setattr(os, "writev", writes_little)
    journal.append([encode(record(3)), encode(record(2))])
    assert (sizes(path), scan(path).damaged_bytes) == ([3, 2], 0)


def test_every_append_is_flushed_after_all_of_it_was_written(
    path: Path, journal: Journal, monkeypatch: pytest.MonkeyPatch
) -> None:
    flushed: list[int] = []
    monkeypatch.setattr(os, "fdatasync", lambda descriptor: flushed.append(os.fstat(descriptor).st_size))
    for _ in range(3):
        journal.append([encode(record(3)), encode(record(2))])
        assert flushed[-1] == path.stat().st_size
    assert len(flushed) == 3


@pytest.mark.parametrize(
    ("number", "expected"),
    [
        (errno.ENOSPC, DiskFull),
        (errno.EDQUOT, DiskFull),
        (errno.EIO, DiskFailing),
        (errno.EFBIG, DiskFailing),
        (errno.EACCES, AccessDenied),
        (errno.EROFS, AccessDenied),
        (errno.EBADF, RetryLater),
    ],
)
@pytest.mark.parametrize("call", ["writev", "fdatasync"])
def test_errors_are_sorted_by_remedy_and_name_the_journal(
    path: Path, journal: Journal, monkeypatch: pytest.MonkeyPatch, number: int, expected: type[Exception], call: str
) -> None:
    def fails(*_: object) -> int:
        raise OSError(number, os.strerror(number))

    monkeypatch.setattr(os, call, fails)
    with pytest.raises(expected, match=str(path)) as refused:
        journal.append([encode(record(1))])
    assert isinstance(refused.value, TimestoreError)
    assert refused.value.hint


@pytest.mark.parametrize("call", ["open", "writev", "fdatasync"])
def test_a_journal_that_cannot_be_made_leaves_no_file(path: Path, monkeypatch: pytest.MonkeyPatch, call: str) -> None:
    def fails(*_: object) -> int:
        raise OSError(errno.ENOSPC, os.strerror(errno.ENOSPC))

    with monkeypatch.context() as patch:
        patch.setattr(os, call, fails)
        with pytest.raises(DiskFull, match=str(path)):
            Journal(path, "shard-0")
    assert not path.exists()
    assert sizes_of_new(path) == [1]


def sizes_of_new(path: Path) -> list[int]:
    write(path, record(1))
    return sizes(path)


def test_closing_twice_is_fine_and_nothing_is_appended_then(journal: Journal) -> None:
    journal.close()
    journal.close()
    with pytest.raises(RetryLater):
        journal.append([encode(record(1))])


def test_a_file_that_may_grow_no_more_keeps_what_was_acknowledged(path: Path) -> None:
    script = """
import resource, sys
from pathlib import Path
from tests.staging.journals import record
from timestore_pipeline.errors import TimestoreError
from timestore_pipeline.staging.journal import Journal
from timestore_pipeline.staging.journal_records import encode
journal = Journal(Path(sys.argv[1]), "shard-0")
journal.append([encode(record(10))])
resource.setrlimit(resource.RLIMIT_FSIZE, (100_000, resource.RLIM_INFINITY))
try:
    journal.append([encode(record(50_000))])
except TimestoreError as error:
    print(type(error).__name__)
"""
    assert run(script, path) == "DiskFailing"
    assert path.stat().st_size == 100_000  # torn
    assert (sizes(path), scan(path).damaged_bytes) == ([10], 0)


def test_on_a_full_disk_batches_are_refused_and_once_there_is_room_staged(tmp_path: Path) -> None:
    with mounted(tmp_path / "disk", 8) as disk, StagingArea(disk / "staging", "shard-0") as area:
        commits = make_group_commit(area)
        first = _commit(area, 5, "first", commits)
        room = fill(disk)
        os.truncate(room, room.stat().st_size - 262_144)  # the ledger has some, the next record has not
        refused = [_commit(area, 60_000, f"large-{number}", commits) for number in range(2)]
        assert all(isinstance(batch.receipt.exception(0), DiskFull) for batch in refused)
        room.unlink()
        again = _commit(area, 60_000, "large-0", commits)
        assert not again.receipt.result(0).duplicate
        assert len(set(journals_of(area, [first, again]))) == 2
        commits.close_journal()
        assert volumes(area)["pending"].rows == sum(segment_rows(area).values()) == 60_005


def _commit(area: StagingArea, rows: int, key: str, commits: GroupCommit) -> QueuedBatch:
    batch = queued(area, readings(rows), key)
    commits.commit([batch])
    return batch


@pytest.mark.parametrize("call", ["writev", "fdatasync"])
def test_after_an_error_of_the_disk_the_next_journal_takes_the_batches(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, call: str
) -> None:
    def fails(*_: object) -> int:
        raise OSError(errno.EIO, os.strerror(errno.EIO))

    with StagingArea(tmp_path / "staging", "shard-0") as area:
        commits = make_group_commit(area)
        first = _commit(area, 5, "a", commits)
        with monkeypatch.context() as patch:
            patch.setattr(os, call, fails)
            lost = _commit(area, 7, "b", commits)
        assert isinstance(lost.receipt.exception(0), DiskFailing)
        again = _commit(area, 7, "b", commits)
        assert not again.receipt.result(0).duplicate
        assert len(set(journals_of(area, [first, again]))) == 2
        commits.close_journal()
        assert sum(segment_rows(area).values()) == volumes(area)["pending"].rows == 12
        assert area.directory.journal_files() == []
