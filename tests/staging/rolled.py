"""What is staged, moved out of the journals into segments, for tests that are about segment files."""

from __future__ import annotations

from pathlib import Path

from timestore_pipeline import Settings
from timestore_pipeline.staging.area import StagingArea
from timestore_pipeline.staging.roll_up import remove_idle_journals, roll_up


def roll_up_all(area: StagingArea) -> list[Path]:
    """Every dataset; the files that were made."""
    made = [
        area.directory.segment(dataset, segment_id)
        for dataset in area.ledger.journals.datasets_waiting()
        for segment_id in roll_up(area, dataset).segments
    ]
    remove_idle_journals(area)
    return made


def roll_up_in(settings: Settings) -> list[Path]:
    """The same in a directory that this process has not open."""
    with StagingArea(settings.staging_directory, settings.shard) as area:
        return roll_up_all(area)
