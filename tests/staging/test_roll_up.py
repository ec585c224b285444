"""Batches on their way from journals into segments: each moves once, whatever is damaged, killed, or done twice."""

from __future__ import annotations

import errno
import os
import threading
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

import pyarrow as pa
import pytest

from tests.staging.journals import flip, promise, record, staged, write
from tests.staging.processes import held, run_until_killed
from tests.staging.rows import SCHEMA, contents, table
from timestore_pipeline.errors import DiskFull, Fenced, LedgerBusy
from timestore_pipeline.model.batch import IncidentKind, IncidentReason
from timestore_pipeline.staging import roll_up as module
from timestore_pipeline.staging.area import StagingArea
from timestore_pipeline.staging.directory import FilesystemSpace
from timestore_pipeline.staging.engine import open_engine
from timestore_pipeline.staging.journal import JournalReader
from timestore_pipeline.staging.journal_records import Record, RecordLayout
from timestore_pipeline.staging.ledger import database
from timestore_pipeline.staging.ledger.journals import Journals, RecordPlace
from timestore_pipeline.staging.roll_up import RollUp, remove_idle_journals, roll_up
from timestore_pipeline.staging.segments import attach_sealed

MAP = RecordLayout(pa.schema([pa.field("m", pa.map_(pa.string(), pa.int64()))]), None, None)


def files(area: StagingArea) -> list[Path]:
    folder = area.directory.segment_folder("d")
    return sorted(folder.iterdir()) if folder.is_dir() else []


def in_segments(area: StagingArea) -> dict[str, int]:
    """Batch id -> rows of the pending batches that lie in segments, as file and ledger agree."""
    found: dict[str, int] = {}
    for segment in area.ledger.segments.of_dataset("d"):
        assert segment.sealed
        path = area.directory.segment("d", segment.segment_id)
        described = {batch.sequence: batch for batch in contents(path, "d").batches}
        with open_engine() as connection:
            attach_sealed(connection, path, "read", "d")
            counted = connection.execute(
                "SELECT __timestore_batch, count(*) FROM read.rows WHERE __timestore_batch >= 0 GROUP BY ALL"
            ).fetchall()
        held_rows = dict(counted)
        for sequence, rows in area.ledger.batches.promised(segment.segment_id).items():
            assert held_rows.get(sequence, 0) == rows == described[sequence].rows
            found[described[sequence].batch_id] = rows
    return found


def amounts(area: StagingArea) -> dict[str, int]:
    """State -> rows."""
    return {state: volume.rows for state, volume in area.ledger.audit.totals("d").kept.items() if volume.rows}


def test_every_batch_moves_with_its_rows_and_its_id(area: StagingArea) -> None:
    staged(area, record(3, 0, 2, stream="a"), record(7, dataset="e", stream="z"))
    staged(area, record(4, stream="b"))
    done = roll_up(area, "d")
    assert (len(done.segments), done.incidents, done.left_out) == (1, [], {})
    assert in_segments(area) == {"a-000000": 3, "a-000001": 0, "a-000002": 2, "b-000000": 4}
    assert [path.name for path in files(area)] == [f"{done.segments[0]}.duckdb"]
    assert area.ledger.journals.datasets_waiting() == ["e"]
    assert roll_up(area, "d") == RollUp()


def test_the_rows_are_the_ones_that_were_written(area: StagingArea) -> None:
    staged(area, record(50))
    [segment_id] = roll_up(area, "d").segments
    with open_engine() as connection:
        attach_sealed(connection, area.directory.segment("d", segment_id), "read", "d")
        rows = connection.execute("SELECT x, s FROM read.rows WHERE __timestore_batch = 0").fetchall()
    assert rows == [(row["x"], row["s"]) for row in table(50).to_pylist()]


def test_what_is_promised_beside_it_waits_for_the_next_roll_up(
    area: StagingArea, monkeypatch: pytest.MonkeyPatch
) -> None:
    staged(area, record(3, stream="a"))
    move = Journals.move

    def beside(journals: Journals, segment_id: str, batches: dict[str, int]) -> int:
        monkeypatch.undo()
        staged(area, record(4, stream="b"))
        return move(journals, segment_id, batches)

    monkeypatch.setattr(Journals, "move", beside)
    roll_up(area, "d")
    assert in_segments(area) == {"a-000000": 3}
    roll_up(area, "d")
    assert in_segments(area) == {"a-000000": 3, "b-000000": 4}


