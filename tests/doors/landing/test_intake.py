"""Files get in whole, once, and then out of the way; what cannot get in is set aside or stays."""

from __future__ import annotations

import errno
import json
import os
from collections.abc import Callable
from datetime import timedelta
from pathlib import Path

import pyarrow as pa
import pyarrow.csv
import pyarrow.feather
import pytest

from tests.doors.landing.dropping import drop, files, folder, numbers, readings, take_in
from tests.ingest.map_streams import BAD, GOOD, LISTED, MAP, stream
from timestore_pipeline.doors.landing.folder import LandingFolder
from timestore_pipeline.doors.landing.intake import Intake
from timestore_pipeline.doors.landing.reports import Result
from timestore_pipeline.errors import Interrupted, LandingUnusable
from timestore_pipeline.ingest.manager import StagingManager
from timestore_pipeline.settings import Settings
from timestore_pipeline.system import clock
from timestore_pipeline.system.confined import Tree
from timestore_pipeline.wiring import Timestore


def results(settings: Settings) -> list[tuple[str, str]]:
    return [(outcome.file, outcome.result.value) for outcome in take_in(settings)]


def csv(rows: pa.Table, path: Path) -> None:
    pyarrow.csv.write_csv(rows, path)


def ndjson(rows: pa.Table, path: Path) -> None:
    path.write_text("".join(f'{{"at": "{row["at"].isoformat()}", "n": {row["n"]}}}\n' for row in rows.to_pylist()))


@pytest.mark.parametrize(
    ("name", "write"), [("a.csv", csv), ("a.ndjson", ndjson), ("a.arrow", pyarrow.feather.write_feather)]
)
def test_every_format_gets_in(settings: Settings, name: str, write: Callable[[pa.Table, Path], None]) -> None:
    write(readings(30), drop(settings, name, b""))
    assert results(settings) == [(name, "staged")]
    assert numbers(settings) == list(range(30))


def test_a_file_that_is_in_is_archived_under_its_name_and_content(settings: Settings) -> None:
    drop(settings, "2013/a.parquet", readings(3))
    [outcome] = take_in(settings)
    assert (outcome.tally.batches, outcome.rows) == (1, 3)
    [archived] = files(settings, "_archive")
    assert archived == outcome.place
    assert archived.startswith("weather/2013/a.")
    assert files(settings, "weather") == files(settings, "_ingesting") == []


def test_a_large_file_is_cut_into_batches(settings: Settings) -> None:
    drop(settings, "a.parquet", readings(25_000))
    [outcome] = take_in(settings)
    assert outcome.tally.batches == 3
    assert numbers(settings) == list(range(25_000))


def test_the_same_content_never_counts_twice(settings: Settings) -> None:
    drop(settings, "a.parquet", readings(3))
    take_in(settings)
    drop(settings, "a.parquet", readings(3))
    drop(settings, "other.parquet", readings(3))
    assert results(settings) == [("a.parquet", "duplicate"), ("other.parquet", "duplicate")]
    assert numbers(settings) == [0, 1, 2]


def test_the_same_content_never_counts_twice_when_its_keys_are_forgotten(settings: Settings) -> None:
    drop(settings, "a.parquet", readings(3))
    take_in(settings)
    assert numbers(settings) == [0, 1, 2]
    with Timestore(settings) as store:
        assert store.area.ledger.published.prune("weather", clock.now() + timedelta(days=1)) == 1
    drop(settings, "b.parquet", readings(3))
    assert results(settings) == [("b.parquet", "duplicate")]
    assert numbers(settings) == [0, 1, 2]


def test_the_same_content_never_counts_twice_when_the_archive_was_cleared(settings: Settings) -> None:
    drop(settings, "a.parquet", readings(3))
    [outcome] = take_in(settings)
    assert settings.landing_directory is not None
    (settings.landing_directory / "_archive" / outcome.place).unlink()
    drop(settings, "b.parquet", readings(3))
    assert results(settings) == [("b.parquet", "duplicate")]
    assert numbers(settings) == [0, 1, 2]


def test_other_content_under_the_same_name_is_another_file(settings: Settings) -> None:
    for first in (0, 3):
        drop(settings, "latest.parquet", readings(3, first))
        take_in(settings)
    assert len(files(settings, "_archive")) == 2
    assert numbers(settings) == [0, 1, 2, 3, 4, 5]


