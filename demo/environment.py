"""The demo's home: one folder with everything it writes, and the environment its processes run in.

The folder is emptied when a run starts and left as it is when the run ends, so that its lake can be looked at. A folder
that the demo did not make is never emptied, and two runs never share one.
"""

from __future__ import annotations

import fcntl
import os
import shutil
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path

REPOSITORY = Path(__file__).resolve().parent.parent

_MARKER = ".timestore-demo"  # says that the folder is the demo's own; locked while a run uses it
_OWN_PREFIXES = ("TIMESTORE_", "DAGSTER_")


class UnusableHome(Exception):
    """The folder is in use, or not the demo's own; the message says which, and what to do."""


@dataclass(frozen=True, slots=True)
class Limits:
    """The flush thresholds of a run."""

    rows: int
    age_seconds: float


# The sensor ticks every five seconds. In that time a year in a minute brings 28,000 rows of flights and 2,200 of
# weather: flights reach the row threshold at every second tick, weather never does and is flushed by age.
YEAR_IN_A_MINUTE = Limits(rows=40_000, age_seconds=7)
# One airport at leisure brings 2,000 rows a minute, and a run costs seconds of CPU that a developer needs otherwise.
AT_LEISURE = Limits(rows=1_000, age_seconds=45)


@dataclass(frozen=True, slots=True)
class Home:
    """Paths inside the demo's folder."""

    root: Path

    @property
    def lake(self) -> Path:
        return self.root / "lake"

    @property
    def dagster(self) -> Path:
        return self.root / "dagster"

    @property
    def logs(self) -> Path:
        return self.root / "logs"

    def report(self, airport: str) -> Path:
        return self.root / "reports" / f"{airport.lower()}.json"

    @contextmanager
    def fresh(self) -> Iterator[None]:
        """Lock the folder and empty it; raise `UnusableHome` when it is not the demo's own."""
        if self.root.exists() and any(self.root.iterdir()) and not (self.root / _MARKER).exists():
            raise UnusableHome(f"{self.root} holds files the demo did not write; name an empty folder with --home")
        self.root.mkdir(parents=True, exist_ok=True)
        with (self.root / _MARKER).open("w") as marker:
            _lock(marker.fileno(), self.root)
            self._empty()
            yield

    def check_used(self) -> None:
        """Raise `UnusableHome` when no demo has run here."""
        if not (self.root / _MARKER).exists():
            raise UnusableHome(f"no demo has run in {self.root}; run one first, or name its folder with --home")

    def variables(self, limits: Limits) -> dict[str, str]:
        return {
            "TIMESTORE_HOME": str(self.root),
            "TIMESTORE_STAGING_FLUSH_MAX_ROWS": str(limits.rows),
            "TIMESTORE_STAGING_FLUSH_MAX_AGE_MS": str(round(limits.age_seconds * 1_000)),
            "DAGSTER_HOME": str(self.dagster),
            "DAGSTER_DISABLE_TELEMETRY": "1",
            "PYTHONUNBUFFERED": "1",  # a log is read while its process runs, or after it was killed
        }

    def _empty(self) -> None:
        for entry in self.root.iterdir():
            if entry.is_dir() and not (entry / _MARKER).exists():  # a marked one is the home of another run
                shutil.rmtree(entry)
            elif entry.is_file() and entry.name != _MARKER:
                entry.unlink()
        for folder in (self.dagster, self.logs, self.report("any").parent):
            folder.mkdir()


def adopt(variables: Mapping[str, str]) -> None:
    """Make `variables` this process's and its children's; the caller's own TIMESTORE_* and DAGSTER_* do not count."""
    for name in [name for name in os.environ if name.startswith(_OWN_PREFIXES)]:
        del os.environ[name]
    os.environ.update(variables)


def inherited() -> dict[str, str]:
    """The environment for a child process."""
    return dict(os.environ)


def _lock(descriptor: int, root: Path) -> None:
    try:
        fcntl.flock(descriptor, fcntl.LOCK_EX | fcntl.LOCK_NB)
    except BlockingIOError:
        raise UnusableHome(f"another demo runs in {root}; stop it, or name another folder with --home") from None
