"""A commit that claims to be complete must have every batch that was acknowledged before."""

from __future__ import annotations

import json
from datetime import UTC, datetime, timedelta
from pathlib import Path

import pyarrow as pa
import pytest
from deltalake import CommitProperties, write_deltalake

from tests.tools.crashtest.published import batches, story
from timestore_pipeline.tools.crashtest.producer_journal import Story
from timestore_pipeline.tools.crashtest.reader import PublishedTable, broken_promises

NOON = datetime(2026, 3, 1, 12, tzinfo=UTC)
FIRST, SECOND = batches(2)


@pytest.fixture
def table(tmp_path: Path) -> PublishedTable:
    return PublishedTable(tmp_path / "trades", tmp_path / "diary")


def promised(table: PublishedTable, rows: pa.Table, until: datetime) -> None:
    """A commit that says to be complete until then, read and remembered."""
    properties = CommitProperties(custom_metadata={"timestore": json.dumps({"complete_until": until.isoformat()})})
    write_deltalake(table.folder, rows, mode="append", commit_properties=properties)
    assert table.look() == []
    table.remember()


def acknowledged_at(*seconds: int) -> dict[int, Story]:
    """Both batches were acknowledged, so many seconds after noon."""
    stories = story(FIRST, SECOND)
    for sent, second in zip(stories[0].sent.values(), seconds, strict=True):
        sent.acked_at = NOON + timedelta(seconds=second)
    return stories


def test_batches_acknowledged_later_may_be_published_later(table: PublishedTable) -> None:
    promised(table, FIRST.table, NOON + timedelta(seconds=2))
    promised(table, SECOND.table, NOON + timedelta(seconds=9))
    assert list(broken_promises(table, acknowledged_at(1, 2))) == []


def test_a_batch_acknowledged_before_is_named_once(table: PublishedTable) -> None:
    promised(table, FIRST.table, NOON + timedelta(seconds=3))
    promised(table, FIRST.table.slice(0, 0), NOON + timedelta(seconds=3))
    promised(table, SECOND.table, NOON + timedelta(seconds=9))
    (broken,) = broken_promises(table, acknowledged_at(1, 2))
    assert f"lacks batch 0/{SECOND.number}" in broken


def test_a_commit_without_a_promise_breaks_none(table: PublishedTable) -> None:
    write_deltalake(table.folder, FIRST.table, mode="append")
    assert table.look() == []
    table.remember()
    assert list(broken_promises(table, acknowledged_at(1, 2))) == []
