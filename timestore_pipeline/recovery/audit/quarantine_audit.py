"""What lies in quarantine is known to an incident, and every file lies where the ledger says.

Beside a flush that sets a segment aside at this very moment a move can look unfinished, so that is a warning.
"""

from __future__ import annotations

from collections.abc import Iterator

from timestore_pipeline.recovery.audit.report import Finding
from timestore_pipeline.staging.area import StagingArea

_ADOPT = "`timestore recover` opens an incident for it; with --restored if the ledger is from a backup. Keep the file"
_MOVE = "the next flush finishes the move; `timestore verify --repair` does it now"


def quarantine_problems(area: StagingArea, dataset: str) -> Iterator[Finding]:
    """An incident is opened before its file is moved, and stays for ever; so a file without one was forgotten."""
    for path in area.directory.quarantined_segments(dataset):
        if path.exists() and not area.ledger.segment_import.has_incident(path.stem):
            yield Finding("unknown_quarantined", f"no incident knows the file {path}", _ADOPT)


def unfinished_moves(area: StagingArea, dataset: str) -> Iterator[Finding]:
    """Into quarantine, or back from it."""
    for displaced in area.ledger.incidents.displaced(dataset):
        among = area.directory.segment(dataset, displaced.segment_id)
        aside = area.directory.quarantined(dataset, displaced.segment_id)
        if displaced.quarantined and among.exists():
            yield Finding("move_unfinished", f"{among} was set aside and lies among the segments still", _MOVE)
        if not displaced.quarantined and aside.exists() and not among.exists():
            yield Finding("move_unfinished", f"{aside} was requeued and lies in quarantine still", _MOVE)
