"""Programs without pandas, which pyarrow imports where it is installed as soon as it makes a value.

That is half a second of every start, and 60 MB, for nothing: no program here hands data to pandas. A library must not
decide that for its caller, so only what runs in a process of its own asks for it.
"""

from __future__ import annotations

import sys
from collections.abc import Sequence
from importlib.machinery import ModuleSpec
from types import ModuleType


class _Without:
    """A finder of modules that finds one less."""

    def __init__(self, name: str) -> None:
        self._name = name

    def find_spec(
        self, name: str, _path: Sequence[str] | None = None, _target: ModuleType | None = None
    ) -> ModuleSpec | None:
        if name == self._name:
            raise ModuleNotFoundError(f"{name} is left out of this process", name=name)
        return None


def leave_pandas_out() -> None:
    """For the rest of this process, pandas is not installed; too late once it is imported."""
    sys.meta_path.insert(0, _Without("pandas"))
