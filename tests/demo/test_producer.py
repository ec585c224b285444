from __future__ import annotations

import itertools
from collections.abc import Iterator
from pathlib import Path

import pytest

from demo.producer import Pace, Report, is_sent_twice, replay
from demo.source import Batch, batches
from timestore_pipeline import Settings, StagingManager

_SOME = 400


@pytest.fixture(scope="module")
def january() -> list[Batch]:
    return list(itertools.islice(batches("JFK"), _SOME))


@pytest.fixture
def staging(tmp_path: Path) -> Iterator[StagingManager]:
    with StagingManager.open(Settings.build(home=tmp_path, staging_max_pending=8)) as manager:
        yield manager


def test_every_batch_is_staged_once_and_the_deliberate_repeats_are_refused(
    staging: StagingManager, january: list[Batch]
) -> None:
    report = replay(staging, "JFK", january, Pace(0))
    assert report.staged_batches == _SOME
    assert report.staged_rows == sum(batch.table.num_rows for batch in january)
    assert report.duplicate_batches == sum(map(is_sent_twice, january)) > 0


def test_a_producer_that_starts_over_is_refused_what_was_staged(staging: StagingManager, january: list[Batch]) -> None:
    replay(staging, "JFK", january[:100], Pace(0))
    report = replay(staging, "JFK", january, Pace(0))
    assert report.staged_batches == _SOME - 100
    assert report.duplicate_batches == 100 + sum(map(is_sent_twice, january))


def test_about_one_batch_in_twenty_is_sent_twice() -> None:
    share = sum(map(is_sent_twice, batches("LGA"))) / sum(1 for _ in batches("LGA"))
    assert 0.04 < share < 0.06


def test_a_report_reads_back_as_it_was_written(tmp_path: Path) -> None:
    report = Report("JFK", staged_batches=3, staged_rows=70, duplicate_batches=1, retries=2, seconds=1.5)
    report.write(tmp_path / "jfk.json")
    assert Report.read(tmp_path / "jfk.json") == report
