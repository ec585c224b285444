"""`python -m tests.attack.fuzz --seconds 600`: hostile requests for so long, made from the kept corpus by mutation.

Exits with 1 at the first request that the server does not bear; it is kept in `tests/attack/corpus`.
"""

from __future__ import annotations

import argparse
import itertools
import sys
import tempfile
from collections.abc import Callable, Iterator
from concurrent.futures import ThreadPoolExecutor
from functools import partial
from pathlib import Path

from tests.attack.fuzzing import Fuzzer, check_unharmed
from tests.doors.http.serving import server
from timestore_pipeline.cli.output import print_line
from timestore_pipeline.system import clock

SENDERS = 2  # of heads, and as many of bodies


def main() -> int:
    parser = argparse.ArgumentParser(prog="python -m tests.attack.fuzz", description=__doc__)
    parser.add_argument("--seconds", type=float, default=600.0)
    parser.add_argument("--seed", type=int, default=1)
    chosen = parser.parse_args()
    try:
        counts = fuzzed(chosen.seed, chosen.seconds)
    except AssertionError as error:
        print_line(f"seed {chosen.seed}: {error}")
        return 1
    print_line(f"seed {chosen.seed}: {sum(counts)} requests in {chosen.seconds:.0f} s, of each sender {counts}")
    return 0


def fuzzed(seed: int, seconds: float) -> list[int]:
    """How many requests each sender sent; raises `Failed`."""
    with tempfile.TemporaryDirectory() as home, server(Path(home), "--quiet", api_max_body_bytes=4 << 20) as running:
        end = clock.monotonic() + seconds
        fuzzers = [Fuzzer(running, 1_000 * seed + number) for number in range(SENDERS)]
        sources = [source for fuzzer in fuzzers for source in (fuzzer.head(), fuzzer.body())]
        with ThreadPoolExecutor(len(sources)) as senders:
            counts = list(senders.map(partial(_send, end), sources))
        check_unharmed(running)
    return counts


def _send(end: float, source: Iterator[Callable[[], None]]) -> int:
    for count in itertools.count():
        if clock.monotonic() > end:
            return count
        next(source)()
    raise AssertionError


if __name__ == "__main__":
    sys.exit(main())
