"""Rewrite docs/command-line.md: every command on an 80-column terminal, with real data and one that goes wrong.

Run from the repository: `.venv/bin/python scripts/captures.py`. Takes a minute or two. Sizes, durations and instants
are of the run; everything else is the same each time.
"""

from __future__ import annotations

import os
import pty
import re
import shutil
import signal
import subprocess
import sys
import tempfile
from collections.abc import Iterator
from dataclasses import dataclass
from datetime import UTC, datetime, timedelta
from pathlib import Path

import pyarrow as pa
import pyarrow.parquet as pq

ROOT = Path(__file__).resolve().parents[1]
sys.path.insert(0, str(ROOT))

from tests.docs.commands import summaries  # noqa: E402

PAGE = ROOT / "docs" / "command-line.md"
FOLDER = Path(tempfile.gettempdir()) / "timestore-captures"
_PROGRESS = re.compile(r"^(rows|kills|batches|files) .*(\d:\d\d:\d\d|-:--:--)$")
_MOST_LINES = 30  # of one capture

_HEAD = """# Use the command line

Written by `scripts/captures.py`: the output of each command on a terminal of 80 columns.
`timestore COMMAND --help` explains the options and has an example; `timestore --install-completion` adds shell
completion for commands and dataset names. `timestore --version` prints the release and its ledger format.

- Exit code 0 = done, 1 = the answer is no or the command failed, 2 = wrong usage.
- `--json` prints one JSON document instead, also for an error: `{"error": {"code", "message", "dataset", "hint"}}`.
- Colours and progress bars appear on a terminal only, and never with `NO_COLOR`. Notes go to standard error.
"""


@dataclass(frozen=True)
class Scene:
    """Commands to show under the heading of one command. `prepare`: run before and not shown."""

    lines: tuple[str, ...]
    prepare: str = ""


_TWO_MORE_FLUSHES = """
for n in 1 2; do timestore ingest weather more-$n.parquet --batch-rows 100; timestore flush --all --now; done
"""
_DAMAGE = """
timestore ingest damaged more-1.parquet
for file in $TIMESTORE_HOME/staging/segments/damaged/*; do echo broken > $file; done
timestore flush damaged --now
"""
_DROP_A_FILE = """
mkdir -p $TIMESTORE_LANDING_DIRECTORY/weather
cp more-2.parquet $TIMESTORE_LANDING_DIRECTORY/weather/
touch -d '1 hour ago' $TIMESTORE_LANDING_DIRECTORY/weather/*
"""
_WRITE_A_FILE = """
cat > datasets.yaml <<'END'
datasets:
  weather:
    owners: [team:meteorology]
    staging: {flush: {maxRows: 50000, sortBy: [station]}}
  storms:
    schema: {columns: {measured_at: timestamp, station: string, gust: double}}
END
"""
_QUERY = "SELECT station, round(avg(wind), 1) AS wind FROM weather GROUP BY 1 ORDER BY 1"
_COUNT = "SELECT count(*) AS rows FROM weather"
_NEW_TOKEN = "timestore tokens new station-a --may stage --may read --dataset 'weather*' >> tokens"
_BROKEN = "TIMESTORE_STAGING_FLUSH_MAX_BYTES=600000000 TIMESTORE_SHARD=other"

SCENES: dict[str, Scene] = {
    "ingest": Scene(("timestore ingest weather weather.parquet --batch-rows 200 --idempotency-prefix 2013",)),
    "status": Scene(("timestore status",)),
    "explain": Scene(("timestore explain weather",)),
    "flush": Scene(("timestore flush weather --now",)),
    "flushes": Scene(("timestore flushes weather",), _TWO_MORE_FLUSHES),
    "advise": Scene(("timestore advise weather --target-file-mb 0.01 --freshness-s 20 --reaction-s 2",)),
    "drain": Scene(("timestore drain --timeout 60",)),
    "pause": Scene(("timestore pause weather",)),
    "resume": Scene(("timestore resume weather",)),
    "query": Scene((f'timestore query "{_QUERY}"', f'timestore query --published-only --json "{_COUNT}"')),
    "verify": Scene(("timestore verify",)),
    "recover": Scene(("timestore recover",)),
    "maintain": Scene(tuple(f"timestore maintain weather --min-files 2{end}" for end in (" --dry-run", ""))),
    "doctor": Scene(("timestore doctor", f"{_BROKEN} timestore doctor")),
    "metrics": Scene(("timestore metrics | grep queue_depth",)),
    "crashtest": Scene(("timestore crashtest crash --kills 5 --seed 7 --clean",)),
    "simulate": Scene(tuple(f"timestore simulate --producers 2 --batches 20 --slo {slo}" for slo in ("20", "0.001"))),
    "serve": Scene(("timestore serve --port 0",)),
    "tokens new": Scene((_NEW_TOKEN,), "touch tokens && chmod 600 tokens"),
    "tokens list": Scene(("TIMESTORE_API_TOKENS_FILE=tokens timestore tokens list",)),
    "datasets list": Scene(("timestore datasets list",)),
    "datasets show": Scene(("timestore datasets show weather",)),
    "datasets set": Scene(("timestore datasets set weather staging.flush.maxRows=50000",)),
    "datasets unset": Scene(("timestore datasets unset weather staging.flush.maxRows",)),
    "datasets retype": Scene(
        tuple(f"timestore datasets retype weather {to} --dry-run" for to in ("station double", "wind 'decimal(38,3)'"))
    ),
    "datasets remove": Scene(("timestore datasets remove old",), "timestore datasets set old description=unused"),
    "datasets apply": Scene(
        tuple(f"timestore datasets apply datasets.yaml{end}" for end in (" --dry-run", "")), _WRITE_A_FILE
    ),
    "datasets export": Scene(("timestore datasets export",)),
    "datasets schema": Scene(("timestore datasets schema | head -9",)),
    "quarantine list": Scene(("timestore quarantine list",), _DAMAGE),
    "quarantine show": Scene(("timestore quarantine show 1",)),
    "quarantine requeue": Scene(("timestore quarantine requeue 1",)),
    "quarantine discard": Scene(("timestore quarantine discard 1 --yes",)),
    "landing status": Scene(("timestore landing status",), _DROP_A_FILE),
    "landing ingest": Scene(("timestore landing ingest",)),
    "landing replay": Scene(("timestore landing replay weather --help",)),
    "legacy audit": Scene(
        ("timestore legacy audit",), "cp more-1.parquet $TIMESTORE_HOME/lake/weather/by-a-cronjob.parquet"
    ),
    "legacy import": Scene(("timestore legacy import weather",)),
    "monitoring render": Scene(("timestore monitoring render rules",)),
}


