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
    """What was set aside and why, on one line."""
    amount = f"{count(incident.volume.batches, 'batch')} of {count(incident.volume.rows, 'row')}"
    what = f"{incident.reason} segment {incident.segment_id}" if incident.kind is IncidentKind.SEGMENT else "poison"
    return f"incident {incident.incident_id}: {amount} set aside ({what}): {' '.join(incident.error.split())}"
