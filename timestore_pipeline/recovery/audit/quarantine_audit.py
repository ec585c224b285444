"""Every file in quarantine has an incident, and every segment is where the ledger has it.

Beside a flush that quarantines a segment at this moment a move can look unfinished, so that is a warning.
"""

from __future__ import annotations

from collections.abc import Iterator

from timestore_pipeline.recovery.audit.report import Finding
from timestore_pipeline.staging.area import StagingArea

_ADOPT = "`timestore recover` opens an incident for it; with --restored if the ledger is from a backup. Keep the file"
_MOVE = "the next flush finishes the move; `timestore verify --repair` does it now"


def quarantine_problems(area: StagingArea, dataset: str) -> Iterator[Finding]:
    """An incident is opened before its file is moved, and stays for ever; so the ledger has lost a missing one."""
    for path in area.directory.quarantined_segments(dataset):
        if path.exists() and not area.ledger.segment_import.has_incident(path.stem):
            yield Finding("unknown_quarantined", f"the file {path} has no incident", _ADOPT)


def unfinished_moves(area: StagingArea, dataset: str) -> Iterator[Finding]:
    """Into quarantine, or back from it."""
    for displaced in area.ledger.incidents.displaced(dataset):
        segment = area.directory.segment(dataset, displaced.segment_id)
        quarantined = area.directory.quarantined(dataset, displaced.segment_id)
        if displaced.quarantined and segment.exists():
            yield Finding("move_unfinished", f"{segment} was quarantined and is still among the segments", _MOVE)
        if not displaced.quarantined and quarantined.exists() and not segment.exists():
            yield Finding("move_unfinished", f"{quarantined} was requeued and is still in quarantine", _MOVE)
