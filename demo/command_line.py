"""The `timestore` command, run as an operator would run it."""

from __future__ import annotations

import json
import subprocess
import sys
from typing import Any

from demo.environment import REPOSITORY, inherited

_WITHIN_SECONDS = 120.0
# The script of the same name exists only once the package is installed; this is what it runs.
_PROGRAM = (sys.executable, "-c", "from timestore_pipeline.cli import main; main()")


class CommandFailed(Exception):
    """`timestore` ended with another exit code than expected; the message contains its output."""


def timestore(*arguments: str) -> None:
    """Run a command; raise `CommandFailed` unless it ends with 0."""
    ended = _run(arguments)
    if ended.returncode != 0:
        raise _failure(arguments, ended)


def timestore_json(*arguments: str) -> dict[str, Any]:
    """Run a command with `--json`; exit code 1, "the answer is no", is an answer as well."""
    ended = _run([*arguments, "--json"])
    try:
        return dict(json.loads(ended.stdout))
    except ValueError:
        raise _failure(arguments, ended) from None


def _run(arguments: tuple[str, ...] | list[str]) -> subprocess.CompletedProcess[str]:
    return subprocess.run(
        [*_PROGRAM, *arguments],
        cwd=REPOSITORY,
        env=inherited(),
        stdin=subprocess.DEVNULL,
        capture_output=True,
        text=True,
        timeout=_WITHIN_SECONDS,
        check=False,
    )


def _failure(arguments: tuple[str, ...] | list[str], ended: subprocess.CompletedProcess[str]) -> CommandFailed:
    return CommandFailed(f"timestore {' '.join(arguments)} ended with {ended.returncode}\n{ended.stdout}{ended.stderr}")
