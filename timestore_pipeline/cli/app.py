"""The command `timestore`: its help, its version, and the logging that is set up before a command runs."""

from __future__ import annotations

import logging
from contextlib import suppress
from typing import Annotated

import typer

from timestore_pipeline.cli.broken_stdout import exiting_when_stdout_breaks
from timestore_pipeline.cli.commands import Commands
from timestore_pipeline.errors import InvalidSettings
from timestore_pipeline.staging.ledger_format import FORMAT_VERSION

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
        from timestore_pipeline.model.release import release

        print(f"timestore {release()}, format of the ledger {FORMAT_VERSION}")
        raise typer.Exit


_Version = Annotated[
    bool, typer.Option("--version", is_eager=True, callback=_version, help="Say which release this is.")
]


def _timestore(context: typer.Context, version: _Version = False) -> None:  # noqa: ARG001  # its callback prints it
    """Runs before every command; calls the context's object, with which `main` sets up logging."""
    if context.obj is not None:
        context.obj()


app = typer.Typer(
    name="timestore",
    cls=Commands,
    no_args_is_help=True,
    rich_markup_mode=None,  # plain help: the examples keep their lines
    pretty_exceptions_enable=False,
)
app.callback(help=_HELP)(_timestore)


def main() -> None:
    """Entry point of the console script."""
    logging.basicConfig(level=logging.WARNING, format="%(levelname)s: %(message)s")  # of other libraries
    with exiting_when_stdout_breaks():
        app(prog_name="timestore", obj=_log_as_configured)


def _log_as_configured() -> None:
    from timestore_pipeline.monitoring.telemetry.logs import log_to_stderr, warn_of_unknown_variables
    from timestore_pipeline.settings import Settings  # here: `--help` and completion need no settings

    with suppress(InvalidSettings):  # the command reports it
        log_to_stderr(Settings.from_env())
    warn_of_unknown_variables()
