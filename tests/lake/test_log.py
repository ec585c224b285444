"""Checkpoints, log cleanup, and the remains of a power loss."""

from __future__ import annotations

from pathlib import Path

import pytest

from tests.lake.exporting import APP, NUMBERS, export, publish
from timestore_pipeline.errors import Corrupted, OutcomeUnknown
from timestore_pipeline.lake import log
from timestore_pipeline.lake.handle import CHECKPOINT_EVERY
from timestore_pipeline.lake.table import Lake, LakeTable
from timestore_pipeline.model.lake import EpochOutcome

BURNT_SHARD = "timestore/shard-1/weather"


def log_folder(table: LakeTable) -> Path:
    return Path(table.uri, "_delta_log")


def commit_file(table: LakeTable, version: int) -> Path:
    return log_folder(table) / f"{version:020d}.json"


@pytest.fixture
def checkpointed(table: LakeTable) -> LakeTable:
    """Version 1 burns epoch 7 of another shard; version n publishes epoch n, up to the version of the checkpoint."""
    export(table, NUMBERS)
    table.burn(BURNT_SHARD, 7, "crashed")
    for epoch in range(2, CHECKPOINT_EVERY):
        table.publish(APP, epoch, [], {})
    publish(table, NUMBERS, epoch=CHECKPOINT_EVERY)
    return table


def test_a_checkpoint_is_written_every_so_many_versions(checkpointed: LakeTable) -> None:
    assert [path.name for path in log_folder(checkpointed).glob("*.checkpoint*")] == [
        f"{CHECKPOINT_EVERY:020d}.checkpoint.parquet"
    ]
    assert (log_folder(checkpointed) / "_last_checkpoint").is_file()


def flushed_by_a_new_process(lake: Lake, monkeypatch: pytest.MonkeyPatch) -> list[int]:
    """Versions whose commits are flushed when somebody asks what became of an epoch."""
    flushed: list[Path] = []
    monkeypatch.setattr(log, "sync", flushed.append)
    assert Lake(lake.uri).table("weather").outcome(APP, CHECKPOINT_EVERY) is EpochOutcome.PUBLISHED
    return sorted(int(path.stem) for path in flushed if path.suffix == ".json")


def test_a_new_process_flushes_only_commits_above_the_noted_version(
    lake: Lake, checkpointed: LakeTable, monkeypatch: pytest.MonkeyPatch
) -> None:
    [first, *_, last] = flushed_by_a_new_process(lake, monkeypatch)
    assert 0 < CHECKPOINT_EVERY - first < 20
    assert last == CHECKPOINT_EVERY
    assert [path.name for path in log_folder(checkpointed).glob("_flushed*")] == ["_flushed"]


@pytest.mark.parametrize("note", [b"", b"\0\0", b"1000", None])
def test_without_a_note_that_can_be_right_every_commit_is_flushed(
    lake: Lake, checkpointed: LakeTable, monkeypatch: pytest.MonkeyPatch, note: bytes | None
) -> None:
    """Torn by a power loss, or of a log that was since restored from a backup."""
    path = log_folder(checkpointed) / "_flushed"
    path.unlink() if note is None else path.write_bytes(note)
    assert flushed_by_a_new_process(lake, monkeypatch) == list(range(CHECKPOINT_EVERY + 1))


def test_outcomes_survive_log_cleanup(checkpointed: LakeTable) -> None:
    for version in range(CHECKPOINT_EVERY):
        commit_file(checkpointed, version).unlink()
    assert checkpointed.outcome(APP, CHECKPOINT_EVERY) is EpochOutcome.PUBLISHED
    assert checkpointed.outcome(BURNT_SHARD, 7) is EpochOutcome.BURNT
    assert checkpointed.publish(BURNT_SHARD, 8, [], {}) == CHECKPOINT_EVERY + 1


def test_the_snapshot_alone_has_the_newest_epoch(checkpointed: LakeTable) -> None:
    for version in range(CHECKPOINT_EVERY + 1):
        commit_file(checkpointed, version).unlink()
    assert checkpointed.outcome(APP, CHECKPOINT_EVERY) is EpochOutcome.PUBLISHED
    assert checkpointed.outcome(BURNT_SHARD, 7) is EpochOutcome.BURNT
    assert checkpointed.publish(APP, CHECKPOINT_EVERY, [], {}) is None
    assert checkpointed.to_arrow_dataset().count_rows() == 3


def test_an_old_epoch_that_cleanup_has_forgotten_is_unknown_and_not_guessed(checkpointed: LakeTable) -> None:
    for version in range(CHECKPOINT_EVERY):
        commit_file(checkpointed, version).unlink()
    with pytest.raises(OutcomeUnknown, match="epoch 3 may or may not be"):
        checkpointed.outcome(APP, 3)


@pytest.mark.parametrize("remains", [b'{"commitInfo":{"timest', b"\0" * 300])
def test_a_commit_torn_by_a_power_loss_is_set_aside_and_its_epoch_is_absent(table: LakeTable, remains: bytes) -> None:
    publish(table, NUMBERS, epoch=1)
    files = export(table, NUMBERS, epoch=2)
    table.publish(APP, 2, files, {})
    commit_file(table, 2).write_bytes(remains)
    assert table.outcome(APP, 2) is EpochOutcome.ABSENT
    assert table.publish(APP, 2, files, {}) == 2
    assert table.to_arrow_dataset().count_rows() == 6
    assert (log_folder(table) / f"_torn-{commit_file(table, 2).name}").read_bytes() == remains


def test_a_commit_that_a_power_loss_emptied_carries_nothing(table: LakeTable) -> None:
    publish(table, NUMBERS, epoch=1)
    commit_file(table, 2).touch()
    assert table.outcome(APP, 2) is EpochOutcome.ABSENT
    assert publish(table, NUMBERS, epoch=2) == 3


def test_a_first_commit_torn_by_a_power_loss_is_no_table(table: LakeTable) -> None:
    log_folder(table).mkdir(parents=True)
    commit_file(table, 0).write_bytes(b'{"proto')
    assert not table.exists()
    assert publish(table, NUMBERS, epoch=1) == 1


@pytest.mark.parametrize("damage", ["empty", "half", "zeros"])
def test_a_checkpoint_torn_by_a_power_loss_is_set_aside(checkpointed: LakeTable, damage: str) -> None:
    (checkpoint,) = log_folder(checkpointed).glob("*.checkpoint.parquet")
    whole = checkpoint.read_bytes()
    checkpoint.write_bytes({"empty": b"", "half": whole[: len(whole) // 2], "zeros": b"\0" * len(whole)}[damage])
    assert checkpointed.outcome(APP, CHECKPOINT_EVERY) is EpochOutcome.PUBLISHED
    assert checkpointed.outcome(APP, 3) is EpochOutcome.PUBLISHED
    assert publish(checkpointed, NUMBERS, epoch=CHECKPOINT_EVERY + 1) == CHECKPOINT_EVERY + 1


def test_damage_below_the_newest_commit_is_reported_and_left_alone(lake: Lake, table: LakeTable) -> None:
    publish(table, NUMBERS, epoch=1)
    table.burn(APP, 2, "crashed")
    commit_file(table, 1).write_bytes(b"{")
    before = sorted(log_folder(table).iterdir())
    with pytest.raises(Corrupted, match="cannot be read") as refused:
        table.outcome(APP, 2)
    assert sorted(log_folder(table).iterdir()) == before
    assert "backup" in refused.value.hint
    assert lake.datasets() == ["weather"]
