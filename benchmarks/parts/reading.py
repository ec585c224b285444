"""What readers read for one sensor of many: a table in order of time beside one that is sorted by sensor."""

from __future__ import annotations

from benchmarks.targets import LAYOUTS, SENSORS, TABLE_READERS
from benchmarks.turns import Execution, Turn

_WARM_UP = 0  # a sensor that is read before anything counts: a reader's own libraries are files, too


def one_sensor(execution: Execution) -> None:
    """Both tables are flushed every hour of the day and compacted before they are read."""
    part, plan = "one_sensor", execution.plan
    with execution.part(part) as stack:
        worker = execution.worker(stack, "sensors", f"{part}/lake")
        worker.ask("publish", sensors=plan.scaled(SENSORS))
        ways = [(reader, layout) for reader in TABLE_READERS for layout in LAYOUTS]
        for reader, layout in ways:
            worker.ask("read", layout=layout, reader=reader, sensor=_WARM_UP)

        def turn(reader: str, layout: str) -> Turn:
            return lambda: worker.ask("read", layout=layout, reader=reader, sensor=plan.scaled(SENSORS) // 2)

        turns = {f"{reader}.{layout}": turn(reader, layout) for reader, layout in ways}
        execution.take_turns(part, turns, plan.rounds)
