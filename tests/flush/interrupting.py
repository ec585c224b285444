"""A process that is told to stop, as by Ctrl-C, in the middle of a query; exits with 0 when it was an interruption."""

from __future__ import annotations

import os
import signal
from pathlib import Path

from timestore_pipeline.flush import export_engine
from timestore_pipeline.model.flush import FlushRef
from timestore_pipeline.staging import segments
from timestore_pipeline.staging.engine import open_engine

_ENDLESS = "SELECT count(*) FROM range(1_000_000) a, range(1_000_000) b WHERE (a.range * b.range) % 7 = 1"
_TRANSLATIONS = {
    "export": lambda: export_engine._translated(export_engine.Work.of_flush(FlushRef("weather", 1))),
    "examination": lambda: segments.translated(Path("segment"), "weather"),
}


def victim(query: str) -> None:
    signal.signal(signal.SIGALRM, signal.default_int_handler)
    with open_engine() as connection:
        connection.execute("SET threads = 1")  # DuckDB lets its other threads finish first, and this query never does
        try:
            with _TRANSLATIONS[query]():
                signal.setitimer(signal.ITIMER_REAL, 0.1)
                connection.execute(_ENDLESS)
        except KeyboardInterrupt:
            os._exit(0)
        except BaseException:  # noqa: BLE001  # whatever else it is, it is wrong
            os._exit(1)
