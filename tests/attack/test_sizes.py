"""A file or body that says much in few bytes takes neither the memory nor the turn of others."""

from __future__ import annotations

import os
import signal
import subprocess
import sys
from collections.abc import Callable
from pathlib import Path

import pyarrow as pa
import pyarrow.parquet as pq
import pytest

from tests.cli.running import ROOT
from tests.doors.landing.dropping import drop, folder, numbers, readings, take_in
from timestore_pipeline.doors.landing.reports import Result
from timestore_pipeline.errors import FileChanged, InvalidData
from timestore_pipeline.ingest.formats.sources import open_source
from timestore_pipeline.ingest.trial import MOST_AT_ONCE, Trial
from timestore_pipeline.ingest.whole_file import content_digest
from timestore_pipeline.settings import Settings
from timestore_pipeline.system import clock

MIB = 1 << 20
ALLOWED = 1_500 * MIB  # of the process that ingests and its readers together, of which 1 GiB is a reader's limit


def long_dictionary(path: Path) -> None:
    """Ten thousand times one text of a megabyte: 10 GB in a thousand bytes."""
    values = pa.DictionaryArray.from_arrays(pa.array([0] * 10_000, pa.int32()), ["x" * MIB])
    pq.write_table(pa.table({"a": values}), path, compression="zstd", store_schema=False)


def runs(path: Path) -> None:
    """Two billion rows of one number in a few kilobytes."""
    rows = pa.RunEndEncodedArray.from_arrays(pa.array([2_000_000_000], pa.int32()), pa.array([1], pa.int8()))
    with pa.OSFile(str(path), "wb") as file, pa.ipc.new_file(file, pa.schema([("a", rows.type)])) as writer:
        writer.write_batch(pa.record_batch({"a": rows}))


def shared_dictionary(path: Path) -> None:
    """The same as Arrow: each of a million rows is a megabyte."""
    values = pa.DictionaryArray.from_arrays(pa.array([0] * 1_000_000, pa.int8()), ["x" * MIB])
    batch = pa.record_batch({"a": values})
    options = pa.ipc.IpcWriteOptions(compression="zstd")
    with pa.OSFile(str(path), "wb") as file, pa.ipc.new_file(file, batch.schema, options=options) as writer:
        writer.write_batch(batch)


def many_nulls(path: Path) -> None:
    rows = pa.table({"a": pa.nulls(200_000_000, pa.int8())})
    pq.write_table(rows, path, row_group_size=200_000_000)


BOMBS = [(long_dictionary, "a.parquet"), (runs, "a.arrow"), (shared_dictionary, "a.arrow"), (many_nulls, "a.parquet")]


@pytest.mark.parametrize(("write", "name"), BOMBS, ids=lambda value: getattr(value, "__name__", None))
def test_a_file_that_says_much_in_few_bytes_is_rejected_and_the_others_get_in(
    settings: Settings, write: Callable[[Path], None], name: str
) -> None:
    write(path := drop(settings, name, b"", dataset="a-first"))
    assert path.stat().st_size < MIB
    drop(settings, "b.parquet", readings(3))
    assert peak(settings) < ALLOWED
    assert numbers(settings) == [0, 1, 2]
    [reason] = (path.parents[1] / "_rejected" / "a-first").glob("*.reason.json")
    assert "invalid_data" in reason.read_text()


def peak(settings: Settings) -> int:
    """Bytes at most of one `landing ingest` and of what it starts, each for itself added up."""
    ours = {"TIMESTORE_HOME": settings.home, "TIMESTORE_LANDING_DIRECTORY": settings.landing_directory}
    environment = os.environ | {name: str(value) for name, value in ours.items()} | {"TIMESTORE_LANDING_SETTLE_MS": "0"}
    code = (
        "import resource, subprocess, sys;"
        " subprocess.run([sys.executable, '-m', 'timestore_pipeline', 'landing', 'ingest'], stdout=2);"
        " print(resource.getrusage(resource.RUSAGE_CHILDREN).ru_maxrss)"
    )
    told = subprocess.run([sys.executable, "-c", code], cwd=ROOT, env=environment, stdout=subprocess.PIPE, check=True)
    return int(told.stdout) * 1024


