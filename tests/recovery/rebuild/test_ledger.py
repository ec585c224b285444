"""A lost or damaged ledger is rebuilt: the next flush publishes all pending batches, and none twice."""

from __future__ import annotations

import signal
import sqlite3
from collections.abc import Callable
from contextlib import ExitStack, closing
from pathlib import Path

import pytest

from tests.recovery.rebuild.conftest import flush, in_lake, numbers, problems, recovered, stage, stage_in_segment
from tests.recovery.rebuild.dying import rebuild_and_die
from tests.services.forked import run_forked
from timestore_pipeline import Settings, StagingManager
from timestore_pipeline.errors import LedgerLost, LedgerMismatch, RetryLater, TimestoreError, UnreadableLedger
from timestore_pipeline.model.flush import Trigger
from timestore_pipeline.recovery.ledger_rebuild import Rebuilt
from timestore_pipeline.staging.ledger.log_import import LogImport
from timestore_pipeline.wiring import Timestore, rebuild_if_lost


def ledger(settings: Settings) -> Path:
    return settings.staging_directory / "ledger.sqlite"


def rebuilt(settings: Settings) -> Rebuilt:
    done = rebuild_if_lost(settings)
    assert done is not None
    return done


def remove(path: Path) -> None:
    path.unlink()


def empty(path: Path) -> None:
    path.write_bytes(b"")


def tear(path: Path) -> None:
    path.write_bytes(path.read_bytes()[:9_000])


def overwrite_schema(path: Path) -> None:
    path.write_bytes(b"\0" * 4096 + path.read_bytes()[4096:])


def overwrite_middle(path: Path) -> None:
    content = bytearray(path.read_bytes())
    middle = len(content) // 8192 * 4096
    content[middle : middle + 4096] = b"\xff" * 4096
    path.write_bytes(content)


def drop_tables(path: Path) -> None:
    path.unlink()
    connection = sqlite3.connect(path)
    connection.execute("CREATE TABLE other (x)")
    connection.close()


DAMAGE = [remove, empty, tear, overwrite_schema, overwrite_middle, drop_tables]


@pytest.mark.parametrize("name", ["ha#sh", "per%20cent"])
def test_a_sound_ledger_is_sound_whatever_its_folder_is_called(tmp_path: Path, name: str) -> None:
    settings = Settings.build(home=tmp_path / name)
    stage(settings, 0)
    assert rebuild_if_lost(settings) is None
    assert [path.name for path in tmp_path.iterdir()] == [name]


@pytest.fixture
def history(settings: Settings) -> Settings:
    """Twenty rows published by one flush, ten by the next; ten rows owed in a segment and ten in a journal."""
    stage(settings, 0, 10)
    flush(settings)
    stage(settings, 20)
    flush(settings)
    stage_in_segment(settings, 30)
    stage(settings, 40)
    return settings


@pytest.mark.parametrize("damage", DAMAGE)
def test_the_next_flush_publishes_exactly_the_unpublished_batches(
    history: Settings, damage: Callable[[Path], None]
) -> None:
    damage(ledger(history))
    rebuilt(history)
    recovered(history)
    assert problems(history) == []
    flush(history)
    assert in_lake(history) == list(range(50))
    assert problems(history) == []


@pytest.mark.parametrize("damage", [remove, empty, tear, overwrite_schema, drop_tables])
def test_opening_is_refused_and_names_the_remedy(history: Settings, damage: Callable[[Path], None]) -> None:
    damage(ledger(history))
    with pytest.raises((LedgerLost, UnreadableLedger)) as refused:
        Timestore(history)
    assert "timestore recover" in refused.value.hint


def test_a_new_ledger_whose_log_cannot_be_folded_in_does_not_take_its_place(
    history: Settings, monkeypatch: pytest.MonkeyPatch
) -> None:
    """As on a full disk; here a reader keeps SQLite from it."""
    remove(ledger(history))
    with ExitStack() as readers, monkeypatch.context() as patched:

        def counted_and_read(reconciling: LogImport) -> None:
            recount(reconciling)
            building = sqlite3.connect(ledger(history).with_name("ledger.sqlite.building"))
            readers.enter_context(closing(building)).execute("SELECT count(*) FROM batches").fetchone()

        recount = LogImport.recount
        patched.setattr(LogImport, "recount", counted_and_read)
        with pytest.raises(RetryLater, match="could not be copied"):
            rebuild_if_lost(history)
        assert not ledger(history).exists()
    rebuilt(history)
    flush(history)
    assert in_lake(history) == list(range(50))


def test_a_log_without_its_ledger_is_no_new_directory(history: Settings) -> None:
    ledger(history).rename(ledger(history).with_name("ledger.sqlite-wal"))
    with pytest.raises(LedgerLost):
        Timestore(history)


