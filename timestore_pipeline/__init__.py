"""timestore_pipeline: stage small time-series writes durably, publish them as right-sized Parquet, exactly once.

from timestore_pipeline import Settings, StagingManager

with StagingManager.open(Settings.from_env()) as staging:
    receipt = staging.enqueue("weather", table, idempotency_key="2013-01-01T05/JFK")
"""

from __future__ import annotations

import importlib
from typing import TYPE_CHECKING, Any

__all__ = [
    "Receipt",
    "Settings",
    "StagingManager",
    "TimestoreError",
]  # TimestoreComponent needs Dagster, which producers do without

if TYPE_CHECKING:
    from timestore_pipeline.defs.component import TimestoreComponent as TimestoreComponent
    from timestore_pipeline.errors import TimestoreError
    from timestore_pipeline.ingest.manager import StagingManager
    from timestore_pipeline.model.batch import Receipt
    from timestore_pipeline.settings import Settings
    from timestore_pipeline.system import clock as clock
else:
    _HOMES = {
        "Receipt": "timestore_pipeline.model.batch",
        "Settings": "timestore_pipeline.settings",
        "StagingManager": "timestore_pipeline.ingest.manager",
        "TimestoreComponent": "timestore_pipeline.defs.component",
        "TimestoreError": "timestore_pipeline.errors",
        "clock": "timestore_pipeline.system",  # tests of a user's own replace its functions to travel in time
    }

    def __getattr__(name: str) -> Any:
        """Imported on first use: a process that only sends over HTTP needs no databases."""
        if name not in _HOMES:
            raise AttributeError(f"module {__name__!r} has no attribute {name!r}")
        return getattr(importlib.import_module(_HOMES[name]), name)

    def __dir__() -> list[str]:
        """Dagster's `dg` looks for components among these."""
        return [*__all__, "TimestoreComponent"]
