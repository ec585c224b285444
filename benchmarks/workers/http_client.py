"""timestore over HTTP by its Python client: `send`, and a `batcher` that puts small batches together."""

from __future__ import annotations

import sys
import time
from typing import Any

from benchmarks.workers.answering import answer, writing
from benchmarks.workers.rows import rows
from timestore_pipeline.client import Client


def batched(client: Client, destination: str, size: int, seconds: float) -> dict[str, Any]:
    """Batches added for so long, the time until all are durable, and seconds of CPU."""
    batch, count = rows(size), 0
    began, cpu = time.perf_counter(), time.process_time()
    with client.batcher(destination) as batcher:
        while time.perf_counter() < began + seconds:
            batcher.add(batch)
            count += 1
    return {"batches": count, "seconds": time.perf_counter() - began, "cpu": time.process_time() - cpu}


def main(url: str) -> None:
    with Client(url) as client:
        answer(
            {
                "write": writing(client.send),
                "submit": lambda **request: batched(client, **request),
            }
        )


if __name__ == "__main__":
    main(sys.argv[1])
