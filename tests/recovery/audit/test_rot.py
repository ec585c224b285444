"""Bit rot: `verify --deep` names every damaged file, and no file is deleted."""

from __future__ import annotations

import shutil
import signal
import sqlite3
import subprocess
import sys
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path

import pytest
from deltalake import write_deltalake

from tests.recovery.audit.books import readings
from tests.staging.rolled import roll_up_in
from timestore_pipeline.errors import TimestoreError
from timestore_pipeline.model.flush import Trigger
from timestore_pipeline.recovery.shard_audit import verify
from timestore_pipeline.settings import Settings
from timestore_pipeline.wiring import Timestore

ROOT = Path(__file__).parents[3]


@dataclass(frozen=True)
class Site:
    """A closed staging directory and its lake: 30 rows published, 20 and 7 owed in two sealed segments."""

    settings: Settings
    older_ledger: Path  # from before the flush

    @property
    def ledger(self) -> Path:
        return self.settings.staging_directory / "ledger.sqlite"

    @property
    def segments(self) -> list[Path]:
        return sorted((self.settings.staging_directory / "segments" / "weather").glob("*.duckdb"))

    @property
    def table(self) -> Path:
        return Path(self.settings.lake_uri) / "weather"

    @property
    def parquet(self) -> list[Path]:
        return sorted(self.table.rglob("part-*.parquet"))

    def commit(self, version: int) -> Path:
        return self.table / "_delta_log" / f"{version:020d}.json"


def overwrite(path: Path, offset: int, length: int = 64) -> None:
    content = bytearray(path.read_bytes())
    content[offset : offset + length] = bytes(255 - byte for byte in content[offset : offset + length])
    path.write_bytes(content)


