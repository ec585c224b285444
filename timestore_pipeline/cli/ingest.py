"""`timestore ingest`: files into the staging area."""

from __future__ import annotations

import signal
from collections import Counter
from collections.abc import Iterable, Iterator, Sequence
from contextlib import contextmanager
from pathlib import Path
from types import FrameType
from typing import Annotated, Any, Protocol

import typer

from timestore_pipeline.cli.arguments import Dataset
from timestore_pipeline.cli.output import (
    FAILED,
    AsJson,
    print_error,
    print_json,
    print_line,
    print_note,
    progress_bar,
)
from timestore_pipeline.cli.wording import count, size
from timestore_pipeline.errors import TimestoreError, error_document
from timestore_pipeline.ingest.decided import Decided
from timestore_pipeline.ingest.formats.sources import Source
from timestore_pipeline.ingest.manager import StagingManager
from timestore_pipeline.ingest.staging_loop import Inputs, StagedTally, StagingLoop
from timestore_pipeline.settings import Settings
from timestore_pipeline.system import clock
from timestore_pipeline.system.legible import legible

Files = Annotated[list[Path], typer.Argument(metavar="FILE", help="Parquet, CSV, JSON (both also .gz) or Arrow files.")]
BatchRows = Annotated[int, typer.Option(min=1, help="Rows of one batch, the unit of acknowledgement.")]
Prefix = Annotated[
    str | None,
    typer.Option(help="Key each batch P/<file name>/<first row>, so that a second run skips what is staged."),
]


Delimiter = Annotated[str | None, typer.Option(help="CSV: what separates fields, such as ';'.")]
Decimal = Annotated[str | None, typer.Option(help="CSV: the decimal mark, '.' or ','.")]
Encoding = Annotated[str | None, typer.Option(help="CSV: such as windows-1252 or utf-16.")]
Nulls = Annotated[
    list[str] | None, typer.Option(help="CSV: an unquoted cell that is null; can be given several times. Default: ''.")
]
NoHeader = Annotated[bool, typer.Option("--no-header", help="CSV: the first line is data; schema.columns names them.")]


class Stoppable(Protocol):
    """Work that ends soon after a call of `stop`."""

    def stop(self) -> None: ...


def ingest(
    dataset: Dataset,
    files: Files,
    batch_rows: BatchRows = 10_000,
    idempotency_prefix: Prefix = None,
    delimiter: Delimiter = None,
    decimal: Decimal = None,
    encoding: Encoding = None,
    null: Nulls = None,
    no_header: NoHeader = False,
    as_json: AsJson = False,
) -> None:
    """Stage files as durable batches.

    Each batch that is reported will be published exactly once. Without --idempotency-prefix a batch has no key, and
    staging a file again stages its rows again.

    \b
    Example:
      timestore ingest weather 2013-*.parquet --batch-rows 500 --idempotency-prefix load-1
    """
    _check_names(files, idempotency_prefix)
    settings = Settings.from_env()
    csv = {"delimiter": delimiter, "decimal": decimal, "encoding": encoding, "nulls": null}
    dialect = {**csv, "header": False if no_header else None}
    with StagingManager.open(settings) as staging:
        inputs = Inputs.opened(staging, dataset, files, dialect)
        before = staging.record(dataset)
        started = clock.monotonic()
        with progress_bar("rows", _total_rows(inputs.sources), hidden=as_json) as update:
            loop = StagingLoop(staging, dataset, batch_rows, idempotency_prefix, lambda rows: update(advance=rows))
            stopped = _run(loop, inputs.as_known_now())
        decided = Decided.by(before, staging.record(dataset), inputs.notes)
    seconds = clock.monotonic() - started
    if stopped is not None:
        _report_stopped(stopped, loop, as_json=as_json)
        raise typer.Exit(FAILED)
    _report(loop, seconds, decided, as_json=as_json)


def _check_names(files: Sequence[Path], prefix: str | None) -> None:
    """Keys contain the file's name: two files of one name would share keys, and half the rows would be skipped."""
    twice = [name for name, times in Counter(path.name for path in files).items() if times > 1]
    if prefix is not None and twice:
        raise typer.BadParameter(f"{legible(twice[0])} is given twice; with a prefix, files need names of their own")


def _run(loop: StagingLoop, sources: Iterable[Source]) -> TimestoreError | None:
    try:
        with ctrl_c_stops(loop):
            loop.run(sources)
    except TimestoreError as stopped:
        return stopped
    return None


@contextmanager
def ctrl_c_stops(work: Stoppable) -> Iterator[None]:
    """The first Ctrl-C ends the work between two batches, so that every durable batch is counted; the second kills."""
    previous = signal.getsignal(signal.SIGINT)

    def stop(number: int, _frame: FrameType | None) -> None:
        signal.signal(number, previous)
        work.stop()

    if previous is not signal.SIG_IGN:  # ignored in a script's background job: then it stays ignored
        signal.signal(signal.SIGINT, stop)
    try:
        yield
    finally:
        signal.signal(signal.SIGINT, previous)


def _total_rows(sources: Sequence[Source]) -> int | None:
    """None where a file does not say."""
    rows = [source.total_rows for source in sources]
    return None if None in rows else sum(filter(None, rows))


def _report(loop: StagingLoop, seconds: float, decided: Decided, *, as_json: bool) -> None:
    rate = loop.tally.rows / seconds if seconds else 0.0
    if as_json:
        print_json({**_document(loop), "seconds": seconds, "rows_per_second": rate, **decided.to_dict()})
        return
    print_line(f"{loop.dataset}: {_summary(loop.tally)}; {seconds:.1f} s, {rate:,.0f} rows/s")
    for line in decided.lines():
        print_note(line)


def _report_stopped(error: TimestoreError, loop: StagingLoop, *, as_json: bool) -> None:
    if as_json:
        print_json({"error": error_document(error), "staged": _document(loop)})
        return
    print_error(error, as_json=False)
    print_note(f"durable: {_summary(loop.tally)}")
    print_note(_how_to_resume(loop))


def _how_to_resume(loop: StagingLoop) -> str:
    if loop.prefix is not None:
        return "to continue, run the same command again: durable batches are skipped by their keys"
    return "without --idempotency-prefix a second run stages the durable rows again; give it the files without them"


def _summary(tally: StagedTally) -> str:
    fresh = f"{count(tally.batches, 'batch')}, {count(tally.rows, 'row')}, {size(tally.bytes)} staged"
    again = f", {count(tally.duplicates, 'duplicate batch')} of {count(tally.duplicate_rows, 'row')} skipped"
    return fresh + (again if tally.duplicates else "")


def _document(loop: StagingLoop) -> dict[str, Any]:
    return {
        "dataset": loop.dataset,
        "batches": loop.tally.batches,
        "rows": loop.tally.rows,
        "bytes": loop.tally.bytes,
        "duplicates": loop.tally.duplicates,
        "duplicate_rows": loop.tally.duplicate_rows,
    }
