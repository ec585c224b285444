"""The command `timestore`: which commands there are."""

from __future__ import annotations

import logging
from contextlib import suppress
from typing import Annotated

import typer

from timestore_pipeline.cli import (
    advise,
    crashtest,
    datasets,
    doctor,
    flush,
    ingest,
    landing,
    legacy,
    maintain,
    metrics,
    monitoring,
    quarantine,
    query,
    recover,
    serve,
    simulate,
    status,
    verify,
)
from timestore_pipeline.cli.output import print_line, reporting
from timestore_pipeline.cli.unheard import unheard
from timestore_pipeline.errors import InvalidSettings
from timestore_pipeline.model.release import release
from timestore_pipeline.settings import Settings
from timestore_pipeline.staging.ledger.schema import FORMAT_VERSION
from timestore_pipeline.telemetry.logs import log_to_stderr

_HELP = """Stage small time-series writes durably, publish them as right-sized Parquet, exactly once.

Configured by TIMESTORE_* environment variables. Exit code 0 = done, 1 = the answer is no or it failed, 2 = wrong usage.
With --json a failing command prints {"error": {"code", "message", "dataset", "hint"}} to standard output.

\b
Examples:
  timestore status
  timestore explain weather
  timestore doctor
"""


def _version(asked: bool) -> None:
    if asked:
        print_line(f"timestore {release()}, format of the ledger {FORMAT_VERSION}")
        raise typer.Exit


_Version = Annotated[
    bool, typer.Option("--version", is_eager=True, callback=_version, help="Say which release this is.")
]


def _timestore(version: _Version = False) -> None:
    """What the command answers by itself, without a subcommand."""


app = typer.Typer(
    name="timestore",
    no_args_is_help=True,
    rich_markup_mode=None,  # plain help: the examples keep their lines
    pretty_exceptions_enable=False,
)
app.callback(help=_HELP)(_timestore)

for command in (
    ingest.ingest,
    status.status,
    status.explain,
    advise.advise,
    flush.flush,
    flush.drain,
    flush.pause,
    flush.resume,
    flush.flushes,
    query.query,
    verify.verify,
    recover.recover,
    maintain.maintain,
    doctor.doctor,
    metrics.metrics,
    crashtest.crashtest,
    simulate.simulate,
    serve.serve,
):
    app.command()(reporting(command))
app.add_typer(datasets.app, name="datasets")
app.add_typer(quarantine.app, name="quarantine")
app.add_typer(landing.app, name="landing")
app.add_typer(legacy.app, name="legacy")
app.add_typer(monitoring.app, name="monitoring")


def main() -> None:
    """Entry point of the console script."""
    logging.basicConfig(level=logging.WARNING, format="%(levelname)s: %(message)s")  # of other libraries
    with suppress(InvalidSettings):  # the command says what is wrong with them
        log_to_stderr(Settings.from_env())
    with unheard():
        app(prog_name="timestore")