def test_only_one_journal_is_rolled_up_if_asked(area: StagingArea) -> None:
    staged(area, record(3, stream="a"))
    second = staged(area, record(4, stream="b"))
    roll_up(area, "d", only={second.stem})
    assert in_segments(area) == {"b-000000": 4}


def test_each_layout_has_a_segment_of_its_own(area: StagingArea) -> None:
    wider = RecordLayout(pa.schema([*SCHEMA, pa.field("more", pa.int64())]), None, None)
    rows = table(2).append_column("more", pa.array([7, 8]))
    placed = RecordLayout(SCHEMA, "x", "day")
    staged(area, record(3, stream="a"), record(2, stream="b", layout=wider, rows=rows), record(1, stream="c"))
    staged(area, record(5, stream="e", layout=placed))
    made = roll_up(area, "d").segments
    headers = [contents(area.directory.segment("d", name), "d").header for name in made]
    assert [(one.schema, one.time_column, one.granularity) for one in headers] == [
        (SCHEMA, None, None),
        (wider.schema, None, None),
        (SCHEMA, "x", "day"),
    ]
    assert in_segments(area) == {"a-000000": 3, "b-000000": 2, "c-000000": 1, "e-000000": 5}


def test_a_segment_is_bounded_in_bytes_and_in_batches(area: StagingArea, monkeypatch: pytest.MonkeyPatch) -> None:
    staged(area, record(*[10] * 9))  # 80 bytes each
    area.segment_max_bytes = 200
    assert len(roll_up(area, "d").segments) == 3
    monkeypatch.setattr(module, "_MOST_BATCHES", 2)
    staged(area, record(1, 1, 1, 1, 1, stream="c"))
    assert len(roll_up(area, "d").segments) == 3
    assert sum(in_segments(area).values()) == 95


def test_with_little_room_segments_are_small_and_it_gets_on(area: StagingArea, monkeypatch: pytest.MonkeyPatch) -> None:
    staged(area, record(*[10] * 5))
    monkeypatch.setattr(area.directory, "volume", lambda: FilesystemSpace(1000, 100))
    assert len(roll_up(area, "d").segments) == 5
    assert sum(in_segments(area).values()) == 50


def test_two_at_once_move_each_batch_once(area: StagingArea, monkeypatch: pytest.MonkeyPatch) -> None:
    staged(area, record(*range(1, 20)))
    together, move = threading.Barrier(2), Journals.move

    def at_once(journals: Journals, segment_id: str, batches: dict[str, int]) -> int:
        together.wait(60)
        return move(journals, segment_id, batches)

    monkeypatch.setattr(Journals, "move", at_once)
    with StagingArea(area.directory.root, area.shard) as other, ThreadPoolExecutor(2) as pool:
        made = [segment for one in pool.map(lambda one: roll_up(one, "d"), (area, other)) for segment in one.segments]
    assert len(made) == 1
    assert sum(in_segments(area).values()) == amounts(area)["pending"] == 190
    assert [path.stem for path in files(area)] == made  # the other one's file is gone


def test_a_segment_that_was_taken_for_left_behind_moves_nothing(
    area: StagingArea, monkeypatch: pytest.MonkeyPatch
) -> None:
    staged(area, record(3))
    move = Journals.move

    def removed(journals: Journals, segment_id: str, batches: dict[str, int]) -> int:
        area.ledger.segments.forget([segment_id])
        return move(journals, segment_id, batches)

    with monkeypatch.context() as patch:
        patch.setattr(Journals, "move", removed)
        with pytest.raises(Fenced, match="removed while it was built"):
            roll_up(area, "d")
    assert files(area) == []
    roll_up(area, "d")
    assert in_segments(area) == {"b-000000": 3}


_ROLLING = """
import os, sys
from pathlib import Path
from tests.staging.journals import record, staged
from timestore_pipeline.staging import roll_up as module, segments
from timestore_pipeline.staging.area import StagingArea
from timestore_pipeline.staging.ledger.journals import Journals, RecordPlace

def die(*_, **__):
    os.kill(os.getpid(), 9)

area = StagingArea(Path(sys.argv[1]), "shard-0")
staged(area, record(3, 4))
"""