@pytest.mark.parametrize("name", [".a.parquet", "a.parquet.tmp", "a.parquet.part", "_a.parquet", ".x/a.parquet"])
def test_unfinished_files_are_left_alone(settings: Settings, name: str) -> None:
    path = drop(settings, name, readings(3))
    assert take_in(settings) == []
    assert path.exists()


def test_a_file_that_was_just_written_is_left_alone(settings: Settings) -> None:
    path = drop(settings, "a.parquet", readings(3))
    landing = folder(settings, settle=timedelta(hours=1))
    with StagingManager.open(settings) as staging:
        assert list(Intake(landing, staging).run(["weather"])) == []
    assert path.exists()


def test_a_file_with_an_old_date_that_was_just_written_is_left_alone(settings: Settings) -> None:
    path = drop(settings, "a.parquet", readings(3))
    os.utime(path, (0, 0))
    assert folder(settings, settle=timedelta(hours=1)).ready("weather") == []


def test_a_link_is_left_alone(settings: Settings, tmp_path: Path) -> None:
    target = drop(settings, "a.parquet", readings(3)).rename(tmp_path / "a.parquet")
    drop(settings, "b.parquet", readings(1))
    assert settings.landing_directory is not None
    (settings.landing_directory / "weather" / "a.parquet").symlink_to(target)
    assert results(settings) == [("b.parquet", "staged")]


def test_a_link_that_leads_in_a_circle_is_left_alone(settings: Settings) -> None:
    drop(settings, "a.parquet", readings(1))
    assert settings.landing_directory is not None
    (settings.landing_directory / "circle").symlink_to("circle")
    assert results(settings) == [("a.parquet", "staged")]
    assert [one.place for one in folder(settings).strangers()] == ["circle"]


@pytest.mark.parametrize("name", [os.fsdecode(b"\xfc.csv"), "a\nb\x1b[2J.csv"])
def test_a_name_that_nobody_can_print_gets_in(settings: Settings, name: str) -> None:
    drop(settings, f"{name}.d/{name}", b"n\n1\n")
    [(file, result)] = results(settings)
    assert result == "staged"
    assert file.isprintable()


def test_a_folder_that_cannot_be_looked_at_is_told(settings: Settings) -> None:
    with pytest.raises(LandingUnusable, match="is not a folder"):
        LandingFolder.of(settings.model_copy(update={"landing_directory": Path("/") / ("x" * 300)}))


def old(path: Path) -> Path:
    """As if it was written an hour ago, so that it does not count as an unfinished copy."""
    os.utime(path, (path.stat().st_atime, path.stat().st_mtime - 3600))
    return path


def test_a_bad_file_is_rejected_with_a_reason_and_the_others_get_in(settings: Settings) -> None:
    old(drop(settings, "bad.parquet", b"PAR1 this is none"))
    drop(settings, "good.parquet", readings(3))
    assert sorted(results(settings)) == [("bad.parquet", "rejected"), ("good.parquet", "staged")]
    bad, reason = files(settings, "_rejected")
    assert reason == bad + ".reason.json"
    assert settings.landing_directory is not None
    document = json.loads((settings.landing_directory / "_rejected" / reason).read_text())
    assert (document["code"], document["rows_staged"], document["file"]) == (
        "unreadable_input",
        0,
        "weather/bad.parquet",
    )
    assert document["hint"]
    assert document["message"].startswith("weather/bad.parquet cannot be read: ")


def test_a_file_that_goes_bad_at_its_end_leaves_no_row(settings: Settings) -> None:
    whole = b"at,n\n" + b"2013-01-01T00:00:00Z,1\n" * 30_000
    old(drop(settings, "a.csv", whole + b"2013-01-01T00:00:00Z,2,3\n"))
    assert results(settings) == [("a.csv", "rejected")]
    assert numbers(settings) == []


def test_a_column_of_another_type_is_rejected_and_changes_nothing(settings: Settings) -> None:
    drop(settings, "a.parquet", readings(3))
    take_in(settings)
    text = pa.table({"at": readings(1)["at"], "n": ["one"], "new": [1]})
    drop(settings, "b.parquet", text)
    [outcome] = take_in(settings)
    assert outcome.error is not None
    assert (outcome.result, outcome.error.code) == (Result.REJECTED, "schema_conflict")
    with Timestore(settings) as store:
        schema = store.area.ledger.datasets.get("weather").schema
    assert schema is not None
    assert schema.names == ["at", "n"]


