"""After every test, each table that it published is opened by every documented reader, and must be whole.

A table that no reader opens is the worst that a flush can do, and no test of something else would notice. Looked at are
the folders of `tmp_path` and of `settings`, before they are removed. A test that makes a table unreadable on purpose
says so with the mark `unreadable_table`; one that damages files need not.
"""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path
from typing import Any
from urllib.parse import unquote

import pyarrow as pa
import pyarrow.parquet as pq
import pytest
from deltalake import DeltaTable

from tests.lake.reading import check_readable
from timestore_pipeline import Settings
from timestore_pipeline.lake.faults import is_unsupported

_MOST_FILES = 50  # of a larger table only the log is read


@pytest.hookimpl(wrapper=True)
def pytest_runtest_teardown(item: pytest.Item) -> Iterator[None]:
    """Looks before the fixtures remove anything, and complains after they have."""
    exempt = item.get_closest_marker("unreadable_table") is not None
    problems = [] if exempt else unreadable_tables(_folders(item))
    yield
    if problems:
        pytest.fail("the test left a table that cannot be read:\n" + "\n".join(problems), pytrace=False)


def unreadable_tables(folders: Iterator[Path]) -> list[str]:
    """What is wrong with the tables under some folders, one line for each."""
    return [problem for folder in folders for log in folder.rglob("_delta_log") if (problem := _problem(log.parent))]


def _folders(item: pytest.Item) -> Iterator[Path]:
    found = set()
    for value in getattr(item, "funcargs", {}).values():
        folder = Path(value.lake_uri) if isinstance(value, Settings) else value
        if isinstance(folder, Path) and folder.is_dir():
            found.add(folder)
    yield from (folder for folder in found if found.isdisjoint(folder.parents))


def _problem(folder: Path) -> str:
    try:
        table = DeltaTable(folder)
    except Exception as error:  # noqa: BLE001  # a torn log is the test's own doing
        return f"{folder}: {error}" if is_unsupported(error) else ""
    files = pa.table(table.get_add_actions()).to_pylist()
    if len(files) > _MOST_FILES or not all(_is_sound(folder, file) for file in files):
        return ""
    try:
        check_readable(str(folder))
    except Exception as error:  # noqa: BLE001  # whatever a reader raises
        return f"{folder}: {type(error).__name__}: {error}"
    return ""


def _is_sound(folder: Path, file: dict[str, Any]) -> bool:
    path = folder / unquote(file["path"])
    try:
        rows = pq.ParquetFile(path).read().num_rows
        return bool((path.stat().st_size, rows) == (file["size_bytes"], file["num_records"]))
    except Exception:  # noqa: BLE001  # whatever Arrow raises
        return False