@pytest.mark.parametrize(
    "death",
    [
        "module.write_segment = die",
        "segments._create_tables = die",
        "segments.sync = die",
        "Journals.move = die",
        "write = module.write_segment; module.write_segment = lambda *given: (write(*given), die())",
    ],
)
def test_killed_before_the_move_everything_waits_and_what_was_made_is_removed(area: StagingArea, death: str) -> None:
    run_until_killed(f"{_ROLLING}\n{death}\nmodule.roll_up(area, 'd')", area.directory.root)
    assert len(area.ledger.segments.building("d")) == 1
    assert amounts(area)["pending"] == 7
    [made] = roll_up(area, "d").segments
    assert in_segments(area) == {"b-000000": 3, "b-000001": 4}
    assert [path.stem for path in files(area)] == [made]
    assert remove_idle_journals(area) == 1


def test_killed_after_the_move_all_of_it_is_done(area: StagingArea) -> None:
    death = "move = Journals.move; Journals.move = lambda *given: (move(*given), die())"
    run_until_killed(f"{_ROLLING}\n{death}\nmodule.roll_up(area, 'd')", area.directory.root)
    assert in_segments(area) == {"b-000000": 3, "b-000001": 4}
    assert roll_up(area, "d") == RollUp()
    assert remove_idle_journals(area) == 1


def test_what_a_living_process_builds_is_left_to_it(area: StagingArea) -> None:
    waits = (
        "move = Journals.move; Journals.move = lambda *given: (print('ready', flush=True), input(), move(*given))[2]"
    )
    with held(f"{_ROLLING}\n{waits}\nmodule.roll_up(area, 'd')\narea.close()", area.directory.root) as process:
        [theirs] = area.ledger.segments.building("d")
        roll_up(area, "d")  # it does not wait for anybody
        assert in_segments_of_sealed(area) == 7
        assert area.ledger.segments.building("d") == [theirs]
        process.tell("go on")
        process.finish()
    assert in_segments(area) == {"b-000000": 3, "b-000001": 4}
    assert len(files(area)) == 1


def in_segments_of_sealed(area: StagingArea) -> int:
    sealed = [one.segment_id for one in area.ledger.segments.of_dataset("d") if one.sealed]
    return sum(sum(area.ledger.batches.promised(segment_id).values()) for segment_id in sealed)


@pytest.mark.parametrize("error", [DiskFull("no space left", hint=""), LedgerBusy("not now"), KeyboardInterrupt()])
@pytest.mark.parametrize("step", ["write_segment", "move"])
def test_after_an_error_everything_waits_and_nothing_is_left_behind(
    area: StagingArea, monkeypatch: pytest.MonkeyPatch, error: BaseException, step: str
) -> None:
    path = staged(area, record(3))

    def fails(*_: object) -> None:
        raise error

    with monkeypatch.context() as patch:
        patch.setattr(Journals if step == "move" else module, step, fails)
        if isinstance(error, DiskFull):
            assert roll_up(area, "d").full is error
        else:
            with pytest.raises(type(error)):
                roll_up(area, "d")
    assert files(area) == []
    assert area.ledger.segments.of_dataset("d") == []
    assert remove_idle_journals(area) == 0
    assert path.exists()
    roll_up(area, "d")
    assert in_segments(area) == {"b-000000": 3}


def test_what_another_roll_up_has_moved_meanwhile_is_not_written_again(
    area: StagingArea, monkeypatch: pytest.MonkeyPatch
) -> None:
    staged(area, record(3))
    read = JournalReader.read

    def overtaken(self: JournalReader, place: RecordPlace, dataset: str) -> tuple[Record, dict[str, pa.Table]]:
        found = read(self, place, dataset)
        monkeypatch.undo()
        assert roll_up(area, "d").segments
        monkeypatch.setattr(module, "write_segment", lambda *_: pytest.fail("it was moved already"))
        return found

    monkeypatch.setattr(JournalReader, "read", overtaken)
    assert roll_up(area, "d").segments == []
    assert in_segments(area) == {"b-000000": 3}


