"""A failing lake or disk: a typed error, and nothing changed."""

from __future__ import annotations

import shutil

import duckdb
import pytest
from deltalake import DeltaTable, TableFeatures

from tests.maintain.small_files import AT_ONCE, Space, books, content, live, maintained, stored
from timestore_pipeline.lake.log import DeltaLog
from timestore_pipeline.lake.store import LocalStore
from timestore_pipeline.wiring import Timestore


def test_a_disk_without_room_is_found_before_anything_is_written(
    fragmented: Timestore, monkeypatch: pytest.MonkeyPatch
) -> None:
    before = stored(fragmented)
    monkeypatch.setattr(shutil, "disk_usage", lambda _: Space(1, 1, 0))
    assert [error.code for error in maintained(fragmented).errors] == ["disk_full"]
    assert (stored(fragmented), live(fragmented)) == (before, before)


def test_a_folder_that_takes_no_file_is_named(fragmented: Timestore, monkeypatch: pytest.MonkeyPatch) -> None:
    before = stored(fragmented)
    monkeypatch.setattr(LocalStore, "receiving", _refuse)
    [error] = maintained(fragmented).errors
    assert error.code == "access_denied"
    assert "write access to the lake" in error.hint
    assert (stored(fragmented), live(fragmented)) == (before, before)


def test_a_file_that_cannot_be_deleted_is_named_and_the_table_is_sound(
    fragmented: Timestore, monkeypatch: pytest.MonkeyPatch
) -> None:
    before = content(fragmented)
    with monkeypatch.context() as patched:
        patched.setattr(LocalStore, "delete", _refuse)
        assert [error.code for error in maintained(fragmented, retention=AT_ONCE).errors] == ["access_denied"]
    assert content(fragmented) == before
    assert len(maintained(fragmented, retention=AT_ONCE).deleted) == 12
    assert books(fragmented) == ([], [])


def test_a_log_that_cannot_be_flushed_keeps_the_file_until_it_answers(
    fragmented: Timestore, monkeypatch: pytest.MonkeyPatch
) -> None:
    """The commit is there and nobody may rely on it yet: neither old nor new files are deleted."""
    before = content(fragmented)
    with monkeypatch.context() as patched:
        patched.setattr(DeltaLog, "make_durable", _refuse)
        assert [error.code for error in maintained(fragmented).errors] == ["outcome_unknown"]
    assert content(fragmented) == before
    assert maintained(fragmented, retention=AT_ONCE).ok
    assert stored(fragmented) == live(fragmented)
    assert books(fragmented) == ([], [])


@pytest.mark.unreadable_table
def test_a_table_with_features_that_change_the_meaning_of_files_is_not_compacted(fragmented: Timestore) -> None:
    DeltaTable(fragmented.lake.table("weather").uri).alter.add_feature(
        TableFeatures.DeletionVectors, allow_protocol_versions_increase=True
    )
    before = stored(fragmented)
    [error] = maintained(fragmented).errors
    assert (error.code, stored(fragmented)) == ("conflict", before)


def test_too_little_memory_says_which_setting_helps(fragmented: Timestore, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("timestore_pipeline.maintain.file_rows.FileRows.select", _out_of_memory)
    [error] = maintained(fragmented).errors
    assert error.code == "out_of_memory"
    assert "TIMESTORE_EXPORT_MEMORY_MB" in error.hint


def _refuse(*_arguments: object, **_options: object) -> None:
    raise PermissionError(13, "Permission denied")


def _out_of_memory(*_arguments: object) -> str:
    raise duckdb.OutOfMemoryException("could not allocate block")
