"""Unlisted journals are entered, each batch once; journals that cannot be entered are reported and kept."""

from __future__ import annotations

import shutil
from pathlib import Path

import pytest

from tests.recovery.rebuild.conftest import (
    backup,
    flush,
    in_lake,
    numbers,
    problems,
    recovered,
    restore,
    stage,
    stage_in_segment,
)
from tests.staging.rolled import roll_up_in
from timestore_pipeline import Settings, StagingManager
from timestore_pipeline.model.flush import Trigger
from timestore_pipeline.staging.journal_records import scan
from timestore_pipeline.wiring import Timestore, rebuild_if_lost


def journals(settings: Settings) -> list[Path]:
    return sorted((settings.staging_directory / "journals").glob("*.journal"))


def only_journal(settings: Settings) -> Path:
    [path] = journals(settings)
    return path


def lose_ledger(settings: Settings) -> None:
    for path in settings.staging_directory.glob("ledger.sqlite*"):
        path.unlink()


def rebuilt(settings: Settings) -> None:
    lose_ledger(settings)
    assert rebuild_if_lost(settings) is not None


@pytest.mark.parametrize("done", [roll_up_in, flush], ids=["rolled up", "published"])
def test_a_batch_that_lies_in_a_segment_or_in_the_lake_too_counts_once(
    settings: Settings, tmp_path: Path, done: object
) -> None:
    """As when a process died before it removed the journal."""
    stage(settings, 0, 10)
    journal = only_journal(settings)
    shutil.copy(journal, tmp_path / "journal")
    assert callable(done)
    done(settings)
    assert journals(settings) == []
    shutil.copy(tmp_path / "journal", journal)
    rebuilt(settings)
    recovered(settings)
    assert problems(settings) == []
    stage(settings, 20)
    flush(settings)
    assert in_lake(settings) == list(range(30))
    assert problems(settings) == []
    assert journals(settings) == []


def test_a_torn_end_was_never_acknowledged(settings: Settings) -> None:
    stage(settings, 0)
    with only_journal(settings).open("ab") as journal:
        journal.write(journal_bytes(settings)[-200:-50])
    rebuilt(settings)
    assert recovered(settings).reconciled.unadopted == []
    flush(settings)
    assert in_lake(settings) == list(range(10))


def journal_bytes(settings: Settings) -> bytes:
    return only_journal(settings).read_bytes()


def test_damaged_bytes_in_the_middle_cost_their_record_and_the_journal_is_kept(settings: Settings) -> None:
    stage(settings, 0, 10, 20)
    path = only_journal(settings)
    content = bytearray(path.read_bytes())
    content[scan(path).records[2].offset - 40] ^= 0x10
    path.write_bytes(content)
    lose_ledger(settings)
    done = rebuild_if_lost(settings)
    assert done is not None
    [left] = done.reconciliation.unadopted
    assert (left.path, "bytes are damaged" in left.reason) == (path, True)
    recovered(settings)
    flush(settings)
    assert in_lake(settings) == [*range(10), *range(20, 30)]
    assert journals(settings) == []
    kept = settings.staging_directory / "quarantine" / "_journals" / path.name
    assert str(kept) in left.reason
    assert kept.read_bytes() == content
    assert problems(settings) == []


def test_a_journal_of_another_shard_is_reported_and_kept(settings: Settings, tmp_path: Path) -> None:
    other = Settings.build(home=tmp_path / "other", shard="elsewhere")
    stage(other, 100)
    stage(settings, 0)
    foreign = only_journal(settings).with_name(only_journal(other).name)
    shutil.copy(only_journal(other), foreign)
    rebuilt(settings)
    [left] = recovered(settings).reconciled.unadopted
    assert (left.path, left.reason) == (foreign, "it belongs to shard 'elsewhere'")
    flush(settings)
    assert in_lake(settings) == list(range(10))
    assert journals(settings) == [foreign]


def test_a_file_that_is_not_a_journal_is_reported_and_kept(settings: Settings) -> None:
    stage(settings, 0)
    stray = only_journal(settings).with_stem("stray")
    stray.write_bytes(b"something else")
    rebuilt(settings)
    [left] = recovered(settings).reconciled.unadopted
    assert (left.path, "does not begin as a journal" in left.reason) == (stray, True)
    flush(settings)
    assert in_lake(settings) == list(range(10))
    assert stray.exists()


def test_of_a_journal_of_two_datasets_nothing_is_lost_when_one_table_does_not_answer(
    settings: Settings, tmp_path: Path
) -> None:
    with StagingManager.open(settings) as staging:
        staging.enqueue("other", numbers(0))
    with Timestore(settings) as store:
        store.flush("other", Trigger.MANUAL, "run")
    backup(settings, tmp_path / "copy")
    with StagingManager.open(settings) as staging:
        staging.enqueue("other", numbers(10))
        staging.enqueue("d", numbers(0))
    restore(settings, tmp_path / "copy")
    log = Path(settings.lake_uri) / "other" / "_delta_log"
    (log / f"{0:020d}.json").rename(log / "aside")
    (log / f"{0:020d}.json").write_text("{")
    assert len(recovered(settings).reconciled.errors) > 0
    flush(settings)
    assert in_lake(settings) == list(range(10))
    assert len(journals(settings)) == 1  # what the other dataset has in it is not entered yet
    (log / "aside").rename(log / f"{0:020d}.json")
    assert recovered(settings).reconciled.pending == 1
    with Timestore(settings) as store:
        store.flush("other", Trigger.MANUAL, "run")
        rows = store.lake.table("other").to_arrow_dataset().to_table()["n"].to_pylist()
    assert sorted(rows) == list(range(20))
    assert problems(settings) == []
    assert journals(settings) == []


def test_a_segment_and_a_journal_that_the_backup_does_not_know_are_both_entered(
    settings: Settings, tmp_path: Path
) -> None:
    stage(settings, 0)
    backup(settings, tmp_path / "copy")
    stage_in_segment(settings, 10)
    stage(settings, 20)
    restore(settings, tmp_path / "copy")
    recovered(settings)
    assert problems(settings) == []
    flush(settings)
    assert in_lake(settings) == list(range(30))
    assert problems(settings) == []
