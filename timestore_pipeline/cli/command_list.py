"""How help lists commands: by task, each with its whole summary, wrapped between words."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any, ClassVar

import typer
from typer.core import TyperGroup


class CommandList(TyperGroup):
    """tasks: title -> names; empty = all of them under one title."""

    tasks: ClassVar[Mapping[str, Sequence[str]]] = {}

    def format_commands(self, ctx: Any, formatter: Any) -> None:
        names = self.list_commands(ctx)
        width = max(map(len, names), default=0)
        for title, chosen in (self.tasks or {"Commands": names}).items():
            with formatter.section(title):
                formatter.write_dl([(f"{name:<{width}}", self._summary(ctx, name)) for name in chosen])

    def _summary(self, ctx: Any, name: str) -> str:
        command = self.get_command(ctx, name)
        return "" if command is None else (command.help or "").partition("\n")[0]


def command_group(summary: str) -> typer.Typer:
    """Commands below one name, with plain help."""
    return typer.Typer(cls=CommandList, no_args_is_help=True, rich_markup_mode=None, help=summary)
