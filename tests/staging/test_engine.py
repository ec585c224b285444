"""DuckDB instances that depend on nothing outside."""

from __future__ import annotations

import subprocess
import sys
from pathlib import Path

from timestore_pipeline.staging.engine import open_engine, text


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


def test_a_text_is_quoted() -> None:
    assert text("it's") == "'it''s'"


def test_no_progress_bar_is_drawn_into_the_output_of_a_program_that_looks_interactive() -> None:
    code = "from timestore_pipeline.staging.engine import open_engine as o;"
    code += "print(o().execute(\"SELECT current_setting('enable_progress_bar')\").fetchall())"
    answer = subprocess.run([sys.executable, "-c", code], check=True, capture_output=True, text=True)
    assert answer.stdout == "[(False,)]\n"
