"""Running `timestore`, in this process or as one of its own, and files to feed it."""

from __future__ import annotations

import json
import signal
import subprocess
import sys
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Any

import pyarrow as pa
import pyarrow.csv
import pyarrow.feather
import pyarrow.parquet
from typer.testing import CliRunner

from tests.staging.rolled import roll_up_in
from timestore_pipeline.cli.app import app
from timestore_pipeline.settings import Settings

ROOT = Path(__file__).parents[2]

# A producer that stages once, prints a line, and then runs until it is ended, with its journal open.
_PRODUCER = """
import sys
from datetime import timedelta
from tests.cli.running import readings
from timestore_pipeline import Settings, StagingManager
from timestore_pipeline.ingest import threads
threads._IDLE = timedelta(hours=1)
with StagingManager.open(Settings.from_env()) as staging:
    staging.enqueue("weather", readings(int(sys.argv[1])))
    print("staged", flush=True)
    sys.stdin.read()
"""


def timestore(*arguments: str | Path, code: int = 0) -> str:
    """Standard output of a command run in this process; its exit code must be `code`."""
    result = CliRunner().invoke(app, [str(argument) for argument in arguments])
    assert result.exit_code == code, (result.stdout, result.stderr, result.exception)
    return result.stdout


def timestore_json(*arguments: str | Path, code: int = 0) -> Any:
    return json.loads(timestore(*arguments, "--json", code=code))


def complaint(*arguments: str | Path, code: int = 1) -> str:
    """Standard error of a command that fails without a traceback."""
    result = CliRunner().invoke(app, [str(argument) for argument in arguments])
    assert result.exit_code == code, (result.stdout, result.stderr, result.exception)
    assert "Traceback" not in result.stderr
    return result.stderr


def command(*arguments: str | Path) -> list[str]:
    """The command line of a process of its own."""
    return [sys.executable, "-m", "timestore_pipeline", *map(str, arguments)]


def in_a_process(*arguments: str | Path) -> subprocess.CompletedProcess[str]:
    return subprocess.run(command(*arguments), cwd=ROOT, capture_output=True, text=True, check=False)


@contextmanager
def producer(rows: int) -> Iterator[subprocess.Popen[str]]:
    """A living process with an open journal that holds `rows` rows of the dataset `weather`."""
    with subprocess.Popen(
        [sys.executable, "-c", _PRODUCER, str(rows)],
        cwd=ROOT,
        stdin=subprocess.PIPE,
        stdout=subprocess.PIPE,
        text=True,
    ) as process:
        assert process.stdout is not None
        assert process.stdout.readline() == "staged\n"
        try:
            yield process
        finally:
            process.send_signal(signal.SIGCONT)
            process.kill()


def segment_of(home: Path, dataset: str = "weather") -> Path:
    """The dataset's only segment, after all that lies in journals was moved into segments."""
    roll_up_in(Settings.from_env())
    [path] = (home / "staging" / "segments" / dataset).glob("*.duckdb")
    return path


def journal_of(home: Path) -> Path:
    [path] = (home / "staging" / "journals").glob("*.journal")
    return path


def readings(rows: int, first: int = 0) -> pa.Table:
    """Rows of two days."""
    numbers = range(first, first + rows)
    times = [datetime(2013, 1, 1 + n % 2, tzinfo=UTC) + timedelta(seconds=n) for n in numbers]
    columns = {"at": pa.array(times, pa.timestamp("us", "UTC")), "value": pa.array(numbers, pa.int64())}
    return pa.table(columns | {"name": [f"station {n % 7}" for n in numbers]})


def write_file(path: Path, rows: pa.Table) -> Path:
    """In the format that the suffix names."""
    match path.suffix:
        case ".parquet":
            pyarrow.parquet.write_table(rows, path)
        case ".csv":
            pyarrow.csv.write_csv(rows, path)
        case ".arrow":
            pyarrow.feather.write_feather(rows, path)
        case ".ndjson":
            path.write_text("".join(json.dumps(row, default=datetime.isoformat) + "\n" for row in rows.to_pylist()))
    return path


def staged(home: Path, rows: int = 40, batch_rows: int = 10, dataset: str = "weather") -> Sequence[Path]:
    """Ingest some rows, each batch with a key."""
    path = write_file(home / f"{dataset}.parquet", readings(rows))
    timestore("ingest", dataset, path, "--batch-rows", str(batch_rows), "--idempotency-prefix", "test")
    return [path]
