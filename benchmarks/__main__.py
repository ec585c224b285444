"""`python -m benchmarks`: measure, print the targets, and with --write renew the figures in docs."""

from __future__ import annotations

import argparse
import os
import platform
import shutil
import signal
import subprocess
import sys
import tempfile
from collections.abc import Sequence
from contextlib import suppress
from datetime import UTC, datetime
from importlib.metadata import version
from pathlib import Path

from benchmarks import postgresql
from benchmarks.contenders import contenders
from benchmarks.environment import CACHE
from benchmarks.figures import Results, Verdict
from benchmarks.parts.flushing import beside_a_flush, flushes
from benchmarks.parts.ledger import ledger
from benchmarks.parts.producers import eight_producers, eight_submitting, many_datasets, one_producer, submitted
from benchmarks.parts.reading import one_sensor
from benchmarks.parts.upkeep import dagster_runs, upkeep
from benchmarks.processes import ROOT, Failed
from benchmarks.report import page, targets_table
from benchmarks.targets import GROUPS, QUICK, Group
from benchmarks.turns import Execution, Plan

_PARTS = {
    part.__name__: part
    for part in (
        one_producer,
        eight_producers,
        submitted,
        eight_submitting,
        many_datasets,
        flushes,
        beside_a_flush,
        one_sensor,
        ledger,
        upkeep,
        dagster_runs,
    )
}
_QUICK_CONTENDERS = ("floor", "ours", "delta")
_QUICK_PLAN = Plan(rounds=5, turn_seconds=0.5)
_SMALL_PLAN = Plan(rounds=2, long_rounds=1, turn_seconds=0.2, group_seconds=0.5, share=0.02)
_FIGURES = ROOT / "docs" / "performance-figures.json"


def main() -> int:
    """0 unless a target is not met."""
    chosen = _arguments()
    signal.signal(signal.SIGTERM, lambda *_: sys.exit(143))  # children end on the way out
    results = Results.load(_FIGURES) if chosen.render else _measured(chosen)
    if chosen.render or chosen.write:
        _write(results)
    groups = QUICK if chosen.quick else GROUPS
    _print(results, groups)
    return int(any(results.judge(target).verdict is Verdict.NOT_MET for group in groups for target in group.targets))


def _arguments() -> argparse.Namespace:
    parser = argparse.ArgumentParser(prog="python -m benchmarks", description=__doc__)
    parser.add_argument("--quick", action="store_true", help="one producer against floor and write_deltalake, loosely")
    parser.add_argument("--small", action="store_true", help="little of everything: shows that it works, not how fast")
    parser.add_argument("--against", default="", metavar="COMMIT", help="an older commit that takes turns, too")
    parser.add_argument("--only", nargs="+", choices=_PARTS, metavar="PART", help=f"some of {', '.join(_PARTS)}")
    parser.add_argument("--write", action="store_true", help="renew docs/performance-figures.* and docs/images")
    parser.add_argument(
        "--render", action="store_true", help="measure nothing, draw docs/performance-figures.json anew"
    )
    return parser.parse_args()


def _measured(chosen: argparse.Namespace) -> Results:
    plan = _QUICK_PLAN if chosen.quick else _SMALL_PLAN if chosen.small else Plan()
    results = Results(machine=_machine(chosen, plan))
    CACHE.mkdir(exist_ok=True)
    folder = Path(tempfile.mkdtemp(prefix="run-", dir=CACHE))  # on the repository's disk; /tmp may be in memory
    folder.chmod(0o755)  # PostgreSQL's user passes through
    try:
        execution, everyone = Execution(plan, folder, results), contenders(chosen.against)
        wanted = {name: everyone[name] for name in _QUICK_CONTENDERS} if chosen.quick else everyone
        with execution.started(wanted):
            if chosen.quick:
                one_producer(execution, _QUICK_CONTENDERS)
            else:
                for name in chosen.only or _PARTS:
                    _PARTS[name](execution)
    finally:
        shutil.rmtree(folder, ignore_errors=True)
    results.machine["load at the end"] = _load()
    return results


def _machine(chosen: argparse.Namespace, plan: Plan) -> dict[str, str]:
    memory = os.sysconf("SC_PAGE_SIZE") * os.sysconf("SC_PHYS_PAGES") / 2**30
    commit = subprocess.run(["git", "-C", str(ROOT), "describe", "--always", "--dirty"], capture_output=True, text=True)
    described = {
        "measured": f"{datetime.now(UTC):%Y-%m-%d %H:%M} UTC, commit {commit.stdout.strip() or 'unknown'}",
        "machine": f"{os.cpu_count()} cores, {memory:.0f} GiB, {platform.system()} {platform.machine()}",
        "versions": ", ".join(
            [f"Python {platform.python_version()}"]
            + [f"{package} {version(package)}" for package in ("duckdb", "pyarrow", "deltalake")]
        ),
        "rounds": f"{plan.rounds} of short turns, {plan.long_rounds} of long ones",
        "load at the start": _load(),
    }
    if plan.share != 1:
        described["sizes"] = f"{plan.share:.0%} of those that are named: no figures to quote"
    if chosen.against:
        described["older commit"] = chosen.against
    with suppress(Failed):
        described["versions"] += f", {postgresql.version()}"
    return described


def _load() -> str:
    return f"{os.getloadavg()[0]:.1f} processes waiting or at work, over a minute"


def _write(results: Results) -> None:
    from benchmarks.plots import draw  # only here is matplotlib needed

    results.save(_FIGURES)
    kept = Results.load(_FIGURES)  # rounded, as a reader of the file has them
    _FIGURES.with_suffix(".md").write_text(page(kept))
    draw(kept, ROOT / "docs" / "images")


def _print(results: Results, groups: Sequence[Group]) -> None:
    for group in groups:
        print(f"\n{group.heading}", *targets_table(results, group), sep="\n")


if __name__ == "__main__":
    sys.exit(main())
