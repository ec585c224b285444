"""A missing service skips on a laptop, with the reason in the summary, and fails in CI: there nothing is optional."""

from __future__ import annotations

import os
import shutil
import sys
from pathlib import Path

import pytest


def require(service: str, *, available: bool, remedy: str) -> None:
    """Go on if `available`; otherwise skip the calling test, or fail it where the variable CI is set."""
    if available:
        return
    reason = f"needs {service}: {remedy}"
    if os.environ.get("CI"):
        pytest.fail(reason)
    pytest.skip(reason)


def require_command(command: str, *, remedy: str) -> Path:
    """The path of an executable, beside this Python, on the PATH, or where Debian puts servers."""
    beside = str(Path(sys.executable).parent)
    found = shutil.which(command, path=os.pathsep.join([beside, os.environ.get("PATH", ""), "/usr/sbin"]))
    require(f"the command {command}", available=found is not None, remedy=remedy)
    return Path(found or command)
