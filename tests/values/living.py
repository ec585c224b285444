"""One table that lives on: batches, flushes, compactions and checkpoints, in any order.

Every reader must see every acknowledged row, as often as it is looked at. The table goes through all steps of a walk,
so a step cannot be tried again by itself: a walk is repeated by its seed.
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Callable
from typing import Any

from deltalake import DeltaTable
from hypothesis import HealthCheck, Phase, given, seed, settings
from hypothesis import strategies as st

from tests.values.bench import Bench, doors_for
from tests.values.examples import batches
from tests.values.growing import growing
from tests.values.kinds import Batch
from tests.values.plain import STRICT, Broken
from tests.values.readers import ALL_READERS, ROW
from timestore_pipeline.maintain.dataset_maintenance import maintain
from timestore_pipeline.system import clock

_ALWAYS_LOOKED = 20  # flushes; the table grows, and later it is looked at after as many
_STEPS = 500  # of one seed
_MOST_ROWS = 4  # of one batch


class Living:
    """The table, and what must be in it."""

    def __init__(self, bench: Bench) -> None:
        self.counts: Counter[str] = Counter()
        self._bench = bench
        self._dataset = bench.new_dataset({"partition": {"granularity": "month"}})
        self._rows: dict[int, dict[str, Any]] = {}
        self._next = 0  # number of a row
        self._pending = False

    def steps(self) -> st.SearchStrategy[Batch | str]:
        """A batch of the next rows, or the name of something that happens to the table."""
        names = st.builds("{}{}".format, st.sampled_from("yz"), st.integers(0, 99))

        @st.composite
        def batch(draw: st.DrawFn) -> Batch:
            self._next += _MOST_ROWS
            others = batches(self._next, names, STRICT, known=True)
            return draw(growing(self._next) if draw(st.integers(0, 3)) else others)

        acts = st.sampled_from(["flush", "flush", "flush", "compact", "checkpoint"])
        again = st.integers(0, 2**60)  # Hypothesis tries nothing twice
        return st.one_of(batch(), batch(), batch(), st.tuples(acts, again).map(lambda act: act[0]))

    def take(self, step: Batch | str) -> None:
        self.counts[step if isinstance(step, str) else "batch"] += 1
        if isinstance(step, str):
            _ACTS[step](self)
        elif self._bench.send(self._dataset, step, self._door(step), must=False):
            self._rows |= {row[ROW]: row for row in step.rows}
            self._pending = True

    def flush(self) -> None:
        if not self._pending:
            return
        self._bench.flush(self._dataset, len(self._rows))
        self._pending = False
        if self.counts["flush"] <= _ALWAYS_LOOKED or self.counts["flush"] % _ALWAYS_LOOKED == 0:
            self._look()

    def compact(self) -> None:
        store = self._bench.store
        for done in maintain(store.area, store.lake, [self._dataset], store.maintain_options(min_files=2)):
            if done.errors:
                raise Broken(f"maintenance fails: {done.errors}")

    def checkpoint(self) -> None:
        if DeltaTable.is_deltatable(self._bench.uri(self._dataset)):
            DeltaTable(self._bench.uri(self._dataset)).create_checkpoint()

    def finish(self) -> None:
        """What is staged is published, and all of it looked at once more."""
        self._bench.flush(self._dataset, len(self._rows))
        self._look()
        self.counts["rows"] = len(self._rows)
        self.counts["versions"] = DeltaTable(self._bench.uri(self._dataset)).version()

    def _look(self) -> None:
        self.counts["looked at"] += 1
        self._bench.check(self._dataset, self._rows, STRICT, ALL_READERS)

    def _door(self, batch: Batch) -> str:
        doors = doors_for(batch.payload)
        return doors[self._next // _MOST_ROWS % len(doors)]


_ACTS: dict[str, Callable[[Living], None]] = {
    "flush": Living.flush,
    "compact": Living.compact,
    "checkpoint": Living.checkpoint,
}


def walk(steps: int, seconds: float, first_seed: int) -> Counter[str]:
    """Walk until so many steps are done or so many seconds are over; raises `Broken`."""
    until = clock.monotonic() + seconds
    with Bench() as bench:
        table, number = Living(bench), first_seed
        while table.counts["steps"] < steps and clock.monotonic() < until:
            _some_steps(table, min(_STEPS, steps - table.counts["steps"]), number, until)
            number += 1
        table.finish()
        return table.counts


def _some_steps(table: Living, count: int, number: int, until: float) -> None:
    broken: list[Broken] = []

    @seed(number)
    @settings(max_examples=count, database=None, deadline=None, phases=[Phase.generate],
              suppress_health_check=list(HealthCheck))  # fmt: skip
    @given(table.steps())
    def every_step(step: Batch | str) -> None:
        table.counts["steps"] += 1
        if broken or clock.monotonic() > until:
            return
        try:
            table.take(step)
        except Broken as error:
            broken.append(error)

    every_step()
    if broken:
        raise Broken(f"walk with seed {number}, after {dict(table.counts)}: {broken[0]}") from broken[0]