def test_a_file_that_cannot_be_read_yet_may_be_a_slow_copy(settings: Settings) -> None:
    path = drop(settings, "a.parquet", readings(300))
    content = path.read_bytes()
    with path.open("wb") as slow:
        slow.write(content[:500])
        slow.flush()
        assert results(settings) == [("a.parquet", "postponed")]
        assert take_in(settings) == []
        slow.write(content[500:])
    _wake(settings)
    assert results(settings) == [("a.parquet", "staged")]
    assert numbers(settings) == list(range(300))


def _wake(settings: Settings) -> None:
    """As if the time of files that were put off had come."""
    landing = folder(settings)
    for file in landing.files("weather"):
        landing.put_off(file, clock.now())


def test_a_file_that_is_written_to_while_it_is_read_is_not_archived(settings: Settings) -> None:
    drop(settings, "a.csv", b"at,n\n" + b"".join(b"2013-01-01T00:00:00Z,%d\n" % n for n in range(25_000)))
    with StagingManager.open(settings) as staging:
        landing = folder(settings)
        [file] = landing.ready("weather")
        taken = landing.take(file)
        assert taken is not None

        with taken.path.open("ab", buffering=0) as late:

            def append(_: int) -> None:
                late.write(b"2013-01-01T00:00:00Z,25000\n")

            [outcome] = Intake(landing, staging, progress=append).run(["weather"])
    assert outcome.error is not None
    assert (outcome.result, outcome.error.code) == (Result.REJECTED, "file_still_written")
    assert outcome.rows == 25_000


def test_without_room_a_file_stays_and_is_tried_again_later(settings: Settings) -> None:
    drop(settings, "a.parquet", readings(30_000))
    tight = {"staging_max_dataset_bytes": 200_000, "staging_flush_max_bytes": 100_000, "staging_guardrail_mode": "hard"}
    full = Settings.build(**{**settings.model_dump(), **tight})
    [outcome] = take_in(full)
    assert outcome.error is not None
    assert (outcome.result, outcome.error.code) == (Result.POSTPONED, "guardrail_exceeded")
    assert len(files(settings, "_ingesting")) == 1
    assert take_in(full) == []
    _wake(settings)
    [again] = take_in(settings)
    assert again.result is Result.STAGED
    assert numbers(settings) == list(range(30_000))


def test_a_file_that_may_not_be_read_stays(settings: Settings, monkeypatch: pytest.MonkeyPatch) -> None:
    drop(settings, "a.parquet", readings(3))
    monkeypatch.setattr("timestore_pipeline.doors.landing.intake.content_digest", _denied)
    [outcome] = take_in(settings)
    assert outcome.error is not None
    assert (outcome.result, outcome.error.code) == (Result.POSTPONED, "landing_unusable")
    assert "Permission denied" in str(outcome.error)


def _denied(path: Path, **_: int) -> str:
    raise PermissionError(13, "Permission denied", str(path))


def test_a_file_that_nobody_foresaw_keeps_no_other_out(settings: Settings, monkeypatch: pytest.MonkeyPatch) -> None:
    drop(settings, "a.parquet", readings(3))
    drop(settings, "b.ndjson", b'{"a": ' + b"[" * 5_000 + b"]" * 5_000 + b"}\n", dataset="deep")
    monkeypatch.setattr("timestore_pipeline.doors.landing.intake.check_rows", _surprised)
    deep, surprise = take_in(settings)
    assert (deep.result, surprise.result) == (Result.REJECTED, Result.POSTPONED)
    assert "ZeroDivisionError" in str(surprise.error)


def _surprised(*_: object) -> None:
    raise ZeroDivisionError


def test_a_folder_on_another_filesystem_is_reported_and_unchanged(
    settings: Settings, monkeypatch: pytest.MonkeyPatch
) -> None:
    path = drop(settings, "a.parquet", readings(3))
    monkeypatch.setattr(Tree, "move", _apart)
    [outcome] = take_in(settings)
    assert outcome.error is not None
    assert "one filesystem" in outcome.error.hint
    assert path.exists()


def _apart(*_: object, **__: object) -> None:
    raise OSError(errno.EXDEV, os.strerror(errno.EXDEV))


def test_a_bad_file_that_cannot_be_put_away_stays_and_the_others_get_in(settings: Settings) -> None:
    old(drop(settings, "a.parquet", b"PAR1 this is none"))
    drop(settings, "b.parquet", readings(3))
    assert settings.landing_directory is not None
    (settings.landing_directory / "_rejected").write_text("in the way")
    assert sorted(results(settings)) == [("a.parquet", "postponed"), ("b.parquet", "staged")]


