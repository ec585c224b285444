"""Opening a ledger: the first time, at the same time, and when it is not ours."""

from __future__ import annotations

from multiprocessing.synchronize import Barrier
from pathlib import Path

import pytest

from tests.services.forked import FORKED, Forked
from timestore_pipeline.errors import LedgerMismatch
from timestore_pipeline.staging.area import StagingArea
from timestore_pipeline.staging.ledger import Ledger
from timestore_pipeline.staging.ledger_format import FORMAT_VERSION


def _open(barrier: Barrier, root: Path, name: str) -> None:
    barrier.wait(60)
    with StagingArea(root, "shard-0") as area:
        area.ledger.datasets.ensure(name)


def test_eight_processes_may_open_an_empty_directory_at_once(tmp_path: Path) -> None:
    barrier = FORKED.Barrier(8)
    children = [Forked(_open, barrier, tmp_path / "new", f"d{n}") for n in range(8)]
    assert [child.wait() for child in children] == [0] * 8
    with StagingArea(tmp_path / "new", "shard-0") as area:
        assert [record.name for record in area.ledger.datasets.all()] == [f"d{n}" for n in range(8)]
        assert len(area.ledger.processes.all()) == 1


def test_opening_again_keeps_what_was_there(ledger: Ledger) -> None:
    ledger.datasets.ensure("d")
    again = Ledger(ledger.database.path, "shard-0")
    assert again.datasets.get("d").dataset_id == 1
    again.close()


def test_another_shards_ledger_is_refused_by_name(ledger: Ledger) -> None:
    with pytest.raises(LedgerMismatch, match="belongs to shard 'shard-0', not to 'shard-1'") as refused:
        Ledger(ledger.database.path, "shard-1")
    assert "TIMESTORE_SHARD" in refused.value.hint


@pytest.mark.parametrize("version", [str(FORMAT_VERSION + 1), "next"])
def test_a_newer_format_is_refused_and_left_alone(ledger: Ledger, version: str) -> None:
    ledger.set_meta("format_version", version)
    with pytest.raises(LedgerMismatch, match=f"format version {version}, this release reads {FORMAT_VERSION}"):
        Ledger(ledger.database.path, "shard-0")
    assert ledger.get_meta("format_version") == version
