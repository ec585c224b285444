"""Data on disk when a call returns, seen in the system calls; and a disk that is really full."""

from __future__ import annotations

import re
import shutil
import subprocess
import sys
from pathlib import Path

import pytest

from tests.services.require import require

ROOT = Path(__file__).parents[2]

# Exports and publishes epoch 1 and burns epoch 2; a mark on stderr says what has returned.
PUBLISH_AND_BURN = """
import os, sys
from tests.lake.exporting import APP, NUMBERS, export
from timestore_pipeline.lake.table import Lake

table = Lake(sys.argv[1]).table("weather")
files = export(table, NUMBERS)
os.write(2, b"EXPORTED\\n")
table.publish(APP, 1, files, {})
os.write(2, b"PUBLISHED\\n")
table.burn(APP, 2, "crashed")
os.write(2, b"BURNT\\n")
"""

# Exports thirty days at once.
EXPORT_MANY = """
import os, sys
import duckdb
import pyarrow as pa
from timestore_pipeline.lake.layout import Partitioning
from timestore_pipeline.lake.table import Lake
from timestore_pipeline.model.dataset import Granularity

days = pa.table({"at": pa.array([day * 86_400_000_000 for day in range(30)], pa.timestamp("us"))})
with duckdb.connect() as con:
    partitioning = Partitioning.of(days.schema, Granularity.DAY)
    Lake(sys.argv[1]).table("weather").write_many(con, days, partitioning, shard="shard-0", epoch=1)
os.write(2, b"EXPORTED\\n")
"""

# Fills the filesystem between export and publish, then tries both again.
RUN_OUT_OF_SPACE = """
import contextlib, pathlib, sys
from tests.lake.exporting import APP, NUMBERS, export
from timestore_pipeline.errors import DiskFull
from timestore_pipeline.lake.table import Lake

def refused(call, *arguments):
    try:
        call(*arguments)
    except DiskFull as error:
        print(error)
        return True

table = Lake(sys.argv[1] + "/lake").table("weather")
files = export(table, NUMBERS)
ballast = pathlib.Path(sys.argv[1], "ballast")
with contextlib.suppress(OSError), ballast.open("wb", buffering=0) as file:
    while True:
        file.write(b"x" * 4096)
assert refused(table.publish, APP, 1, files, {"why": "x" * 100_000})
assert refused(export, table, NUMBERS)
ballast.unlink()
assert table.outcome(APP, 1) == "absent"
table.publish(APP, 1, files, {})
assert table.to_arrow_dataset().count_rows() == 3
"""


def traced(program: str, argument: Path) -> list[str]:
    """The program's writes to stderr, links, renames and flushes, with file names in place of descriptors."""
    strace = shutil.which("strace")
    require("strace", available=strace is not None, remedy="apt-get install strace")
    trace = argument / "trace"
    calls = "trace=write,fsync,fdatasync,link,linkat,rename,renameat,renameat2"
    command = [strace or "", "-f", "-y", "-s", "300", "-o", str(trace), "-e", calls]
    command += [sys.executable, "-c", program, str(argument / "lake")]
    subprocess.run(command, cwd=ROOT, env={"PYTHONPATH": str(ROOT)}, check=True, capture_output=True)
    return trace.read_text().splitlines()


def position(trace: list[str], pattern: str, start: int = 0) -> int:
    """Of the first call from `start` on that matches; fails when there is none."""
    found = [i for i, line in enumerate(trace) if i >= start and re.search(pattern, line)]
    assert found, pattern
    return found[0]


def in_order(trace: list[str], *patterns: str) -> None:
    start = 0
    for pattern in patterns:
        start = position(trace, pattern, start) + 1


def test_files_and_log_are_on_disk_before_a_call_returns(tmp_path: Path) -> None:
    trace = traced(PUBLISH_AND_BURN, tmp_path)
    table, log = rf"{tmp_path}/lake/weather", rf"{tmp_path}/lake/weather/_delta_log"
    for version, returned in enumerate(("EXPORTED", "PUBLISHED", "BURNT")):
        commit = rf"{log}/{version:020d}\.json"
        in_order(trace, rf'link.*"{commit}"', rf"fsync\(.*{commit}>", rf"fsync\(.*{log}>", rf"write\(2.*{returned}")
    in_order(trace, rf"fsync\(.*{table}/_tmp", r"rename.*_tmp.*part-", rf"fsync\(.*{table}>", r"write\(2.*EXPORTED")
    in_order(trace, rf"fsync\(.*{tmp_path}>", rf"fsync\(.*{tmp_path}/lake>", rf"fsync\(.*{table}>", r"link.*0\.json")


def test_many_files_are_on_disk_before_the_first_has_its_name_and_their_folders_before_the_call_returns(
    tmp_path: Path,
) -> None:
    trace = traced(EXPORT_MANY, tmp_path)
    table, returned = f"{tmp_path}/lake/weather", position(trace, r"write\(2.*EXPORTED")
    named = [i for i, line in enumerate(trace) if "rename" in line and "part-shard-0" in line]
    flushed = {i: match[1] for i, line in enumerate(trace) if (match := re.search(r"fsync\(\d+<([^>]+)>", line))}
    files = {path for i, path in flushed.items() if i < named[0] and path.endswith(".parquet")}
    folders = {path for i, path in flushed.items() if named[-1] < i < returned and "partition_date" in path}
    assert (len(named), len(files), len(folders)) == (30, 30, 30)
    assert table in {path for i, path in flushed.items() if i < named[0]}


def test_a_full_disk_says_so_and_leaves_the_epoch_open(tmp_path: Path) -> None:
    mounted = f'mount -t tmpfs -o size=256k tmpfs "{tmp_path}"'
    namespace = ["unshare", "--map-root-user", "--mount", "sh", "-c"]
    allowed = shutil.which("unshare") and subprocess.run([*namespace, mounted], capture_output=True, check=False)
    if not allowed or allowed.returncode:
        pytest.skip("needs a user namespace in which a small filesystem can be mounted")
    program = f'{mounted} && exec "{sys.executable}" -c "$0" "{tmp_path}"'
    done = subprocess.run(
        [*namespace, program, RUN_OUT_OF_SPACE],
        cwd=ROOT,
        env={"PYTHONPATH": str(ROOT), "PATH": "/usr/bin:/bin"},
        capture_output=True,
        text=True,
        check=False,
    )
    assert done.returncode == 0, done.stdout + done.stderr
    assert done.stdout.count("no space left in the lake") == 2