def test_names_that_no_dataset_can_have_are_told(settings: Settings) -> None:
    drop(settings, "a.parquet", readings(3), dataset="No Dataset")
    assert settings.landing_directory is not None
    (settings.landing_directory / "lost.csv").write_text("a\n1\n")
    assert take_in(settings) == []
    assert [one.place for one in folder(settings).strangers()] == ["No Dataset", "lost.csv"]


def test_a_run_that_is_stopped_goes_on_where_it_was(settings: Settings) -> None:
    drop(settings, "a.parquet", readings(300_000))
    with StagingManager.open(settings) as staging:
        intake = Intake(folder(settings), staging)
        intake.progress = lambda _: intake.stop()
        with pytest.raises(Interrupted):
            list(intake.run(["weather"]))
    [outcome] = take_in(settings)
    assert outcome.tally.duplicates > 0
    assert outcome.rows == 300_000
    assert numbers(settings) == list(range(300_000))


def test_a_run_begins_no_file_after_its_time(settings: Settings) -> None:
    drop(settings, "a.parquet", readings(3))
    with StagingManager.open(settings) as staging:
        assert list(Intake(folder(settings), staging).run(["weather"], seconds=0)) == []


def test_a_header_without_rows_is_archived_as_zero_rows(settings: Settings) -> None:
    drop(settings, "a.csv", b"at,wind\n")
    [outcome] = take_in(settings)
    assert (outcome.result, outcome.rows) == (Result.STAGED, 0)
    assert files(settings, "_archive") == [outcome.place]


def test_the_outcome_of_a_first_file_says_what_it_decided(settings: Settings) -> None:
    drop(settings, "a.csv", b"at,zone\n2013-01-01T05:00:00Z,07\n2013-01-01T05:00:00Z,8\n")
    [outcome] = take_in(settings)
    document = outcome.to_dict()
    assert document["decided"]["time_column"] == "at"
    assert "line 2 has '07'" in document["warnings"][0]


def test_a_quote_that_swallows_rows_is_rejected(settings: Settings) -> None:
    drop(settings, "a.csv", b'at,s\n2013-01-01T05:00:00Z,"abc\n2013-01-01T06:00:00Z,x\n')
    [outcome] = take_in(settings)
    assert outcome.result is Result.REJECTED
    assert "line 2, column 2: a quote is never closed" in str(outcome.error)


def test_a_map_with_a_key_twice_is_rejected_with_its_row(settings: Settings) -> None:
    tags = pa.array([[("a", 1)], [("a", 1), ("a", 2)]], pa.map_(pa.string(), pa.int64()))
    drop(settings, "a.parquet", readings(2).append_column("tags", tags))
    [outcome] = take_in(settings)
    assert outcome.result is Result.REJECTED
    assert "column 'tags{key}', row 1: 'a' was taken for a key, which its map has twice" in str(outcome.error)


def test_a_map_with_a_null_key_is_rejected_with_its_row_and_ends_no_run(settings: Settings) -> None:
    drop(settings, "a.arrows", stream(MAP, LISTED, [GOOD, BAD]))
    [outcome] = take_in(settings)
    assert outcome.result is Result.REJECTED
    assert "column 'v{key}', row 1: null was taken for a key" in str(outcome.error)


def test_what_a_folder_says_becomes_a_column(settings: Settings) -> None:
    for station in ("JFK", "LGA"):
        drop(settings, f"station={station}/a.parquet", readings(1))
    assert [outcome.result for outcome in take_in(settings)] == [Result.STAGED, Result.STAGED]
    with Timestore(settings) as store:
        schema = store.area.ledger.datasets.get("weather").schema
    assert schema is not None
    assert schema.names == ["at", "n", "station"]


def test_a_file_that_contradicts_its_folder_is_rejected(settings: Settings) -> None:
    drop(settings, "n=7/a.parquet", readings(1))
    [outcome] = take_in(settings)
    assert outcome.result is Result.REJECTED
    assert "a folder gives column 'n' the value '7', and the file has '0' there" in str(outcome.error)


def test_a_folder_that_cannot_be_printed_is_no_column(settings: Settings) -> None:
    drop(settings, "station=a\u200bb/a.parquet", readings(1))
    [outcome] = take_in(settings)
    assert outcome.result is Result.POSTPONED
    assert outcome.error is not None
    assert "escape them" in outcome.error.hint
