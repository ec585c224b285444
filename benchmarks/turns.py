"""One execution of the benchmark: the contenders that take part, and their turns.

In every round each contender has one turn, and each round begins with another contender, so that a slow phase of the
machine, or work that one contender defers, affects all of them alike.
"""

from __future__ import annotations

import shutil
import sys
from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import ExitStack, contextmanager
from dataclasses import dataclass
from pathlib import Path

from benchmarks.contenders import Contender, Workers
from benchmarks.figures import Results
from benchmarks.processes import Command, Failed, Worker, python, worker

Turn = Callable[[], Mapping[str, float]]  # measures of one round


@dataclass(frozen=True, slots=True)
class Plan:
    """How much is measured; a smaller one shows that everything works, not how fast it is."""

    rounds: int = 7  # of short turns
    long_rounds: int = 3  # of turns that take many seconds each
    turn_seconds: float = 1.0
    group_seconds: float = 3.0  # of a turn of eight processes
    share: float = 1.0  # of rows, datasets and bytes where one turn handles many

    def scaled(self, amount: int) -> int:
        return max(1, int(amount * self.share))


class Execution:
    def __init__(self, plan: Plan, folder: Path, results: Results) -> None:
        self.plan = plan
        self.results = results
        self._folder = folder
        self._workers: dict[str, Workers] = {}

    @contextmanager
    def started(self, contenders: Mapping[str, Contender]) -> Iterator[None]:
        """With everything that serves the contenders; one that cannot start is noted as missing."""
        with ExitStack() as stack:
            for name, contender in contenders.items():
                try:
                    self._workers[name] = stack.enter_context(contender.start(self._folder / name))
                except (Failed, OSError) as error:
                    _say(f"{name} does not take part: {error}")
                    self.results.missing[name] = str(error)
            yield

    @contextmanager
    def part(self, name: str) -> Iterator[ExitStack]:
        """A part's workers run inside the block; an error outside of a turn ends the part, not the benchmark."""
        try:
            with ExitStack() as stack:
                yield stack
        except (Failed, OSError) as error:
            _say(f"{name}: given up: {error}")
            self.results.missing[name] = str(error)
        for folder in self._folder.glob(f"*/{name}"):
            shutil.rmtree(folder)

    def taking_part(self, names: Sequence[str]) -> Sequence[str]:
        """The contenders among them that have started."""
        return [name for name in names if name in self._workers]

    def teams(self, stack: ExitStack, part: str, names: Sequence[str], members: int = 1) -> dict[str, Sequence[Worker]]:
        """Workers of each of the contenders that take part."""
        return {
            name: [self._worker(stack, self._workers[name](part), f"{name}-{part}-{n}") for n in range(members)]
            for name in self.taking_part(names)
        }

    def worker(self, stack: ExitStack, module: str, home: str) -> Worker:
        """One that works on a folder of its own, below that of its part: `part/home`."""
        return self._worker(stack, python(f"benchmarks.workers.{module}", self.home(home)), f"{module}-{home}")

    def home(self, home: str) -> Path:
        return self._folder / "own" / home

    def take_turns(self, part: str, turns: Mapping[str, Turn], rounds: int) -> None:
        """turns: by case.contender. One whose turn fails has no more, and no figures."""
        left = dict(turns)
        for number in range(rounds):
            _say(f"{part}: round {number + 1} of {rounds}")
            for name in _beginning_with(list(left), number):
                try:
                    self.results.enter(f"{part}.{name}", left[name]())
                except Failed as error:
                    _say(f"  {name} failed: {error}")
                    self.results.give_up(f"{part}.{name}", str(error))
                    del left[name]

    def _worker(self, stack: ExitStack, command: Command, name: str) -> Worker:
        return stack.enter_context(worker(command, self._folder / "logs" / f"{name.replace('/', '-')}.log"))


def _beginning_with(names: Sequence[str], number: int) -> Sequence[str]:
    first = number % len(names) if names else 0
    return [*names[first:], *names[:first]]


def _say(what: str) -> None:
    print(what, file=sys.stderr, flush=True)
