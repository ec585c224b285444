"""Batches over HTTP, for producers on other machines: retried, idempotent, and never silently lost.

from timestore_pipeline.client import Client

with Client("http://ingest:8451", token="…") as client:
    client.send("weather", table)
    with client.batcher("weather") as weather:
        weather.add([{"measured_at": now, "station": "JFK", "wind": 14.96}])
"""

from __future__ import annotations

from timestore_pipeline.client.answers import FlushAnswer
from timestore_pipeline.client.batcher import Batcher
from timestore_pipeline.client.client import Client, Retry

__all__ = ["Batcher", "Client", "FlushAnswer", "Retry"]