def test_a_move_whose_answer_was_lost_keeps_its_segment(area: StagingArea, monkeypatch: pytest.MonkeyPatch) -> None:
    staged(area, record(3))
    move = Journals.move

    def answer_lost(journals: Journals, segment_id: str, batches: dict[str, int]) -> int:
        move(journals, segment_id, batches)
        raise LedgerBusy("did it happen?")

    monkeypatch.setattr(Journals, "move", answer_lost)
    with pytest.raises(LedgerBusy):
        roll_up(area, "d")
    assert in_segments(area) == {"b-000000": 3}


def test_a_ledger_that_does_not_answer_moves_nothing(area: StagingArea, monkeypatch: pytest.MonkeyPatch) -> None:
    staged(area, record(3))
    with StagingArea(area.directory.root, area.shard) as other, monkeypatch.context() as patch:
        patch.setattr(database, "_BUSY_TIMEOUT", 0.0)
        with other.ledger.database.transaction(), pytest.raises(LedgerBusy):
            roll_up(area, "d")
    roll_up(area, "d")
    assert in_segments(area) == {"b-000000": 3}


def test_a_batch_that_duckdb_refuses_is_set_aside_alone(area: StagingArea) -> None:
    values = [[("a", 1)], [("a", 1), ("a", 2)], [("b", 1)], [("c", 1)]]
    staged(area, record(1, 1, 1, 1, layout=MAP, rows=pa.table({"m": values}, schema=MAP.schema)))
    done = roll_up(area, "d")
    [incident_id] = done.incidents
    incident = area.ledger.incidents.get(incident_id)
    assert (incident.kind, incident.reason, incident.volume.batches) == (IncidentKind.BATCH, IncidentReason.POISON, 1)
    assert "duplicate key" in incident.error
    assert in_segments(area) == {"b-000000": 1, "b-000002": 1, "b-000003": 1}
    assert remove_idle_journals(area) == 0  # its rows still lie there
    assert area.ledger.incidents.discard(incident_id)
    assert remove_idle_journals(area) == 1


def test_a_damaged_record_costs_its_own_batches_and_can_be_read_again(area: StagingArea) -> None:
    path = staged(area, record(3, stream="a"), record(4, 5, stream="b"), record(6, stream="c"))
    offset = area.ledger.journals.waiting("d")[1].offset
    whole = path.read_bytes()
    flip(path, offset + 60)
    done = roll_up(area, "d")
    [incident_id] = done.incidents
    incident = area.ledger.incidents.get(incident_id)
    assert (incident.kind, incident.reason, incident.volume.rows) == (IncidentKind.RECORD, IncidentReason.DAMAGED, 9)
    assert f"the record at byte {offset} of journal {path} is damaged" in incident.error
    assert in_segments(area) == {"a-000000": 3, "c-000000": 6}
    assert amounts(area) == {"pending": 9, "quarantined": 9, "accepted": 18}
    assert remove_idle_journals(area) == 0
    assert path.exists()
    path.write_bytes(whole)  # from a backup
    assert area.ledger.incidents.requeue(incident_id)
    roll_up(area, "d")
    assert in_segments(area) == {"a-000000": 3, "b-000000": 4, "b-000001": 5, "c-000000": 6}
    assert remove_idle_journals(area) == 1


def test_a_torn_record_is_set_aside_and_the_other_datasets_are_not_held_up(area: StagingArea) -> None:
    path = staged(area, record(3, dataset="e", stream="a"), record(4, stream="b"))
    os.truncate(path, path.stat().st_size - 10)
    assert len(roll_up(area, "d").incidents) == 1
    assert len(roll_up(area, "e").segments) == 1


def test_a_missing_journal_is_an_incident_until_it_is_found_again(area: StagingArea) -> None:
    path = staged(area, record(3, stream="a"), record(4, stream="b"))
    staged(area, record(5, stream="c"))
    away = path.rename(path.with_name("elsewhere"))
    done = roll_up(area, "d")
    incidents = [area.ledger.incidents.get(incident_id) for incident_id in done.incidents]
    assert {incident.reason for incident in incidents} == {IncidentReason.MISSING}
    assert sum(incident.volume.rows for incident in incidents) == 7
    assert in_segments(area) == {"c-000000": 5}
    away.rename(path)
    for incident in incidents:
        assert area.ledger.incidents.requeue(incident.incident_id)
    roll_up(area, "d")
    assert in_segments(area) == {"a-000000": 3, "b-000000": 4, "c-000000": 5}


