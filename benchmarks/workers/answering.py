"""A worker's end of the pipe: a request a line on standard input, its answer a line on standard output, both JSON."""

from __future__ import annotations

import json
import sys
import time
from collections.abc import Callable, Mapping
from concurrent.futures import Future
from functools import cache
from typing import Any

import pyarrow as pa

from benchmarks.workers.rows import rows

Write = Callable[[str, pa.Table], object]  # destination, batch; returns when it is durable
Submit = Callable[[str, pa.Table], "Future[Any]"]  # resolves when it is durable


def answer(ways: Mapping[str, Callable[..., object]]) -> None:
    """Answer until standard input ends, which it also does when the benchmark dies.

    `prepare` makes a destination where that is not done by the first write.
    """
    known = {"prepare": lambda **_: None} | dict(ways)
    for line in sys.stdin:
        request = json.loads(line)
        print(json.dumps(known[request.pop("way")](**request)), flush=True)


def writing(write: Write) -> Callable[..., dict[str, Any]]:
    """A way that writes batches of `size` rows for `seconds`, each after the last is durable."""

    def repeat(destination: str, size: int, seconds: float) -> dict[str, Any]:
        batch = _batch(size)
        write(destination, batch)
        taken: list[float] = []
        began = time.perf_counter()
        while not taken or time.perf_counter() < began + seconds:
            before = time.perf_counter()
            write(destination, batch)
            taken.append(1e3 * (time.perf_counter() - before))
        return {"latencies": taken, "batches": len(taken), "seconds": time.perf_counter() - began}

    return repeat


def submitting(submit: Submit) -> Callable[..., dict[str, Any]]:
    """A way that submits for `seconds` and waits for all receipts at the end; `cpu` is seconds of all threads."""

    def repeat(destination: str, size: int, seconds: float) -> dict[str, Any]:
        batch = _batch(size)
        submit(destination, batch).result()
        futures: list[Future[Any]] = []
        began, cpu = time.perf_counter(), time.process_time()
        while not futures or time.perf_counter() < began + seconds:
            futures.append(submit(destination, batch))
        for future in futures:
            future.result()
        elapsed = time.perf_counter() - began
        return {"batches": len(futures), "seconds": elapsed, "cpu": time.process_time() - cpu}

    return repeat


def stream(batch: pa.Table) -> bytes:
    """The batch as an Arrow IPC stream."""
    sink = pa.BufferOutputStream()
    with pa.ipc.new_stream(sink, batch.schema) as writer:
        writer.write_table(batch)
    return bytes(sink.getvalue())


@cache
def _batch(size: int) -> pa.Table:
    return rows(size)
