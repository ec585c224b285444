"""`timestore simulate`: tests whether this host, with these settings, can handle a given load."""

from __future__ import annotations

import shutil
import tempfile
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Annotated

import typer

from timestore_pipeline.cli.crashtest import quietly
from timestore_pipeline.cli.output import AsJson, print_fields, print_line, print_verdict, progress_bar
from timestore_pipeline.cli.wording import count, size
from timestore_pipeline.errors import Interrupted, InvalidInput
from timestore_pipeline.settings import Settings
from timestore_pipeline.system import clock
from timestore_pipeline.tools.crashtest.run import check_is_new
from timestore_pipeline.tools.doctor.host import nearest_folder
from timestore_pipeline.tools.simulate.load import Load
from timestore_pipeline.tools.simulate.simulation import simulate as run
from timestore_pipeline.tools.simulate.validation import Measured, SimulationReport

# The pager fires when a batch is 120 s old. By default 60 s of that are the age threshold, up to 10 s the sensor's tick
# and about as long the start of a Dagster run; half of the rest is left for a bad day.
SLO = 20.0

Directory = Annotated[
    Path | None,
    typer.Option(
        metavar="DIR", help="New or empty, and kept. Default: a folder beside the staging directory, removed."
    ),
]


def simulate(
    datasets: Annotated[int, typer.Option(min=1, max=1000)] = 3,
    producers: Annotated[
        int, typer.Option(min=1, max=64, help="Processes; producer n sends to all datasets in turn.")
    ] = 4,
    rows: Annotated[int, typer.Option(min=1, help="Of a batch.")] = 1000,
    batches: Annotated[int, typer.Option(min=1, help="That each producer sends.")] = 50,
    seconds: Annotated[
        float | None, typer.Option(min=0.1, help="Instead of --batches: as many as they can for so long.")
    ] = None,
    slo: Annotated[float, typer.Option(min=0, metavar="S", help="Seconds that 95 of 100 flushes may take.")] = SLO,
    directory: Directory = None,
    as_json: AsJson = False,
) -> None:
    """Send a load through real processes, then validate as the release notes say.

    Producers stage with the settings in force, what is due is flushed, the rest is drained. Then: the queue's depth is
    zero, the flushes' p95 is within the objective, every acknowledged row is published once with its content, verify
    says ok, nothing was dropped. Exit code 1 when a point fails, with what was seen. Your own staging directory and
    lake are never touched; a lake in a bucket is replaced by a folder, so a bucket's latency is not in the figures.

    \b
    Example:
      timestore simulate --producers 8 --rows 500 --batches 200 --slo 5
    """
    settings = Settings.from_env()
    with _home(settings, directory) as home:
        load = {"datasets": datasets, "producers": producers, "rows": rows}
        length = {"batches": batches} if seconds is None else {"batches": None, "seconds": seconds}
        report = _run(Load.under(settings, home, clock.now(), **load, **length), slo, hidden=as_json)
    print_verdict(report, _print, as_json=as_json)


@contextmanager
def _home(settings: Settings, directory: Path | None) -> Iterator[Path]:
    """The folder of the simulation, on the disk of the staging directory."""
    if directory is not None:
        try:
            check_is_new(directory)
        except InvalidInput as error:
            raise typer.BadParameter(str(error)) from error
        yield directory.absolute()
        return
    place = nearest_folder(settings.staging_directory.parent)
    try:
        home = Path(tempfile.mkdtemp(prefix="timestore-simulation-", dir=place))
    except OSError as error:
        raise InvalidInput(f"no folder can be made in {place}: {error}", hint="name one with --directory") from error
    try:
        yield home
    finally:
        shutil.rmtree(home)


def _run(plan: Load, slo: float, *, hidden: bool) -> SimulationReport:
    total = None if plan.batches is None else plan.batches * plan.producers
    try:
        with quietly(), progress_bar("batches", total, hidden=hidden) as update:
            return run(plan, slo, lambda done: update(completed=done))
    except KeyboardInterrupt as stopped:
        raise Interrupted("the simulation was interrupted", hint="nothing was judged") from stopped


def _print(report: SimulationReport) -> None:
    print_fields(_fields(report, report.measured))
    print_line("")
    for point in report.points():
        print_line(f"{'pass' if point.ok else 'FAIL'}  {point.check}: {point.seen}", "green" if point.ok else "red")
        if not point.ok:
            print_line(f"      required: {point.required}")
    print_line("")
    print_line("the load was carried" if report.ok else "the load was not carried", "green" if report.ok else "red")


def _fields(report: SimulationReport, measured: Measured) -> list[tuple[str, str]]:
    plan, verdict = report.plan, report.verdict
    pace = verdict.acked_rows / measured.producing_seconds
    return [
        ("load", f"{count(plan.producers, 'producer')}, {count(plan.datasets, 'dataset')}, {plan.rows:,} rows a batch"),
        ("acknowledged", f"{count(verdict.acked_batches, 'batch')}, {count(verdict.acked_rows, 'row')}"),
        ("producing", f"{measured.producing_seconds:.1f} s with their start, {pace:,.0f} rows a second"),
        ("receipt", f"p50 {_ms(measured.ack_p50)}, p95 {_ms(measured.ack_p95)}"),
        ("flushes", f"{measured.flushes} published, {measured.failed_flushes} failed"),
        ("files", f"{measured.files}, {size(measured.file_bytes)} in all"),
        ("staged at most", f"{count(measured.peak_batches, 'batch')}, {size(measured.peak_disk_bytes)} on disk"),
    ]


def _ms(seconds: float | None) -> str:
    return "-" if seconds is None else f"{seconds * 1000:.1f} ms"
