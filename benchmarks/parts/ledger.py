"""Whether the steps of a flush notice how much was published before: the same ledger with a past and without one."""

from __future__ import annotations

from benchmarks.targets import LEDGER_STEPS, PUBLISHED
from benchmarks.turns import Execution


def ledger(execution: Execution) -> None:
    """In milliseconds; nothing is exported, only entered."""
    part, plan = "ledger", execution.plan
    with execution.part(part) as stack:
        both = [(name, execution.worker(stack, "published", f"{part}/{name}")) for name in ("published", "none")]
        both[0][1].ask("publish", batches=plan.scaled(PUBLISHED))
        for _ in range(plan.rounds):
            for name, worker in both:
                steps = worker.ask("flushes")
                for step in LEDGER_STEPS:
                    execution.results.enter(f"{part}.{step}.{name}", steps[step])
            both.reverse()
