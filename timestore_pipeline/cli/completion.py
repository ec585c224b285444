"""What the shell offers where a dataset is named. It only looks, and offers nothing rather than complain."""

from __future__ import annotations

from timestore_pipeline.errors import TimestoreError
from timestore_pipeline.tools.doctor.deployment import Deployment


def dataset_names(incomplete: str) -> list[str]:
    """Datasets in use that begin like that; none where the ledger cannot be read."""
    try:
        names = [dataset.name for dataset in Deployment.from_env().datasets()]
    except (TimestoreError, OSError):
        return []
    return [name for name in names if name.startswith(incomplete)]