def halve(path: Path) -> str:
    path.write_bytes(path.read_bytes()[: path.stat().st_size // 2])
    return path.name


def segment_truncated(site: Site) -> str:
    return halve(site.segments[0])


def segment_header_flipped(site: Site) -> str:
    overwrite(site.segments[0], 4096)
    overwrite(site.segments[0], 8192)
    return site.segments[0].name


def segment_rows_flipped(site: Site) -> str:
    for block in range(12_288, site.segments[0].stat().st_size, 16_384):
        overwrite(site.segments[0], block + 1_000)
    return site.segments[0].name


def segment_missing(site: Site) -> str:
    victim = site.segments[0]
    victim.unlink()
    return victim.name


def segment_emptied(site: Site) -> str:
    site.segments[0].write_bytes(b"")
    return site.segments[0].name


def segment_swapped(site: Site) -> str:
    first, second = site.segments
    shutil.copy(second, first)
    return first.name


def segment_unknown(site: Site) -> str:
    stray = site.segments[0].with_stem("stray")
    shutil.copy(site.segments[0], stray)
    return stray.name


_KILLED = """
import os, sys
from tests.recovery.audit.books import readings
from timestore_pipeline import Settings, StagingManager
staging = StagingManager.open(Settings.build(home=sys.argv[1]))
staging.enqueue("weather", readings(9))
os.kill(os.getpid(), 9)
"""


def killed_writers_journal(site: Site) -> Path:
    """The journal of a process that was killed with nine rows in it."""
    done = subprocess.run([sys.executable, "-c", _KILLED, site.settings.home], cwd=ROOT, check=False)
    assert done.returncode == -signal.SIGKILL
    [journal] = (site.settings.staging_directory / "journals").glob("*.journal")
    return journal


def journal_truncated(site: Site) -> str:
    return halve(killed_writers_journal(site))


def journal_flipped(site: Site) -> str:
    journal = killed_writers_journal(site)
    overwrite(journal, journal.stat().st_size // 2)
    return journal.name


def journal_missing(site: Site) -> str:
    journal = killed_writers_journal(site)
    journal.unlink()
    return journal.name


def journal_unknown(site: Site) -> str:
    journal = killed_writers_journal(site)
    stray = journal.with_stem("0" * len(journal.stem))
    stray.write_bytes(journal.read_bytes().replace(journal.stem.encode(), stray.stem.encode(), 1))
    return stray.name


def ledger_truncated(site: Site) -> str:
    return halve(site.ledger)


def ledger_page_flipped(site: Site) -> str:
    overwrite(site.ledger, 5 * 4096, 4096)
    return site.ledger.name


def ledger_missing(site: Site) -> str:
    site.ledger.unlink()
    return site.ledger.name


def ledger_emptied(site: Site) -> str:
    site.ledger.write_bytes(b"")
    return site.ledger.name


def ledger_older(site: Site) -> str:
    shutil.copy(site.older_ledger, site.ledger)
    return "epoch 1"


def ledger_rows_deleted(site: Site) -> str:
    alter(site, "DELETE FROM batches WHERE state = 'pending'")
    return "pending"


def ledger_segments_deleted(site: Site) -> str:
    alter(site, "DELETE FROM segments")
    return site.segments[0].name


def alter(site: Site, statement: str) -> None:
    connection = sqlite3.connect(site.ledger)
    with connection:
        connection.execute(statement)
    connection.close()


def parquet_truncated(site: Site) -> str:
    return halve(site.parquet[0])


def parquet_footer_flipped(site: Site) -> str:
    overwrite(site.parquet[0], site.parquet[0].stat().st_size - 72)
    return site.parquet[0].name


def parquet_pages_flipped(site: Site) -> str:
    overwrite(site.parquet[0], 4)
    return site.parquet[0].name


def parquet_missing(site: Site) -> str:
    victim = site.parquet[0]
    victim.unlink()
    return victim.name


def parquet_replaced(site: Site) -> str:
    victim = site.parquet[0]
    victim.write_bytes(b"PAR1" + b"\0" * (victim.stat().st_size - 8) + b"PAR1")
    return victim.name


def log_without_its_first_commit(site: Site) -> str:
    site.commit(0).unlink()
    return "weather"


def log_without_its_newest_commit(site: Site) -> str:
    site.commit(1).unlink()
    return "epoch 1"


def log_torn(site: Site) -> str:
    halve(site.commit(1))
    return "epoch 1"


def log_with_someone_elses_commit(site: Site) -> str:
    with Timestore(site.settings) as store:
        rows = store.lake.table("weather").to_arrow_dataset().to_table().slice(0, 2)
    write_deltalake(site.table, rows, mode="append")
    return "version 2"


CASES: dict[Callable[[Site], str], str] = {
    segment_truncated: "unreadable_segment",
    segment_header_flipped: "unreadable_segment",
    segment_rows_flipped: "unreadable_segment",
    segment_missing: "unreadable_segment",
    segment_emptied: "unreadable_segment",
    segment_swapped: "unreadable_segment",
    segment_unknown: "unknown_segment",
    journal_truncated: "unreadable_segment",
    journal_flipped: "unreadable_segment",
    journal_missing: "unreadable_segment",
    journal_unknown: "unknown_journal",
    ledger_truncated: "unreadable_ledger",
    ledger_page_flipped: "unreadable_ledger",
    ledger_missing: "ledger_lost",
    ledger_emptied: "ledger_lost",
    ledger_older: "unknown_commit",
    ledger_rows_deleted: "totals_differ",
    ledger_segments_deleted: "unknown_segment",
    parquet_truncated: "file_changed",
    parquet_footer_flipped: "file_unreadable",
    parquet_pages_flipped: "file_unreadable",
    parquet_missing: "file_missing",
    parquet_replaced: "file_unreadable",
    log_without_its_first_commit: "unreadable_table",
    log_without_its_newest_commit: "flush_not_in_log",
    log_torn: "flush_not_in_log",
    log_with_someone_elses_commit: "foreign_rows",
}


@pytest.fixture
def site(settings: Settings, tmp_path: Path) -> Site:
    older = tmp_path / "older.sqlite"
    _stage(settings, 10, 20)
    shutil.copy(settings.staging_directory / "ledger.sqlite", older)
    with Timestore(settings) as store:
        store.flush("weather", Trigger.MANUAL, "test")
    _stage(settings, 12, 8)
    roll_up_in(settings)
    _stage(settings, 7)
    roll_up_in(settings)
    return Site(settings, older)


def _stage(settings: Settings, *sizes: int) -> None:
    with Timestore(settings) as store, store.staging() as staging:
        for size in sizes:
            staging.enqueue("weather", readings(size))


def _told(site: Site) -> dict[str, str]:
    """Code -> messages of everything that `verify --deep` says, refusals included."""
    try:
        with Timestore(site.settings) as store:
            audits = verify(store.area, store.lake, deep=True).datasets
    except TimestoreError as refusal:
        return {refusal.code: str(refusal)}
    found = [finding for audit in audits for finding in (*audit.problems, *audit.warnings)]
    return {one.code: "\n".join(other.message for other in found if other.code == one.code) for one in found}


def _data_files(site: Site) -> int:
    """Segments, journals, Parquet files and commits, wherever they lie now."""
    suffixes = (".duckdb", ".journal", ".parquet", ".json")
    return sum(path.name.endswith(suffixes) for path in site.settings.home.rglob("*"))


@pytest.mark.parametrize("rot", CASES, ids=lambda case: case.__name__)
def test_rot_is_named_and_nothing_is_deleted(rot: Callable[[Site], str], site: Site) -> None:
    assert _told(site) == {}
    name = rot(site)
    files = _data_files(site)
    told = _told(site)
    print(f"{rot.__name__:32} {', '.join(told)}")  # noqa: T201  # the table of cases, with pytest -s
    assert CASES[rot] in told
    assert name in told[CASES[rot]]
    assert _data_files(site) == files
