"""The oracle tells a sound table from every kind of faulty one, and names the batch."""

from __future__ import annotations

from pathlib import Path

import pyarrow.compute as pc

from tests.tools.crashtest.published import batches, publish, story
from timestore_pipeline.tools.crashtest.oracle import judge, leftovers
from timestore_pipeline.tools.crashtest.producer_journal import Story


def test_everything_acknowledged_and_published_once_is_right(tmp_path: Path) -> None:
    first, second = batches(2)
    publish(tmp_path, first.table)
    publish(tmp_path, second.table)
    verdict = judge(tmp_path, story(first, second))
    assert verdict.ok, verdict.findings
    assert verdict.acked_rows == verdict.published_rows == first.rows + second.rows


def test_an_acknowledged_batch_that_is_not_there_is_lost(tmp_path: Path) -> None:
    first, second = batches(2)
    publish(tmp_path, first.table)
    verdict = judge(tmp_path, story(first, second))
    assert verdict.lost == second.rows
    assert f"batch 0/{second.number} of trades" in verdict.findings[0]


def test_a_batch_in_doubt_may_be_there_or_not(tmp_path: Path) -> None:
    first, second = batches(2)
    publish(tmp_path, first.table)
    verdict = judge(tmp_path, story(first, second, acked=False))
    assert verdict.ok
    assert (verdict.in_doubt, verdict.in_doubt_published) == (2, 1)


def test_a_missing_row_is_lost(tmp_path: Path) -> None:
    (batch,) = batches(1)
    publish(tmp_path, batch.table.slice(1))
    verdict = judge(tmp_path, story(batch))
    assert verdict.lost == 1
    assert f"batch 0/{batch.number} of trades" in verdict.findings[0]


def test_half_a_batch_in_doubt_is_a_fault_too(tmp_path: Path) -> None:
    (batch,) = batches(1)
    publish(tmp_path, batch.table.slice(1))
    assert not judge(tmp_path, story(batch, acked=False)).ok


def test_a_batch_published_twice_is_duplicated(tmp_path: Path) -> None:
    (batch,) = batches(1)
    publish(tmp_path, batch.table)
    publish(tmp_path, batch.table)
    verdict = judge(tmp_path, story(batch))
    assert (verdict.duplicated, verdict.lost, verdict.unverifiable) == (batch.rows, 0, 0)


def test_an_altered_value_is_unverifiable(tmp_path: Path) -> None:
    (batch,) = batches(1)
    position = batch.table.schema.get_field_index("value")
    publish(tmp_path, batch.table.set_column(position, "value", pc.add(batch.table["value"], 1.0)))
    verdict = judge(tmp_path, story(batch))
    assert verdict.unverifiable == batch.rows
    assert "not what was sent" in verdict.findings[0]


def test_sound_rows_that_are_not_those_that_were_sent_are_unverifiable(tmp_path: Path) -> None:
    sent, other = batches(2)
    publish(tmp_path, other.table.set_column(1, "batch", pc.add(other.table["batch"], sent.number - other.number)))
    assert not judge(tmp_path, story(sent)).ok


def test_a_batch_in_the_wrong_table_is_unverifiable(tmp_path: Path) -> None:
    (batch,) = batches(1)
    publish(tmp_path, batch.table, dataset="sensors")
    assert judge(tmp_path, story(batch)).unverifiable == batch.rows


def test_a_batch_nobody_sent_is_unverifiable(tmp_path: Path) -> None:
    (batch,) = batches(1)
    publish(tmp_path, batch.table)
    verdict = judge(tmp_path, {0: Story()})
    assert verdict.unverifiable == batch.rows
    assert f"batch 0/{batch.number}" in verdict.findings[0]


def test_a_file_that_no_version_has_is_left_over(tmp_path: Path) -> None:
    (batch,) = batches(1)
    publish(tmp_path, batch.table)
    assert list(leftovers(tmp_path, ["trades"])) == []
    stray = tmp_path / "trades" / "stray.parquet"
    stray.touch()
    assert list(leftovers(tmp_path, ["trades"])) == [f"{stray} is left over"]


def test_a_producers_complaint_is_a_finding(tmp_path: Path) -> None:
    verdict = judge(tmp_path, {0: Story(complaints=["batch 0/1 was accepted a second time"])})
    assert not verdict.ok
