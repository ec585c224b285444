"""`python -m benchmarks.attacks`: a good client beside each attack on the HTTP API, as a table in Markdown.

Server, good client and attacker are processes of their own. The good client's p99 is measured on the quiet server,
beside the attack, and on the quiet server again. With --against, an older commit is attacked in the same way, and its
figures stand in front.
"""

from __future__ import annotations

import argparse
import sys
import tempfile
from collections import Counter
from collections.abc import Iterator, Sequence
from contextlib import ExitStack, contextmanager
from dataclasses import dataclass
from pathlib import Path

from benchmarks.attacks.attacker import ATTACKS
from benchmarks.environment import CACHE, older
from benchmarks.parts.producers import quantile
from benchmarks.processes import ROOT, Command, Worker, first_line, python, running, worker
from tests.services.certificates import certificate

TIMES = 10  # longer than its quiet p99 may a good client's p99 beside an attack be

_TOKEN = "attacked-with-this-token"
_AHEAD = 1.0  # seconds of attack before anything is measured


@dataclass(frozen=True, slots=True)
class Measured:
    """The good client's p99 in milliseconds, and its requests beside the attack."""

    quiet: float
    attacked: float
    requests: int
    failed: Sequence[str]

    @property
    def ratio(self) -> float:
        return self.attacked / self.quiet

    def cells(self) -> list[str]:
        return [
            f"{self.quiet:.0f}",
            f"{self.attacked:.0f}",
            f"{self.ratio:.1f}",
            f"{len(self.failed)} of {self.requests}",
        ]


@dataclass
class Scene:
    """A server, and a good client of it."""

    target: Sequence[str]
    good: Worker
    folder: Path
    quiet: float = 0.0  # the good client's p99 after the last attack

    def attacked(self, name: str, seconds: float) -> Measured:
        before = self.quiet or self._p99(seconds)
        command = python("benchmarks.workers.attacker", name, *self.target)
        with worker(command, self.folder / "attacker.log") as attacker:
            attacker.ask("attack", seconds=_AHEAD)
            attacker.send("attack", seconds=seconds)
            beside = self.good.ask("send", seconds=seconds)
            attacker.receive()
            attacker.kill()
        for reason, count in Counter(beside["failed"]).most_common(3):
            print(f"{self.folder.name}, {name}: {count} times {reason}", file=sys.stderr, flush=True)
        self.quiet = self._p99(seconds)
        attacked = quantile(beside["latencies"], 0.99)
        return Measured(max(before, self.quiet), attacked, len(beside["latencies"]), beside["failed"])

    def _p99(self, seconds: float) -> float:
        return quantile(self.good.ask("send", seconds=seconds)["latencies"], 0.99)


def main() -> int:
    """0 if every attack keeps to the limit, and no good request failed."""
    chosen = _arguments()
    packages = {chosen.against: older(chosen.against)} if chosen.against else {}
    CACHE.mkdir(exist_ok=True)
    with ExitStack() as stack:
        folder = Path(stack.enter_context(tempfile.TemporaryDirectory(prefix="attacks-", dir=CACHE)))
        scenes = [
            stack.enter_context(_scene(package, folder / name, tls=chosen.tls))
            for name, package in {**packages, "now": ROOT}.items()
        ]
        print("| attack |" + " quiet, ms | attacked, ms | ratio | failed |" * len(scenes))
        print("|---|" + "--:|--:|--:|--:|" * len(scenes))
        kept = [_row(name, scenes, chosen.seconds) for name in chosen.only or ATTACKS]
    return int(not all(kept))


def _row(name: str, scenes: Sequence[Scene], seconds: float) -> bool:
    """Attack each server in turn; returns whether the last one keeps to the limit."""
    found = [scene.attacked(name, seconds) for scene in scenes]
    print(f"| {name} | {' | '.join(cell for one in found for cell in one.cells())} |", flush=True)
    return found[-1].ratio <= TIMES and not found[-1].failed


def _arguments() -> argparse.Namespace:
    parser = argparse.ArgumentParser(prog="python -m benchmarks.attacks", description=__doc__)
    parser.add_argument("--against", default="", metavar="COMMIT", help="an older commit that is attacked, too")
    parser.add_argument("--only", nargs="+", choices=ATTACKS, metavar="ATTACK", help=f"some of {', '.join(ATTACKS)}")
    parser.add_argument("--tls", action="store_true", help="the server has a certificate")
    parser.add_argument("--seconds", type=float, default=8.0, help="of each measurement")
    return parser.parse_args()


@contextmanager
def _scene(package: Path, folder: Path, *, tls: bool) -> Iterator[Scene]:
    folder.mkdir()
    with _server(package, folder, tls=tls) as target:
        good_client = python("benchmarks.workers.good_client", *target)
        with worker(good_client, folder / "good-client.log") as good:
            good.ask("send", seconds=1.0)  # makes the dataset
            yield Scene(target, good, folder)


@contextmanager
def _server(package: Path, folder: Path, *, tls: bool) -> Iterator[Sequence[str]]:
    """Its URL, the token, and the file of its certificate if it has one."""
    made = certificate(folder).settings if tls else {}
    serve = python("timestore_pipeline", "serve", "--port", "0", "--quiet", first=package)
    settings = {
        "TIMESTORE_HOME": str(folder / "home"),
        "TIMESTORE_API_TOKEN": _TOKEN,
        "TIMESTORE_STAGING_MAX_DATASET_BYTES": "0",
        **{f"TIMESTORE_{key.upper()}": str(value) for key, value in made.items()},
    }
    log = folder / "server.log"
    with running(Command(serve.arguments, {**serve.environment, **settings}), log) as process:
        url = first_line(process, log).split()[-1]
        yield [url, _TOKEN, *([str(made["api_tls_certificate_file"])] if tls else [])]


if __name__ == "__main__":
    sys.exit(main())
