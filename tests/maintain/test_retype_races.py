"""A change of type beside flushes, compactions and new columns, on this host and on others: every row once."""

from __future__ import annotations

import multiprocessing
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
from deltalake import DeltaTable

from tests.maintain.retyping import retyped
from tests.maintain.small_files import AT_ONCE, books, content, live, maintained, publish, rows, stored
from tests.maintain.test_races import settings_of
from timestore_pipeline.errors import Conflict, OutcomeUnknown, RetryLater
from timestore_pipeline.lake.maintenance import TableMaintenance
from timestore_pipeline.model.flush import Trigger
from timestore_pipeline.settings import Settings
from timestore_pipeline.wiring import Timestore

_FLUSHES = 10


@pytest.fixture
def elsewhere(settings: Settings) -> Settings:
    """Another host that publishes into the same lake."""
    return Settings.build(home=settings.home / "b", lake_uri=settings.lake_uri, shard="b")


def numbers(store: Timestore) -> list[float]:
    return sorted(float(row["n"]) for row in content(store))


def before_the_commit(monkeypatch: pytest.MonkeyPatch, action: Callable[[], object], times: int = 1) -> None:
    """Something happens right before a change of type is committed, some times."""
    real, left = TableMaintenance.retype, [None] * times

    def retype(self: TableMaintenance, *arguments: Any) -> int | None:
        if left:
            left.pop()
            action()
        return real(self, *arguments)

    monkeypatch.setattr(TableMaintenance, "retype", retype)


def test_files_that_flushes_publish_meanwhile_are_rewritten_too(
    fragmented: Timestore, monkeypatch: pytest.MonkeyPatch
) -> None:
    number = iter(range(6, 20))
    before_the_commit(monkeypatch, lambda: publish(fragmented, next(number)), times=3)
    done = retyped(fragmented, "n", "double")
    assert done.written_files == 2 + 3 * 2
    assert numbers(fragmented) == list(range(90))
    assert books(fragmented) == ([], [])
    maintained(fragmented, retention=AT_ONCE, min_files=20)
    assert stored(fragmented) == live(fragmented)


def test_one_that_always_comes_too_late_gives_up_and_changes_nothing(
    fragmented: Timestore, monkeypatch: pytest.MonkeyPatch
) -> None:
    number = iter(range(6, 100))
    before_the_commit(monkeypatch, lambda: publish(fragmented, next(number)), times=3)
    monkeypatch.setattr("timestore_pipeline.maintain.column_retype.ATTEMPTS", 3)
    with pytest.raises(RetryLater, match="others kept changing"):
        retyped(fragmented, "n", "double")
    assert numbers(fragmented) == list(range(90))
    assert books(fragmented) == ([], [])
    assert not [path for path in stored(fragmented) if path.name.startswith("compacted")]


def test_a_flush_that_was_exported_in_the_old_type_is_exported_again(fragmented: Timestore) -> None:
    with fragmented.staging() as staging:
        staging.enqueue("weather", rows(6))
    claim = fragmented.pipeline.claim("weather", Trigger.MANUAL, "test")
    assert claim.ref is not None
    fragmented.pipeline.export(claim.ref, fragmented.export_options())
    retyped(fragmented, "n", "double")
    with pytest.raises(RetryLater, match="column 'n' has become double since the flush exported it as int64"):
        fragmented.pipeline.publish(claim.ref)
    assert fragmented.flush("weather", Trigger.MANUAL, "test") is not None
    assert numbers(fragmented) == list(range(70))
    assert books(fragmented) == ([], [])


def test_a_flush_that_was_exported_with_the_types_the_table_has_still_gets_in(fragmented: Timestore) -> None:
    retyped(fragmented, "n", "double")
    with fragmented.staging() as staging:
        staging.enqueue("weather", rows(6))
    claim = fragmented.pipeline.claim("weather", Trigger.MANUAL, "test")
    assert claim.ref is not None
    fragmented.pipeline.export(claim.ref, fragmented.export_options())
    fragmented.pipeline.finalize(claim.ref, fragmented.pipeline.publish(claim.ref))
    assert numbers(fragmented) == list(range(70))


def test_another_hosts_flush_casts_its_staged_rows(fragmented: Timestore, elsewhere: Settings) -> None:
    with Timestore(elsewhere) as other:
        with other.staging() as staging:
            staging.enqueue("weather", rows(6))
        claim = other.pipeline.claim("weather", Trigger.MANUAL, "test")
        assert claim.ref is not None
        other.pipeline.export(claim.ref, other.export_options())
        retyped(fragmented, "n", "string")
        with pytest.raises(RetryLater):
            other.pipeline.publish(claim.ref)
        other.flush("weather", Trigger.MANUAL, "test")
        assert books(other) == ([], [])
    assert numbers(fragmented) == list(range(70))
    assert books(fragmented) == ([], [])


def test_another_hosts_flush_may_lack_fields_that_a_struct_has_gained(
    fragmented: Timestore, elsewhere: Settings
) -> None:
    with Timestore(elsewhere) as other:
        publish(other, 6, rows(6, o=[{"a": 1}] * 10))
        publish(fragmented, 7, rows(7, o=[{"a": 1, "b": 2}] * 10))
        retyped(fragmented, "n", "double")
        publish(other, 8, rows(8, o=[{"a": 1}] * 10))
        assert books(other) == ([], [])
    assert numbers(fragmented) == list(range(90))


def test_another_hosts_compaction_in_between_is_started_from(
    fragmented: Timestore, elsewhere: Settings, monkeypatch: pytest.MonkeyPatch
) -> None:
    with Timestore(elsewhere) as other:
        before_the_commit(monkeypatch, lambda: maintained(other))
        retyped(fragmented, "n", "double")
        assert numbers(fragmented) == list(range(60))
        assert books(fragmented) == ([], [])
        maintained(fragmented, retention=AT_ONCE)
    assert stored(fragmented) == live(fragmented)


