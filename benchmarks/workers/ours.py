"""timestore in the producer's own process: `enqueue` and `submit`.

It speaks the public interface alone, so that the same worker measures an older commit.
"""

from __future__ import annotations

import sys
import threading
import time
from datetime import timedelta
from pathlib import Path
from typing import Any

from benchmarks.workers.answering import answer, submitting, writing
from benchmarks.workers.memory import peak_mb
from benchmarks.workers.rows import rows
from timestore_pipeline import Settings, StagingManager

_PATIENCE = timedelta(minutes=5)  # for room in the queue
_SMALL = 10  # rows


def many_datasets(staging: StagingManager, count: int, repeats: int) -> dict[str, Any]:
    """A first batch for each of `count` datasets, then `repeats` for each: seconds, batches a second, what it takes."""
    batch = rows(_SMALL)

    def all_of_them(times: int) -> float:
        began = time.perf_counter()
        names = [f"dataset-{number:05}" for number in range(count)] * times
        for receipt in [staging.submit(name, batch, max_wait=_PATIENCE) for name in names]:
            receipt.result()
        return time.perf_counter() - began

    first = all_of_them(1)
    rate = count * repeats / all_of_them(repeats)
    return {"first": first, "rate": rate, "threads": threading.active_count(), "peak": peak_mb()}


def main(home: Path) -> None:
    # A benchmark stages faster than anything flushes, so the guardrail on a dataset's bytes is off.
    with StagingManager.open(Settings.build(home=home, staging_max_dataset_bytes=0)) as staging:
        answer(
            {
                "write": writing(staging.enqueue),
                "submit": submitting(lambda dataset, batch: staging.submit(dataset, batch, max_wait=_PATIENCE)),
                "many_datasets": lambda count, repeats: many_datasets(staging, count, repeats),
            }
        )


if __name__ == "__main__":
    main(Path(sys.argv[1]))