def main() -> None:
    """Write the page."""
    described = summaries()
    if missing := described.keys() ^ SCENES.keys():
        sys.exit(f"scenes and commands differ: {', '.join(sorted(missing))}")
    (FOLDER / "home" / "landing").mkdir(parents=True)  # of this name, so that lines break at the same place each time
    try:
        stage = Stage(FOLDER)
        captured: dict[str, str] = {}
        for name, scene in SCENES.items():
            captured[name] = "\n\n".join(stage.play(scene))
            sys.stderr.write(f"{name}\n")
    finally:
        shutil.rmtree(FOLDER)
    sections = [f"## timestore {name}\n\n{described[name]}\n\n```\n{captured[name]}\n```" for name in SCENES]
    PAGE.write_text("\n\n".join([_HEAD.rstrip(), *sections]) + "\n")


class Stage:
    """A directory of its own in which the commands run, one after the other."""

    def __init__(self, folder: Path) -> None:
        self._folder = folder
        script = folder / "bin" / "timestore"
        script.parent.mkdir()
        script.write_text(f'#!/bin/sh\nexec {sys.executable} -m timestore_pipeline "$@"\n')
        script.chmod(0o755)
        strange = ("TIMESTORE_", "AWS_", "DAGSTER_")
        self._environment = {name: value for name, value in os.environ.items() if not name.startswith(strange)} | {
            "PATH": f"{script.parent}:{os.environ['PATH']}",
            "PYTHONPATH": str(ROOT),
            "TIMESTORE_HOME": str(folder / "home"),
            "TIMESTORE_LANDING_DIRECTORY": str(folder / "home" / "landing"),
            "TIMESTORE_LOG_LEVEL": "error",
            "COLUMNS": "80",
            "TERM": "xterm",
            "NO_COLOR": "1",
        }
        for name, rows in {"weather": 2000, "more-1": 600, "more-2": 900}.items():
            _write_rows(folder / f"{name}.parquet", rows)

    def play(self, scene: Scene) -> Iterator[str]:
        if scene.prepare:
            self._start(scene.prepare, subprocess.DEVNULL).wait()
        for line in scene.lines:
            yield f"$ {line}\n{self._shown(self._run(line))}"

    def _run(self, line: str) -> str:
        """On a pseudo-terminal, as a person sees it."""
        ours, theirs = pty.openpty()
        process = self._start(line, theirs)
        os.close(theirs)
        output = bytearray()
        try:
            while chunk := os.read(ours, 65_536):
                output += chunk
                if b"serving http" in output:
                    process.send_signal(signal.SIGINT)
        except OSError:  # how Linux reports that the other side has closed
            pass
        process.wait()
        os.close(ours)
        return output.decode()

    def _start(self, script: str, output: int) -> subprocess.Popen[bytes]:
        command = ["bash", "-c", script]
        return subprocess.Popen(command, cwd=self._folder, env=self._environment, stdout=output, stderr=output)

    def _shown(self, output: str) -> str:
        text = re.sub(r"\x1b\[[0-9;?]*[A-Za-z]", "", output.replace("\r\n", "\n"))
        text = text.replace(str(self._folder / "home"), "/data/timestore").replace(str(self._folder), "/data")
        text = re.sub(r"127\.0\.0\.1:\d+", "127.0.0.1:8451", text)
        lines = [line.rpartition("\r")[2].rstrip() for line in text.strip().splitlines()]
        lines = "\n".join(line for line in lines if not _PROGRESS.match(line)).strip().splitlines()
        more = [f"… ({len(lines) - _MOST_LINES} more lines)"] if len(lines) > _MOST_LINES else []
        return "\n".join(lines[:_MOST_LINES] + more)


def _write_rows(path: Path, rows: int) -> None:
    start = datetime(2013, 1, 1, tzinfo=UTC)
    columns = {
        "measured_at": pa.array(
            [start + timedelta(minutes=number) for number in range(rows)], pa.timestamp("us", "UTC")
        ),
        "station": pa.array([("EWR", "JFK", "LGA")[number % 3] for number in range(rows)]),
        "wind": pa.array([(number * 37 % 200) / 8 for number in range(rows)]),
    }
    pq.write_table(pa.table(columns), path)


if __name__ == "__main__":
    assert shutil.which("bash")
    main()