def test_a_compaction_conflicts_with_a_change_of_type(
    fragmented: Timestore, elsewhere: Settings, monkeypatch: pytest.MonkeyPatch
) -> None:
    real = TableMaintenance.replace

    def replace(self: TableMaintenance, *arguments: Any) -> int | None:
        monkeypatch.setattr(TableMaintenance, "replace", real)
        retyped(fragmented, "n", "double")
        return real(self, *arguments)

    monkeypatch.setattr(TableMaintenance, "replace", replace)
    with Timestore(elsewhere) as other:
        done = maintained(other)
    assert (done.errors, done.gave_way > 0) == ([], True)
    assert numbers(fragmented) == list(range(60))
    assert books(fragmented) == ([], [])


def test_a_column_that_is_added_meanwhile_stays(fragmented: Timestore, monkeypatch: pytest.MonkeyPatch) -> None:
    before_the_commit(monkeypatch, lambda: publish(fragmented, 6, rows(6, extra=["x"] * 10)))
    retyped(fragmented, "n", "double")
    assert fragmented.lake.table("weather").schema().names == ["at", "n", "partition_date", "extra"]
    assert sum(row["extra"] == "x" for row in content(fragmented)) == 10
    assert books(fragmented) == ([], [])


def test_an_answer_that_is_lost_is_asked_of_the_log(fragmented: Timestore, monkeypatch: pytest.MonkeyPatch) -> None:
    commit = DeltaTable.create_write_transaction

    def lost(self: DeltaTable, *arguments: Any, **options: Any) -> None:
        commit(self, *arguments, **options)
        raise OSError("connection reset")

    with monkeypatch.context() as patch:
        patch.setattr(DeltaTable, "create_write_transaction", lost)
        assert retyped(fragmented, "n", "double").changed
    assert numbers(fragmented) == list(range(60))
    assert books(fragmented) == ([], [])


def test_with_an_unknown_outcome_the_files_are_kept_and_the_next_run_settles_it(
    fragmented: Timestore, monkeypatch: pytest.MonkeyPatch
) -> None:
    commit, opened = DeltaTable.create_write_transaction, DeltaTable.__init__

    def unreachable(self: DeltaTable, *arguments: Any, **options: Any) -> None:
        raise OSError("connection refused")

    def silent(self: DeltaTable, *arguments: Any, **options: Any) -> None:
        commit(self, *arguments, **options)
        monkeypatch.setattr(DeltaTable, "__init__", unreachable)
        raise OSError("connection reset")

    monkeypatch.setattr(DeltaTable, "create_write_transaction", silent)
    with pytest.raises(OutcomeUnknown):
        retyped(fragmented, "n", "double")
    monkeypatch.setattr(DeltaTable, "__init__", opened)
    monkeypatch.setattr(DeltaTable, "create_write_transaction", commit)
    assert not retyped(fragmented, "n", "double").needed
    assert numbers(fragmented) == list(range(60))
    assert books(fragmented) == ([], [])


def publish_in_a_loop(home: Path, shard: str, first: int) -> None:
    """Child process; a flush that the change of type overtakes is done again."""
    with Timestore(settings_of(home, shard)) as store, store.staging() as staging:
        for number in range(first, first + _FLUSHES):
            staging.enqueue("weather", rows(number))
            while store.area.backlog("weather").queued.batches:
                try:
                    store.flush("weather", Trigger.MANUAL, "test")
                except RetryLater as error:
                    if "has become" not in str(error):
                        raise


def maintain_in_a_loop(home: Path, shard: str) -> None:
    """Child process."""
    with Timestore(settings_of(home, shard)) as store:
        for _ in range(8):
            done = maintained(store, min_files=2, retention=AT_ONCE)
            assert not [error for error in done.errors if error.code != "maintenance_in_progress"], done.errors


def retype_in_a_loop(home: Path, shard: str, changes: int) -> None:
    """Child process; it gives way to maintenance and to the other's change."""
    with Timestore(settings_of(home, shard)) as store:
        for number in range(changes):
            try:
                retyped(store, "n", ("double", "int64")[number % 2])
            except (RetryLater, Conflict) as error:
                if error.code not in ("maintenance_in_progress", "retry_later"):
                    raise


def test_nothing_is_lost_or_doubled_when_all_work_at_once(tmp_path: Path) -> None:
    context = multiprocessing.get_context("forkserver")
    for number, shard in enumerate(("one", "two")):
        with Timestore(settings_of(tmp_path, shard)) as store:
            publish(store, 1000 + number)
    work: list[tuple[Callable[..., None], tuple[Any, ...]]] = [
        (publish_in_a_loop, ("one", 0)), (publish_in_a_loop, ("two", 100)),
        (maintain_in_a_loop, ("two",)), (retype_in_a_loop, ("one", 6)),
    ]  # fmt: skip
    processes = [context.Process(target=target, args=(tmp_path, *more)) for target, more in work]
    for process in processes:
        process.start()
    for process in processes:
        process.join()
    assert [process.exitcode for process in processes] == [0] * 4
    for shard in ("one", "two"):
        with Timestore(settings_of(tmp_path, shard)) as store:
            maintained(store, min_files=2, retention=AT_ONCE)
            expected = [*range(1000, 1002), *range(_FLUSHES), *range(100, 100 + _FLUSHES)]
            assert numbers(store) == sorted(n for number in expected for n in range(number * 10, number * 10 + 10))
            assert books(store) == ([], [])