def test_batches_are_cut_by_what_they_take_decoded(tmp_path: Path) -> None:
    values = pa.DictionaryArray.from_arrays(pa.array([0] * 3_000, pa.int16()), ["x" * 100_000])
    with pa.OSFile(str(tmp_path / "a.arrow"), "wb") as file:
        batch = pa.record_batch({"a": values})
        with pa.ipc.new_file(file, batch.schema) as writer:
            writer.write_batch(batch)
    cut = [(first, table.num_rows) for first, table in open_source(tmp_path / "a.arrow").batches(10_000)]
    assert len(cut) == 9
    assert sum(rows for _, rows in cut) == 3_000
    assert cut == [(first, table.num_rows) for first, table in open_source(tmp_path / "a.arrow").batches(10_000)]


def test_a_file_that_ends_its_reader_is_refused_and_the_next_one_has_another(tmp_path: Path) -> None:
    pq.write_table(readings(3), good := tmp_path / "good.parquet")
    with Trial() as trial:
        trial.check(good, lambda: None)
        assert trial._process is not None
        trial._process.kill()
        trial._process.wait()
        trial.check(good, lambda: None)
        os.kill(trial._process.pid, signal.SIGSTOP)
        pid = trial._process.pid
        with pytest.raises(InvalidData, match="ends the process that reads it"):
            trial.check(good, lambda: os.kill(pid, signal.SIGKILL))
        trial.check(good, lambda: None)


def test_a_row_that_is_too_large_is_refused(tmp_path: Path) -> None:
    path = tmp_path / "a.parquet"
    pq.write_table(pa.table({"a": ["x" * (MOST_AT_ONCE + 1)]}), path, compression="zstd", write_statistics=False)
    with Trial() as trial, pytest.raises(InvalidData, match="holds 1 rows from row 0 on that take"):
        trial.check(path, lambda: None)


def died(settings: Settings, monkeypatch: pytest.MonkeyPatch) -> None:
    """A run that is killed while it reads; by an exception that no handler in the product catches."""

    class Killed(BaseException):
        pass

    def dies(*_: object) -> None:
        raise Killed

    with monkeypatch.context() as patched:
        patched.setattr("timestore_pipeline.doors.landing.intake.check_rows", dies)
        with pytest.raises(Killed):
            take_in(settings)


def test_a_file_whose_reading_killed_the_process_three_times_is_rejected(
    settings: Settings, monkeypatch: pytest.MonkeyPatch
) -> None:
    drop(settings, "a.csv", b"n\n1\n")
    for _ in range(3):
        died(settings, monkeypatch)
    [outcome] = take_in(settings)
    assert outcome.result is Result.REJECTED
    assert "was not finished in 3 attempts" in str(outcome.error)
    assert numbers(settings) == []


def test_a_file_whose_reading_killed_the_process_waits_behind_the_others(
    settings: Settings, monkeypatch: pytest.MonkeyPatch
) -> None:
    drop(settings, "a.csv", b"n\n1\n")
    died(settings, monkeypatch)
    drop(settings, "b.csv", b"n\n2\n")
    assert [outcome.file for outcome in take_in(settings)] == ["b.csv", "a.csv"]


def test_what_is_not_the_files_fault_is_no_attempt(settings: Settings, monkeypatch: pytest.MonkeyPatch) -> None:
    drop(settings, "a.csv", b"n\n1\n")
    for _ in range(5):
        with monkeypatch.context() as patched:
            patched.setattr("timestore_pipeline.doors.landing.intake.check_rows", full_disk)
            [outcome] = take_in(settings)
        assert outcome.result is Result.POSTPONED
        landing = folder(settings)
        for file in landing.files("weather"):
            landing.put_off(file, clock.now(), file.attempts)
    assert [outcome.result for outcome in take_in(settings)] == [Result.STAGED]


def test_a_file_that_grows_to_a_terabyte_of_holes_while_it_is_read_is_put_off(
    settings: Settings, landing: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    grown = list[Path]()

    def grows(path: Path, *more: str, most: int) -> str:
        grown.extend(landing.glob("_ingesting/weather/*~a.csv"))
        os.truncate(grown[0], 1 << 40)
        return content_digest(path, *more, most=most)

    monkeypatch.setattr("timestore_pipeline.doors.landing.intake.content_digest", grows)
    drop(settings, "a.csv", b"n\n1\n")
    [outcome] = take_in(settings)
    assert grown
    assert outcome.result is Result.POSTPONED
    assert isinstance(outcome.error, FileChanged)
    assert numbers(settings) == []


def full_disk(*_: object) -> None:
    raise OSError(28, "No space left on device")
