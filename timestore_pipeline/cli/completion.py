"""Completion of dataset names. Read-only; offers nothing in case of an error."""

from __future__ import annotations

from timestore_pipeline.errors import TimestoreError
from timestore_pipeline.tools.doctor.examination import Deployment


def dataset_names(incomplete: str) -> list[str]:
    """Datasets in use that begin with `incomplete`; none if the ledger cannot be read."""
    try:
        names = [dataset.name for dataset in Deployment.from_env().datasets()]
    except (TimestoreError, OSError):
        return []
    return [name for name in names if name.startswith(incomplete)]
