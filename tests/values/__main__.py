"""`python -m tests.values --examples 100000 --processes 2`: a search and its summary; exit code 1 = broken.

`--living` lets one process more go on with a single table for as long as the search takes, at most `--seconds`.
"""

from __future__ import annotations

import argparse
import sys
from collections import Counter
from collections.abc import Iterable

from tests.values.search import KINDS, search
from timestore_pipeline.system import clock

_ENDLESS = 10**9


def main() -> int:
    asked = _arguments()
    started = clock.monotonic()
    found = list(
        search(asked.examples, asked.seconds, asked.seed, asked.processes, kinds=asked.kinds, living=asked.living)
    )
    seconds = clock.monotonic() - started
    broken = [text for one in found for text in one.broken]
    counts = _added(one.counts for one in found)
    for name, count in sorted(counts.items()):
        _tell(f"{name:40} {count:9,}")
    for name, untyped in (("altered, lost or refused without need", False), ("untyped errors", True)):
        _tell(f"{name:40} {sum(('untyped' in text) is untyped for text in broken):9,}")
    batches = sum(count for name, count in counts.items() if name.startswith("batches"))
    _tell(f"{seconds:.0f} s, {counts['examples'] / seconds:.1f} examples and {batches / seconds:.1f} batches a second")
    for text in broken:
        _tell(text)
    return 1 if broken else 0


def _added(counts: Iterable[Counter[str]]) -> Counter[str]:
    total = Counter[str]()
    for one in counts:
        total.update(one)
    return total


def _arguments() -> argparse.Namespace:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--examples", type=int, default=_ENDLESS)
    parser.add_argument("--seconds", type=float, default=float(_ENDLESS))
    parser.add_argument("--seed", type=int, default=0)
    parser.add_argument("--processes", type=int, default=2)
    parser.add_argument("--kinds", choices=KINDS, default="all")
    parser.add_argument("--living", action="store_true")
    return parser.parse_args()


def _tell(line: str) -> None:
    sys.stdout.write(line + "\n")


if __name__ == "__main__":
    sys.exit(main())