def test_a_sound_ledger_is_left_alone(history: Settings) -> None:
    before = ledger(history).read_bytes()
    assert rebuild_if_lost(history) is None
    assert ledger(history).read_bytes() == before


def test_a_directory_that_was_never_used_needs_nothing(settings: Settings) -> None:
    assert rebuild_if_lost(settings) is None
    assert not ledger(settings).exists()


def test_the_damaged_ledger_is_kept_with_all_it_had(history: Settings) -> None:
    tear(ledger(history))
    torn = ledger(history).read_bytes()
    kept = rebuilt(history).kept
    assert kept is not None
    assert (kept / "ledger.sqlite").read_bytes() == torn


def test_metadata_and_keys_that_can_be_read_are_kept(history: Settings) -> None:
    with Timestore(history) as store:
        store.set_metadata("d", {"staging": {"flush": {"maxRows": 7}}})
        identity = store.area.ledger.identity
        store.area.ledger.datasets.set_paused("d", True)
    overwrite_middle(ledger(history))
    rebuilt(history)
    with Timestore(history) as store:
        record = store.area.ledger.datasets.get("d")
        assert (record.metadata.staging.flush.max_rows, record.paused) == (7, True)
        assert store.area.ledger.identity == identity
    stage(history, 40)
    flush(history)
    assert in_lake(history) == list(range(50))


def test_keys_in_segments_and_journals_are_known_without_any_ledger(history: Settings) -> None:
    remove(ledger(history))
    rebuilt(history)
    with StagingManager.open(history) as staging:
        assert staging.enqueue("d", numbers(30), idempotency_key="k30").duplicate
        assert staging.enqueue("d", numbers(40), idempotency_key="k40").duplicate


def test_the_layout_is_found_again_without_any_segment(settings: Settings) -> None:
    with Timestore(settings) as store:
        store.set_metadata("d", {"partition": {"granularity": "month"}})
    stage(settings, 0)
    flush(settings)
    ledger(settings).rename(ledger(settings).with_name("ledger.sqlite-wal"))
    rebuilt(settings)
    with Timestore(settings) as store:
        record = store.area.ledger.datasets.get("d")
        assert (record.time_column, str(record.granularity), record.last_epoch) == ("ts", "month", 1)


def test_an_interrupted_flush_is_settled_after_the_rebuild(settings: Settings) -> None:
    stage(settings, 0, 10)
    with Timestore(settings) as store:
        ref = store.pipeline.claim("d", Trigger.MANUAL, "run").ref
        assert ref is not None
        store.pipeline.export(ref, store.export_options())
        store.pipeline.publish(ref)
    overwrite_middle(ledger(settings))
    rebuilt(settings)
    recovered(settings)
    flush(settings)
    assert in_lake(settings) == list(range(20))
    assert problems(settings) == []


def test_a_rebuild_is_refused_while_another_process_lives(history: Settings) -> None:
    with Timestore(history):
        ledger(history).rename(ledger(history).with_name("away"))
        with pytest.raises(RetryLater, match="1 living processes"):
            rebuild_if_lost(history)
        ledger(history).with_name("away").rename(ledger(history))


def test_a_rebuild_is_refused_while_the_lake_does_not_tell(history: Settings) -> None:
    remove(ledger(history))
    log = Path(history.lake_uri) / "d" / "_delta_log"
    (log / f"{0:020d}.json").rename(log / "aside")
    (log / f"{0:020d}.json").write_text("{")
    with pytest.raises(RetryLater, match="as long as the lake cannot be read"):
        rebuild_if_lost(history)
    (log / "aside").rename(log / f"{0:020d}.json")
    rebuilt(history)
    assert problems(history) == []


def test_the_remains_of_another_shard_are_refused(history: Settings) -> None:
    overwrite_middle(ledger(history))
    with pytest.raises(LedgerMismatch):
        rebuild_if_lost(history.model_copy(update={"shard": "other"}))


STEPS = ["make_folder", "sync", "salvage", "reconcile", "_install", "_finish"]


@pytest.mark.parametrize("moment", ["before", "after"])
@pytest.mark.parametrize("step", STEPS)
def test_a_rebuild_that_is_killed_is_run_again(history: Settings, step: str, moment: str) -> None:
    overwrite_middle(ledger(history))
    assert run_forked(rebuild_and_die, history.home, step, moment) == -signal.SIGKILL
    if not ledger(history).exists():
        with pytest.raises(TimestoreError):
            Timestore(history)
    rebuild_if_lost(history)
    recovered(history)
    assert problems(history) == []
    flush(history)
    assert in_lake(history) == list(range(50))
    assert not list(history.staging_directory.glob("quarantine/*.rebuilding"))
    [kept] = history.staging_directory.glob("quarantine/_ledger-*")
    assert (kept / "ledger.sqlite").exists()
