"""The commands of the app, for what is written about them."""

from __future__ import annotations

from timestore_pipeline.cli.app import COMMANDS, load


def summaries() -> dict[str, str]:
    """Every command with the first line of its help, in the order of `timestore --help`."""
    found: dict[str, str] = {}
    for name in COMMANDS:
        command = load(name)
        inner = getattr(command, "commands", None)
        named = {f"{name} {sub}": one for sub, one in inner.items()} if inner else {name: command}
        found |= {full: (one.help or "").partition("\n")[0] for full, one in named.items()}
    return found
