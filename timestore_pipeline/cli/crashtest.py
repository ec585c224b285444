"""`timestore crashtest`: tests the durability promise on the user's own disk."""

from __future__ import annotations

import logging
from collections.abc import Iterator
from contextlib import contextmanager
from enum import StrEnum
from pathlib import Path
from typing import Annotated

import typer

from timestore_pipeline.cli.output import (
    AsJson,
    print_fields,
    print_line,
    print_note,
    print_table,
    print_verdict,
    progress_bar,
)
from timestore_pipeline.cli.wording import count, size
from timestore_pipeline.errors import Interrupted, InvalidInput
from timestore_pipeline.tools.crashtest import run
from timestore_pipeline.tools.crashtest.results import CrashReport, Maintained
from timestore_pipeline.tools.crashtest.sabotage import SABOTAGES
from timestore_pipeline.tools.crashtest.schedule import CrashPlan

_SHOWN = 20  # problems listed; --json has all

Fault = StrEnum("Fault", {name.replace("-", "_"): name for name in SABOTAGES})  # type: ignore[misc]

Directory = Annotated[Path, typer.Argument(metavar="DIR", help="New or empty; on the disk to be tried.")]
Kills = Annotated[int, typer.Option(min=1, help="Processes to kill; about three a second on two cores.")]
Seed = Annotated[int, typer.Option(help="Fixes the batches, the victims and the instants.")]
Clean = Annotated[bool, typer.Option("--clean", help="Delete DIR if all is well; otherwise it is always kept.")]
Sabotage = Annotated[
    Fault | None, typer.Option(help="Build this fault into the victims, to see that the test finds it.")
]


def crashtest(
    directory: Directory,
    kills: Kills = 100,
    seed: Seed = 1,
    clean: Clean = False,
    sabotage: Sabotage = None,
    as_json: AsJson = False,
) -> None:
    """Kill real processes at random, then prove that what was acknowledged is what was published.

    Producers, flushers, a recovery and a maintainer work in DIR and are killed with SIGKILL: one, a few or all at once.
    Then the acknowledged rows are compared, one by one, with the rows in the Delta tables; exit code 1 for any row
    lost, duplicated or altered. TIMESTORE_* variables are ignored, so nothing outside DIR is touched.

    \b
    Example:
      timestore crashtest /data/crashtest --kills 1000 --seed 7
    """
    plan = CrashPlan(directory.absolute(), kills, seed, None if sabotage is None else sabotage.value)
    report = _run(plan, hidden=as_json)
    print_verdict(report, _print, as_json=as_json)
    if clean:
        run.remove(plan)


def _run(plan: CrashPlan, *, hidden: bool) -> CrashReport:
    try:
        run.check_is_new(plan.home)
    except InvalidInput as error:
        raise typer.BadParameter(str(error)) from error
    try:
        with quietly(), progress_bar("kills", plan.kills, hidden=hidden) as update:
            return run.crashtest(plan, lambda done: update(completed=done))
    except KeyboardInterrupt as stopped:
        hint = f"its processes are ended; {plan.home} is kept as it is, and nothing was judged"
        raise Interrupted("the crash test was interrupted", hint=hint) from stopped


@contextmanager
def quietly() -> Iterator[None]:
    """Suppress log lines below ERROR: every killed victim would be one."""
    logger = logging.getLogger("timestore_pipeline")
    level = logger.level
    logger.setLevel(logging.ERROR)
    try:
        yield
    finally:
        logger.setLevel(level)


def _print(report: CrashReport) -> None:
    print_fields(_fields(report))
    print_line("")
    killed = report.kills_by_phase().items()
    print_table(("killed during", "kills"), [(phase, str(kills)) for phase, kills in killed], numbers=("kills",))
    print_line("")
    problems = report.problems()
    for problem in problems[:_SHOWN]:
        print_line(problem, "red")
    if len(problems) > _SHOWN:
        print_note(f"and {len(problems) - _SHOWN} more; --json prints all")
    if report.ok:
        print_line("every acknowledged row was published exactly once", "green")
    else:
        print_line(f"the promise was broken; everything is kept in {report.plan.home}", "red")


def _fields(report: CrashReport) -> list[tuple[str, str]]:
    verdict, flushes = report.verdict, report.flushes
    roles = ", ".join(f"{kills} {role}" for role, kills in report.kills_by_role().items())
    return [
        ("kills", f"{report.total_kills} ({roles}); {report.kills_at_work()} of them at work"),
        ("host lost", count(report.hosts_lost, "time")),
        ("acknowledged", f"{count(verdict.acked_batches, 'batch')}, {count(verdict.acked_rows, 'row')}"),
        ("published", f"{count(verdict.published_batches, 'batch')}, {count(verdict.published_rows, 'row')}"),
        ("unanswered", f"{count(verdict.in_doubt, 'batch')} without a key, {verdict.in_doubt_published} published"),
        ("duplicates refused", count(report.duplicates_refused, "batch")),
        ("flushes", f"{flushes.published} published, {flushes.aborted} aborted, {flushes.settled} settled by others"),
        ("maintenance", _maintenance(report.maintained)),
        ("lost", count(verdict.lost, "row")),
        ("duplicated", count(verdict.duplicated, "row")),
        ("unverifiable", count(verdict.unverifiable, "row")),
        ("timestore verify", "ok" if not report.verify_problems else count(len(report.verify_problems), "problem")),
        ("seed, seconds", f"{report.plan.seed}, {report.cost.seconds:.1f}"),
        ("pace", f"{report.cost.pace[0]} strikes a second in the first quarter, {report.cost.pace[1]} in the last"),
        ("disk, memory", f"{size(report.cost.disk)}, {size(report.cost.memory)} the largest process"),
    ]


def _maintenance(done: Maintained) -> str:
    made = f"{count(done.compactions, 'compaction')} of {count(done.files, 'file')}"
    return f"{made}, {count(done.deleted, 'file')} deleted, {count(done.log_commits, 'commit')} of the logs trimmed"
