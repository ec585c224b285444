"""Dagster's instance as a program beside Dagster opens it, to read."""

from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

import dagster as dg


@contextmanager
def used_instance(home: Path) -> Iterator[dg.DagsterInstance | None]:
    """home: DAGSTER_HOME. None = no Dagster has used it yet: opening an instance creates its missing files."""
    if not (home / "dagster.yaml").exists() and not (home / "history").exists():
        yield None
        return
    with dg.DagsterInstance.from_config(str(home)) as instance:
        yield instance
