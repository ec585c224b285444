"""The code location with a place to stop inside each op of `partition_build`, for runs that are to be caught there.

While the file `<TIMESTORE_HOME>/holds/<op>` exists, a run's worker that comes to that op's middle writes `<op>.reached`
beside it and waits. The middle is where most is at stake: something durable has happened that is not reported yet.
Sensors, which the code server evaluates itself, are never held.
"""

import multiprocessing
import os
from collections.abc import Callable
from pathlib import Path
from typing import Any

from timestore_pipeline.definitions import defs as defs
from timestore_pipeline.lake.table import LakeTable
from timestore_pipeline.staging.ledger.flushes import Flushes
from timestore_pipeline.system import clock

HOLDS = "holds"  # folder in TIMESTORE_HOME
OPS = {
    "claim_backlogs": (Flushes, "claim"),
    "export_partitions": (LakeTable, "write"),
    "publish_tables": (LakeTable, "publish"),
    "finalize_flushes": (Flushes, "finalize"),
}
_LOOK_EVERY = 0.02  # seconds


def _then_wait(op: str, real: Callable[..., Any]) -> Callable[..., Any]:
    def held(*arguments: Any, **options: Any) -> Any:
        result = real(*arguments, **options)
        hold = Path(os.environ["TIMESTORE_HOME"], HOLDS, op)
        if hold.exists():
            hold.with_suffix(".reached").touch()
        while hold.exists():
            clock.sleep(_LOOK_EVERY)
        return result

    return held


if multiprocessing.parent_process() is not None:  # only a run's worker is started as another process's child
    for _op, (_owner, _name) in OPS.items():
        setattr(_owner, _name, _then_wait(_op, getattr(_owner, _name)))
