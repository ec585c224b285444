"""Amounts, instants, flushes and incidents as people read them; JSON gets plain numbers and ISO 8601 instead."""

from __future__ import annotations

from datetime import datetime, timedelta
from typing import Any

from timestore_pipeline.model.batch import Incident, IncidentKind
from timestore_pipeline.model.flush import Flush

_UNITS = ("B", "kB", "MB", "GB", "TB")

COLUMNS = ("dataset", "epoch", "outcome", "trigger", "run", "batches", "rows", "files", "size", "took", "claimed")
NUMBERS = ("epoch", "batches", "rows", "files", "size", "took")


def size(amount: float) -> str:
    """Bytes in decimal units, as the limits are documented."""
    for unit in _UNITS:
        if round(amount, 1) < 1000 or unit == _UNITS[-1]:
            break
        amount /= 1000
    return f"{amount:.0f} {unit}" if unit == "B" else f"{amount:.1f} {unit}"


def count(amount: int, thing: str) -> str:
    """`1 batch`, `1,000 batches`."""
    plural = thing + ("es" if thing.endswith(("ch", "sh", "ss")) else "s")
    return f"{amount:,} {thing if amount == 1 else plural}"


def duration(length: timedelta | None) -> str:
    """Two units at most; '-' for none."""
    if length is None:
        return "-"
    seconds = round(length.total_seconds(), 1)
    if seconds < 60:
        return f"{seconds:.1f} s"
    minutes, hours = round(seconds) // 60, round(seconds) // 3600
    if hours < 1:
        return f"{minutes} min {round(seconds) % 60} s"
    return f"{hours} h {minutes % 60} min" if hours < 48 else f"{hours // 24} d {hours % 24} h"


def instant(moment: datetime | None) -> str:
    """UTC to the second; '-' for none."""
    return "-" if moment is None else f"{moment:%Y-%m-%d %H:%M:%S}Z"


def iso(moment: datetime | None) -> str | None:
    """For JSON."""
    return None if moment is None else moment.isoformat()


def seconds(length: timedelta | None) -> float | None:
    """For JSON."""
    return None if length is None else length.total_seconds()


def limit(amount: int) -> str:
    """A threshold: 0 is off."""
    return f"{amount:,}" if amount else "off"


def flush_document(flush: Flush) -> dict[str, Any]:
    return {
        "dataset": flush.dataset,
        "epoch": flush.epoch,
        "state": flush.state,
        "trigger": flush.trigger,
        "run_id": flush.run_id,
        "batches": flush.volume.batches,
        "rows": flush.volume.rows,
        "bytes": flush.volume.bytes,
        "files": flush.files,
        "file_bytes": flush.file_bytes,
        "version": flush.version,
        "claimed_at": iso(flush.claimed_at),
        "finished_at": iso(flush.finished_at),
        "duration_seconds": seconds(flush.duration),
        "min_time": iso(flush.min_time),
        "max_time": iso(flush.max_time),
        "error": flush.error,
    }


def flush_row(flush: Flush) -> tuple[str, ...]:
    outcome = f"{flush.state}: {flush.error}" if flush.error else str(flush.state)
    amounts = (f"{flush.volume.batches:,}", f"{flush.volume.rows:,}", f"{flush.files:,}", size(flush.file_bytes))
    took, claimed = duration(flush.duration), instant(flush.claimed_at)
    return (flush.dataset, str(flush.epoch), outcome, str(flush.trigger), flush.run_id, *amounts, took, claimed)


def flush_sentence(flush: Flush) -> str:
    held = f"{count(flush.volume.rows, 'row')} in {count(flush.volume.batches, 'batch')}"
    written = f", {count(flush.files, 'file')} of {size(flush.file_bytes)}" if flush.files else ""
    ended = f" at {instant(flush.finished_at)} after {duration(flush.duration)}" if flush.finished_at else ""
    because = f": {flush.error}" if flush.error else ""
    return f"epoch {flush.epoch} ({flush.trigger}), {held}{written}, {flush.state}{ended}{because}"


def incident_document(incident: Incident) -> dict[str, Any]:
    """For JSON: a contract."""
    return {
        "incident_id": incident.incident_id,
        "dataset": incident.dataset,
        "kind": incident.kind,
        "reason": incident.reason,
        "segment_id": incident.segment_id,
        "batches": incident.volume.batches,
        "rows": incident.volume.rows,
        "bytes": incident.volume.bytes,
        "error": incident.error,
        "opened_at": iso(incident.opened_at),
        "resolution": incident.resolution,
        "resolved_at": iso(incident.resolved_at),
    }


def incident_sentence(incident: Incident) -> str:
    """The incident's batches and reason, on one line."""
    amount = f"{count(incident.volume.batches, 'batch')} of {count(incident.volume.rows, 'row')}"
    what = (
        "poison"
        if incident.kind is IncidentKind.BATCH
        else f"{incident.reason} {kind_of_file(incident)} {incident.segment_id}"
    )
    return f"incident {incident.incident_id}: {amount} set aside ({what}): {' '.join(incident.error.split())}"


def kind_of_file(incident: Incident) -> str:
    """The kind of file that holds its batches."""
    return "journal" if incident.kind is IncidentKind.RECORD else "segment"
