"""Programs do not import modules they do not need: each is checked in a separate Python."""

from __future__ import annotations

import subprocess
import sys
from pathlib import Path

import pytest

ROOT = Path(__file__).parents[2]

_VERIFY = """
import sys
from timestore_pipeline.cli import main
sys.argv = ["timestore", "verify"]
try:
    main()
except SystemExit as ended:
    assert not ended.code
"""

_PRODUCER = """
import pyarrow as pa
from timestore_pipeline import Settings, StagingManager
with StagingManager.open(Settings.from_env()) as staging:
    assert staging.enqueue("d", pa.table({"n": [1]}), idempotency_key="k").rows == 1
    assert staging.enqueue("d", pa.table({"n": [1]}), idempotency_key="k").duplicate
"""

_VALUES = """
from timestore_pipeline.system.without_pandas import leave_pandas_out
leave_pandas_out()
import pyarrow as pa, pyarrow.dataset
assert pa.array([1]).to_pylist() == [1]
"""


def imported(program: str, home: Path) -> set[str]:
    """The packages that a program has imported at its end."""
    told = f"{program}\nimport sys; print(*{{name.partition('.')[0] for name in sys.modules}}, file=sys.stderr)"
    done = subprocess.run(
        [sys.executable, "-c", told], cwd=ROOT, env={"TIMESTORE_HOME": str(home)}, capture_output=True, text=True
    )
    assert done.returncode == 0, done.stderr
    return set(done.stderr.split())


@pytest.mark.parametrize("program", [_VERIFY, _VALUES], ids=["a command", "any program that asks for it"])
def test_pandas_is_left_out_of_programs_that_are_ours(tmp_path: Path, program: str) -> None:
    assert imported(program, tmp_path) & {"pandas", "pyarrow"} == {"pyarrow"}


def test_a_client_over_http_needs_no_database(tmp_path: Path) -> None:
    assert (
        imported("import timestore_pipeline.client", tmp_path) & {"duckdb", "sqlite3", "deltalake", "pandas"} == set()
    )


def test_a_producer_imports_neither_the_lake_nor_what_pushes_metrics(tmp_path: Path) -> None:
    found = imported("from timestore_pipeline import Settings, StagingManager", tmp_path)
    assert found & {"deltalake", "prometheus_client", "urllib3", "http", "pandas"} == set()


def test_a_producer_that_ends_before_anything_is_rolled_up_imports_no_duckdb(tmp_path: Path) -> None:
    assert imported(_PRODUCER, tmp_path) & {"duckdb", "pyarrow"} == {"pyarrow"}


def test_the_packages_names_are_imported_when_they_are_asked_for(tmp_path: Path) -> None:
    assert "pyarrow" in imported("from timestore_pipeline import StagingManager", tmp_path)
    assert "pyarrow" not in imported("import timestore_pipeline", tmp_path)


def test_a_name_the_package_does_not_have_is_said_to_be_missing() -> None:
    with pytest.raises(ImportError, match="Setings"):
        exec("from timestore_pipeline import Setings")
