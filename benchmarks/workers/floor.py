"""The floor: an Arrow stream appended to one file, then `fdatasync`. No durable write can do without either."""

from __future__ import annotations

import os
import sys
import time
from pathlib import Path

import pyarrow as pa

from benchmarks.workers.answering import answer, stream, writing
from benchmarks.workers.rows import rows


def record(size: int, times: int) -> float:
    """Seconds of CPU to make the Arrow record of one batch."""
    batch, began = rows(size), time.process_time()
    for _ in range(times):
        stream(batch)
    return (time.process_time() - began) / times


def main(home: Path) -> None:
    home.mkdir(parents=True)
    with (home / "log").open("ab", buffering=0) as log:

        def write(_destination: str, batch: pa.Table) -> None:
            log.write(stream(batch))
            os.fdatasync(log.fileno())

        answer({"write": writing(write), "record": record})


if __name__ == "__main__":
    main(Path(sys.argv[1]))
