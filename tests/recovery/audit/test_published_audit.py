"""The lake is compared with the published flushes of the ledger, and the other way round."""

from __future__ import annotations

from pathlib import Path

from deltalake import DeltaTable, write_deltalake

from tests.recovery.audit.books import alter_ledger, audited, codes, readings
from timestore_pipeline.model.flush import Trigger
from timestore_pipeline.recovery.shard_recovery import recover
from timestore_pipeline.settings import Settings
from timestore_pipeline.wiring import Timestore


def table_folder(store: Timestore) -> Path:
    return Path(store.lake.table("weather").uri)


def parquet_files(store: Timestore) -> list[Path]:
    return sorted(table_folder(store).rglob("*.parquet"))


def test_a_deleted_parquet_file_is_found(store: Timestore) -> None:
    victim = parquet_files(store)[0]
    victim.unlink()
    [problem] = audited(store).problems
    assert problem.code == "file_missing"
    assert victim.name in problem.message


def test_a_shortened_parquet_file_is_found(store: Timestore) -> None:
    victim = parquet_files(store)[0]
    victim.write_bytes(victim.read_bytes()[:-1])
    assert codes(audited(store).problems) == ["file_changed"]


def test_a_deleted_table_is_found(store: Timestore) -> None:
    for path in sorted(table_folder(store).rglob("*"), reverse=True):
        path.rmdir() if path.is_dir() else path.unlink()
    assert codes(audited(store).problems) == ["missing_table"]


def test_an_unreadable_log_is_a_problem_and_not_a_crash(store: Timestore) -> None:
    first, *_ = sorted((table_folder(store) / "_delta_log").glob("*.json"))
    first.write_text("{")
    assert codes(audited(store).problems) == ["unreadable_table"]


def test_a_commit_in_our_name_that_the_ledger_does_not_know_is_found(store: Timestore, settings: Settings) -> None:
    impostor = settings.model_copy(update={"staging_directory": settings.home / "impostor"})
    with Timestore(impostor) as other:
        with other.staging() as staging:
            staging.enqueue("weather", readings(3))
            recover(other.area, other.lake, replace_shard=True)
        other.flush("weather", Trigger.MANUAL, "test")
    problems = audited(store).problems
    assert codes(problems) == ["unknown_commit"]
    assert "does not have that flush" in problems[0].message


def test_a_publish_that_the_ledger_has_as_aborted_is_found(store: Timestore) -> None:
    alter_ledger(store, "UPDATE flushes SET state = 'aborted'")
    assert "unknown_commit" in codes(audited(store).problems)


def test_a_publish_that_the_log_does_not_have_is_found(store: Timestore) -> None:
    alter_ledger(store, "UPDATE flushes SET epoch = 9")
    alter_ledger(store, "UPDATE files SET epoch = 9")
    assert codes(audited(store).problems) == ["flush_not_in_log", "unknown_commit"]


def test_a_flush_whose_rows_differ_from_its_commit_is_found(store: Timestore) -> None:
    alter_ledger(store, "UPDATE flushes SET rows = 29")
    assert {"flush_differs", "flush_files_differ"} <= set(codes(audited(store).problems))


def test_a_file_whose_rows_differ_from_the_table_is_found(store: Timestore) -> None:
    alter_ledger(store, "UPDATE files SET rows = rows + 1 WHERE file_id = 1")
    assert set(codes(audited(store).problems)) == {"flush_files_differ", "file_rows_differ"}


def test_a_file_that_was_never_in_the_table_is_found(store: Timestore) -> None:
    alter_ledger(store, "UPDATE files SET path = 'elsewhere.parquet' WHERE file_id = 1")
    assert codes(audited(store).problems) == ["file_not_live"]


def test_deleted_rows_are_found(store: Timestore) -> None:
    DeltaTable(table_folder(store)).delete("value = 3")
    [problem] = audited(store).problems
    assert problem.code == "table_rows_differ"
    assert "removed data" in problem.message


def test_a_compaction_and_a_vacuum_leave_the_books_in_order(store: Timestore) -> None:
    with store.staging() as staging:
        staging.enqueue("weather", readings(6))
    store.flush("weather", Trigger.MANUAL, "test")
    table = DeltaTable(table_folder(store))
    table.optimize.compact()
    table.vacuum(retention_hours=0, enforce_retention_duration=False, dry_run=False)
    audit = audited(store)
    assert (audit.ok, codes(audit.warnings), audit.published_rows) == (True, [], 56)


def test_rows_that_no_flush_wrote_are_a_warning(store: Timestore) -> None:
    rows = store.lake.table("weather").to_arrow_dataset().to_table().slice(0, 2)
    write_deltalake(table_folder(store), rows, mode="append")
    audit = audited(store)
    assert (audit.ok, codes(audit.warnings)) == (True, ["foreign_rows"])


def test_an_unmanaged_file_is_a_warning(store: Timestore) -> None:
    known = parquet_files(store)[0]
    known.with_name("stray.parquet").write_bytes(known.read_bytes())
    audit = audited(store)
    assert (audit.ok, codes(audit.warnings)) == (True, ["unmanaged_file"])


def test_a_trimmed_log_is_a_warning_and_not_a_loss(store: Timestore) -> None:
    with store.staging() as staging:
        staging.enqueue("weather", readings(6))
    store.flush("weather", Trigger.MANUAL, "test")
    DeltaTable(table_folder(store)).create_checkpoint()
    for commit in sorted((table_folder(store) / "_delta_log").glob("*.json"))[:-1]:
        commit.unlink()
    audit = audited(store)
    assert (audit.ok, codes(audit.warnings)) == (True, ["log_trimmed"])
