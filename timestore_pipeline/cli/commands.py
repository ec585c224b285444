"""Which commands there are, and where. A command's module is imported when the command is used, and no other's.

`--help` and the shell's completion list all commands, so what each is for stands here as well; a test compares the two.
"""

from __future__ import annotations

from dataclasses import dataclass
from importlib import import_module
from typing import Any

import typer
from typer.core import TyperCommand, TyperGroup
from typer.main import get_command, get_group

from timestore_pipeline.cli.output import reporting


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
    "flush": Listed("flush", "Request a flush, or flush here with --now."),
    "drain": Listed("flush", "Flush until nothing is pending or in flight."),
    "pause": Listed("flush", "Stop automatic flushes of a dataset."),
    "resume": Listed("flush", "Let the sensor flush a dataset again."),
    "flushes": Listed("flush", "Show the history of flushes."),
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
    "metrics": Listed("metrics", "Print the Prometheus exposition."),
    "crashtest": Listed(
        "crashtest", "Kill real processes at random, then prove that what was acknowledged is what was published."
    ),
    "simulate": Listed("simulate", "Send a load through real processes, then validate as the release notes say."),
    "serve": Listed("serve", "Serve the HTTP ingestion API and /metrics."),
    "tokens": Listed("tokens", "Named tokens of the HTTP API.", group=True),
    "datasets": Listed("datasets", "Metadata and thresholds of datasets.", group=True),
    "quarantine": Listed("quarantine", "Batches and segments that were set aside.", group=True),
    "landing": Listed("landing", "The folder where files are dropped.", group=True),
    "legacy": Listed("legacy", "Parquet files that were not written by a flush.", group=True),
    "monitoring": Listed("monitoring", "Alert rules and dashboards.", group=True),
}  # in the order of `timestore --help`


class Commands(TyperGroup):
    """All of `COMMANDS`; lists them without their modules."""

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
