"""timestore_pipeline: stage small time-series writes durably, publish them as right-sized Parquet, exactly once.

from timestore_pipeline import Settings, StagingManager

with StagingManager.open(Settings.from_env()) as staging:
    receipt = staging.enqueue("weather", table, idempotency_key="2013-01-01T05/JFK")
"""

from __future__ import annotations

from timestore_pipeline.errors import TimestoreError
from timestore_pipeline.ingest.manager import StagingManager
from timestore_pipeline.model.batch import Receipt
from timestore_pipeline.settings import Settings

__all__ = ["Receipt", "Settings", "StagingManager", "TimestoreError"]
