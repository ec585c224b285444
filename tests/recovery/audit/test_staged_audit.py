"""Segments and journals are compared with the batches that were acknowledged into them."""

from __future__ import annotations

import errno
import shutil
from pathlib import Path

import pytest

from tests.recovery.audit.books import alter_ledger, alter_segment, audited, codes, segment
from timestore_pipeline.recovery import staged_audit
from timestore_pipeline.recovery.shard_audit import verify
from timestore_pipeline.staging.system_errors import disk_failing
from timestore_pipeline.wiring import Timestore


def test_a_row_missing_from_a_segment_is_found(store: Timestore) -> None:
    alter_segment(segment(store), "DELETE FROM rows WHERE value = 11")
    [problem] = audited(store).problems
    assert problem.code == "rows_missing"
    assert "acknowledged with 12 rows" in problem.message
    assert f"{segment(store)} holds 11" in problem.message


def test_a_row_too_many_in_a_segment_is_found(store: Timestore) -> None:
    alter_segment(segment(store), "INSERT INTO rows SELECT * FROM rows LIMIT 1")
    assert codes(audited(store).problems) == ["rows_missing"]


def test_a_missing_segment_is_found(store: Timestore) -> None:
    segment(store).unlink()
    assert codes(audited(store).problems) == ["unreadable_segment"]


def test_a_torn_segment_is_found(store: Timestore) -> None:
    path = segment(store)
    path.write_bytes(path.read_bytes()[:5000])
    assert codes(audited(store).problems) == ["unreadable_segment"]


def test_a_segment_that_the_disk_does_not_give_is_a_problem_and_no_verdict(
    store: Timestore, monkeypatch: pytest.MonkeyPatch
) -> None:
    def fails(_engine: object, path: Path, _alias: str, dataset: str) -> None:
        raise disk_failing(OSError(errno.EIO, "Input/output error"), str(path), dataset)

    monkeypatch.setattr(staged_audit, "attach_sealed", fails)
    audit = audited(store)
    assert codes(audit.problems) == ["disk_failing"]
    assert str(segment(store)) in audit.problems[0].message
    assert audit.certain_problems is None


def test_a_batch_with_missing_rows_is_named_as_its_receipt_names_it(store: Timestore) -> None:
    [owed] = [batch for batch in store.area.ledger.batches.owed(segment(store).stem) if batch.rows == 12]
    alter_segment(segment(store), "DELETE FROM rows WHERE value = 11")
    assert f"batch {owed.batch_id} was acknowledged" in audited(store).problems[0].message


def test_an_unlisted_segment_file_is_found(store: Timestore) -> None:
    path = segment(store)
    shutil.copy(path, path.with_stem("copy"))
    assert codes(audited(store).problems) == ["unknown_segment"]


def test_batches_of_a_segment_that_is_not_listed_are_found(store: Timestore) -> None:
    alter_ledger(store, "DELETE FROM segments")
    assert set(codes(audited(store).problems)) == {"unknown_segment", "segment_unregistered"}


def test_a_dataset_that_only_a_segment_file_names_is_audited(store: Timestore) -> None:
    path = segment(store)
    stray = path.parent.with_name("stray") / path.name
    stray.parent.mkdir()
    shutil.copy(path, stray.with_stem("copy"))
    report = verify(store.area, store.lake)
    assert [(audit.dataset, audit.ok) for audit in report.datasets] == [("stray", False), ("weather", True)]
