"""Keeps pandas out of programs: pyarrow imports it, where it is installed, as soon as it makes a value.

The import costs half a second of every start, and 60 MB, without any use: no program here passes data to pandas. A
library must not decide this for its caller, so only entry points of separate processes call it.
"""

from __future__ import annotations

import sys
from collections.abc import Sequence
from importlib.machinery import ModuleSpec
from types import ModuleType


class _Without:
    """An import finder that hides one module."""

    def __init__(self, name: str) -> None:
        self._name = name

    def find_spec(
        self, name: str, _path: Sequence[str] | None = None, _target: ModuleType | None = None
    ) -> ModuleSpec | None:
        if name == self._name:
            raise ModuleNotFoundError(f"{name} is left out of this process", name=name)
        return None


def leave_pandas_out() -> None:
    """Hide pandas for the rest of this process; no effect once it is imported."""
    sys.meta_path.insert(0, _Without("pandas"))
