"""An attacker of the HTTP API, at a lower priority than the server.

He shares the machine with the server and the good client, as real ones do not; at the same priority, the processor time
that he needs himself would be most of the figure.
"""

from __future__ import annotations

import os
import sys

from benchmarks.attacks.attacker import Attacker
from benchmarks.attacks.target import Target
from benchmarks.workers.answering import answer

_NICENESS = 10


def main(name: str, url: str, token: str, ca: str = "") -> None:
    os.nice(_NICENESS)
    answer({"attack": Attacker(name, Target(url, token, ca)).attack})


if __name__ == "__main__":
    main(*sys.argv[1:])
