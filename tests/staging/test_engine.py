"""DuckDB instances that depend on nothing outside."""

from __future__ import annotations

import os
import subprocess
import sys
from contextlib import suppress
from pathlib import Path

import duckdb
import pytest

from timestore_pipeline.staging.engine import EnginePool, open_engine


def _setting(name: str, memory_limit_mb: int | None = None, spill: Path | None = None) -> str:
    with open_engine(memory_limit_mb, spill) as connection:
        row = connection.execute(f"SELECT current_setting('{name}')").fetchone()
    assert row is not None
    return str(row[0])


def test_an_engine_counts_in_utc_and_downloads_nothing() -> None:
    assert _setting("TimeZone") == "UTC"
    assert _setting("autoinstall_known_extensions") == "False"
    assert _setting("autoload_known_extensions") == "False"


def test_memory_and_spill_are_bounded_as_asked(tmp_path: Path) -> None:
    assert _setting("memory_limit", 64) == "64.0 MiB"
    spill = tmp_path / "it's"
    assert _setting("temp_directory", spill=spill) == str(spill)


def test_little_memory_is_shared_by_few_threads() -> None:
    assert _setting("threads", 64) == "1"
    assert _setting("threads", 100) == "1"


@pytest.mark.skipif(not hasattr(os, "sched_setaffinity"), reason="this system cannot restrict a process to some cores")
def test_an_engine_has_no_more_threads_than_cores_that_its_process_may_run_on() -> None:
    code = (
        "import os; os.sched_setaffinity(0, [min(os.sched_getaffinity(0))]);"
        "from timestore_pipeline.staging.engine import open_engine as o;"
        """print(o(512).execute("SELECT current_setting('threads')").fetchone()[0])"""
    )
    assert subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True).stdout == "1\n"


def test_no_progress_bar_is_drawn_into_the_output_of_a_program_that_looks_interactive() -> None:
    code = "from timestore_pipeline.staging.engine import open_engine as o;"
    code += "print(o().execute(\"SELECT current_setting('enable_progress_bar')\").fetchall())"
    answer = subprocess.run([sys.executable, "-c", code], check=True, capture_output=True, text=True)
    assert answer.stdout == "[(False,)]\n"


def test_a_pool_lends_the_same_instance_again_with_nothing_left_in_it(tmp_path: Path) -> None:
    pool, spills = EnginePool(), [tmp_path / "a", tmp_path / "b"]
    for spill in spills:
        spill.mkdir()
        with pool.lend(100, spill) as connection:
            assert _names(connection) == ["memory"]
            assert _current(connection, "temp_directory") == str(spill)
            connection.execute(f"ATTACH '{tmp_path / 'some.duckdb'}' AS other")
            connection.execute("CREATE TEMP VIEW staged AS SELECT 1")
            connection.execute("SET GLOBAL default_order = 'DESC'")
    with pool.lend(100, spills[0]) as connection:
        assert _current(connection, "default_order") == "DESC"
    pool.close()


def test_an_instance_that_met_an_error_is_not_lent_again(tmp_path: Path) -> None:
    pool = EnginePool()
    with suppress(duckdb.Error), pool.lend(100, tmp_path) as connection:
        connection.execute("SET GLOBAL default_order = 'DESC'")
        connection.execute("SELECT * FROM nowhere")
    with pool.lend(100, tmp_path) as connection:
        assert _current(connection, "default_order") == "ASCENDING"
    pool.close()


def test_an_instance_that_has_spilled_is_not_lent_again(tmp_path: Path) -> None:
    pool, spill = EnginePool(), tmp_path / "spill"
    spill.mkdir()
    with pool.lend(64, spill) as connection:
        connection.execute("SET GLOBAL default_order = 'DESC'")
        connection.execute("CREATE TEMP TABLE wide AS SELECT range AS n, repeat('x', 900) AS t FROM range(200000)")
        assert any(spill.iterdir())
    with pool.lend(64, tmp_path) as connection:
        assert _current(connection, "default_order") == "ASCENDING"
    pool.close()


def _names(connection: duckdb.DuckDBPyConnection) -> list[str]:
    rows = connection.execute("SELECT database_name FROM duckdb_databases() WHERE NOT internal").fetchall()
    return [name for (name,) in rows]


def _current(connection: duckdb.DuckDBPyConnection, name: str) -> str:
    row = connection.execute(f"SELECT current_setting('{name}')").fetchone()
    assert row is not None
    return str(row[0])