@pytest.mark.parametrize("number", [errno.EACCES, errno.EIO, errno.ESTALE, errno.EMFILE, errno.ENOMEM, errno.ELOOP])
def test_a_journal_that_cannot_be_read_now_is_left_out_and_named(
    area: StagingArea, monkeypatch: pytest.MonkeyPatch, number: int
) -> None:
    path = staged(area, record(3, stream="a"), record(4, stream="b"))
    staged(area, record(5, stream="c"))
    really = os.open

    def refuses(name: Path, *flags: int) -> int:
        if name == path:
            raise OSError(number, os.strerror(number), str(path))
        return really(name, *flags)

    with monkeypatch.context() as patch:
        patch.setattr(os, "open", refuses)
        done = roll_up(area, "d")
    left = done.left_out[path.stem]
    assert (list(done.left_out), done.incidents) == ([path.stem], [])
    assert (left.refused is not None) == (number == errno.EACCES)
    assert str(path) in left.reason
    assert in_segments(area) == {"c-000000": 5}
    assert amounts(area) == {"pending": 12, "accepted": 12}
    roll_up(area, "d")
    assert sum(in_segments(area).values()) == 12


def test_a_record_that_is_not_what_was_acknowledged_is_damage(area: StagingArea) -> None:
    path = staged(area, record(3, stream="a"))
    path.unlink()
    [offset] = write(path, record(2, stream="a"))
    done = roll_up(area, "d")
    [incident_id] = done.incidents
    error = area.ledger.incidents.get(incident_id).error
    assert error.startswith(f"the record at byte {offset} of journal {path} does not hold batch a-000000")
    assert "with 3 rows" in error


def test_another_datasets_record_is_never_taken(area: StagingArea) -> None:
    path = staged(area, record(3, dataset="e", stream="e"))
    [place] = area.ledger.journals.waiting("e")
    promise(area, path.stem, [record(3)], [place.offset])
    assert len(roll_up(area, "d").incidents) == 1
    assert files(area) == []


def test_a_journal_is_removed_once_it_is_closed_and_nothing_is_owed_from_it(area: StagingArea) -> None:
    path = staged(area, record(3), closed=False)
    assert remove_idle_journals(area) == 0
    roll_up(area, "d")
    assert remove_idle_journals(area) == 0  # this process may append to it
    assert path.exists()
    area.ledger.journals.close(path.stem)
    assert remove_idle_journals(area) == 1
    assert not path.exists()
    assert area.ledger.journals.all() == []


def test_a_living_processs_open_journal_is_never_removed_and_a_dead_ones_is(area: StagingArea) -> None:
    opens = _ROLLING.replace("staged(area, record(3, 4))", "staged(area, record(3, 4), closed=False)")
    with held(f"{opens}\nprint('ready', flush=True); input()", area.directory.root) as process:
        roll_up(area, "d")
        assert remove_idle_journals(area) == 0
        process.kill()
        assert remove_idle_journals(area) == 1
    assert area.directory.journal_files() == []


def test_a_journal_that_cannot_be_unlinked_keeps_no_other_from_it_and_is_tried_again(area: StagingArea) -> None:
    first, second = staged(area, record(3, stream="a")), staged(area, record(4, stream="b"))
    roll_up(area, "d")
    first.unlink()
    first.mkdir()
    assert remove_idle_journals(area) == 1
    assert not second.exists()
    assert [row.journal_id for row in area.ledger.journals.all()] == [first.stem]
    first.rmdir()
    assert remove_idle_journals(area) == 1


def test_a_folder_that_cannot_be_flushed_forgets_no_journal(area: StagingArea, monkeypatch: pytest.MonkeyPatch) -> None:
    staged(area, record(3))
    roll_up(area, "d")

    def fails() -> None:
        raise OSError(errno.EIO, os.strerror(errno.EIO))

    with monkeypatch.context() as patch:
        patch.setattr(area.directory, "sync_journals", fails)
        assert remove_idle_journals(area) == 0
    assert len(area.ledger.journals.all()) == 1
    assert remove_idle_journals(area) == 1
