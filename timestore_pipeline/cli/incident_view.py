"""Incidents as commands show them."""

from __future__ import annotations

from typing import Any

from timestore_pipeline.cli.wording import count, iso
from timestore_pipeline.model.incident import Incident, IncidentKind


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
