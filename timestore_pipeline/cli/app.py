"""The command `timestore`: its help, its commands, and what is set up before a command runs.

A command's module is imported when the command is used, and no other's. `--help` and the shell's completion list all
commands, so what each is for stands here as well; a test compares the two.

A command whose output cannot be written, because its reader is gone or the output file has no room, exits with
`FAILED`. Its work is complete by then. A closed pipe is not reported: `timestore ... | head` is ordinary use.
"""

from __future__ import annotations

import errno
import io
import logging
import os
import sys
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from dataclasses import dataclass
from importlib import import_module
from pathlib import Path
from typing import Annotated, Any

import typer
from typer.core import TyperCommand
from typer.main import get_command, get_group

from timestore_pipeline.cli.command_list import CommandList
from timestore_pipeline.cli.output import FAILED, print_note, reporting
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


@dataclass(frozen=True, slots=True)
class Listed:
    """A command as far as it is known without its module."""

    module: str  # below `timestore_pipeline.cli`
    summary: str  # the first line of its help
    group: bool = False  # commands of its own: they are the module's `app`, else the function of the command's name


COMMANDS = {
    "ingest": Listed("ingest", "Stage files as durable batches."),
    "status": Listed("status", "Show what is staged, and whether it is due."),
    "explain": Listed("explain", "Say why a dataset is or is not flushing."),
    "advise": Listed("advise", "Propose flush thresholds by the dataset's own history."),
    "flush": Listed("flush_commands", "Request a flush, or flush here with --now."),
    "drain": Listed("flush_commands", "Flush until nothing is pending or in flight."),
    "pause": Listed("flush_commands", "Stop automatic flushes of a dataset."),
    "resume": Listed("flush_commands", "Let the sensor flush a dataset again."),
    "flushes": Listed("flush_commands", "Show the history of flushes."),
    "query": Listed("query", "Run SQL over published and staged rows, each exactly once."),
    "verify": Listed("verify", "Prove that every row is accounted for."),
    "recover": Listed(
        "recover", "Settle what dead processes left behind, and bring the ledger up to what is published."
    ),
    "maintain": Listed("maintain", "Compact, vacuum and prune published tables."),
    "doctor": Listed(
        "doctor",
        "Check configuration, disk, clock, permissions, ledger, lake, landing folder, Dagster and Pushgateway.",
    ),
    "metrics": Listed("monitoring", "Print the Prometheus exposition."),
    "crashtest": Listed(
        "crashtest", "Kill real processes at random, then prove that what was acknowledged is what was published."
    ),
    "simulate": Listed("simulate", "Send a load through real processes, then validate as the release notes say."),
    "serve": Listed("serve", "Serve the HTTP ingestion API and /metrics."),
    "tokens": Listed("tokens", "Named tokens of the HTTP API.", group=True),
    "datasets": Listed("dataset_commands", "Metadata and thresholds of datasets.", group=True),
    "quarantine": Listed("quarantine_commands", "Batches and segments that were set aside.", group=True),
    "landing": Listed("landing", "The folder where files are dropped.", group=True),
    "legacy": Listed("legacy", "Parquet files that were not written by a flush.", group=True),
    "monitoring": Listed("monitoring", "Alert rules and dashboards.", group=True),
}
TASKS = {
    "Stage rows": ("ingest", "serve", "tokens", "landing", "legacy"),
    "Publish them": ("flush", "drain", "pause", "resume", "flushes", "maintain"),
    "Set up datasets": ("datasets", "advise"),
    "Look": ("status", "explain", "query", "metrics", "monitoring"),
    "Check and repair": ("doctor", "verify", "recover", "quarantine"),
    "Try it out": ("simulate", "crashtest"),
}  # as `timestore --help` lists them


class Commands(CommandList):
    """All of `COMMANDS`; lists them without their modules."""

    tasks = TASKS

    def __init__(self, *, commands: Any = None, **options: Any) -> None:
        listed: dict[str, Any] = {name: TyperCommand(name, help=command.summary) for name, command in COMMANDS.items()}
        super().__init__(commands=listed | dict(commands or {}), **options)

    def resolve_command(self, ctx: Any, args: list[str]) -> Any:
        """Called for the one command that runs, explains itself or is completed."""
        name, command, rest = super().resolve_command(ctx, args)
        return name, load(name) if name in COMMANDS else command, rest


def load(name: str) -> Any:
    """A command as typer runs it, out of its module."""
    listed = COMMANDS[name]
    module = import_module(f"timestore_pipeline.cli.{listed.module}")
    if listed.group:
        command: Any = get_group(module.app)
    else:
        alone = typer.Typer(add_completion=False, rich_markup_mode=None, pretty_exceptions_enable=False)
        alone.command(name)(reporting(getattr(module, name)))
        command = get_command(alone)
    command.name = name
    return command


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


class BrokenStdout(OSError):
    """Standard output cannot be written; any other `OSError` is a bug, and shows."""


@contextmanager
def exiting_when_stdout_breaks() -> Iterator[None]:
    """For a whole process: exit with `FAILED`, and a line on standard error, when standard output cannot be written."""
    _open_closed()
    answer = sys.stdout  # keeps a reference: without one, the stream would be closed
    sys.stdout = _raising_broken_stdout(answer)
    try:
        try:
            yield
        finally:
            sys.stdout.flush()  # here, not at Python's exit, which could only print a traceback
    except BrokenStdout as error:
        _silence(answer.fileno())
        if error.errno != errno.EPIPE:
            with suppress(OSError):  # standard error may be the same file
                print_note(f"error: standard output cannot be written: {error.strerror}", "red")
        raise SystemExit(FAILED) from error


class _Output(io.FileIO):
    def write(self, data: Any, /) -> int:
        try:
            return super().write(data)
        except OSError as error:
            raise BrokenStdout(error.errno, error.strerror) from error


def _raising_broken_stdout(stream: Any) -> io.TextIOWrapper:
    """The same stream, whose errors are `BrokenStdout`."""
    raw = _Output(stream.fileno(), "w", closefd=False)
    at_once = stream.line_buffering or stream.write_through  # a terminal, or PYTHONUNBUFFERED
    buffered = io.BufferedWriter(raw)
    return io.TextIOWrapper(buffered, encoding=stream.encoding, errors=stream.errors, line_buffering=at_once)


def _open_closed() -> None:
    """Replace standard streams that the caller has closed, which are None."""
    for name in ("stdout", "stderr"):
        if getattr(sys, name) is None:
            setattr(sys, name, Path(os.devnull).open("w"))  # noqa: SIM115  # for as long as the process lives


def _silence(descriptor: int) -> None:
    """Discard the rest of the buffer, which Python flushes once more at its exit."""
    nowhere = os.open(os.devnull, os.O_WRONLY)
    os.dup2(nowhere, descriptor)
    os.close(nowhere)
