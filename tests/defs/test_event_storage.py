"""Events of a run in SQLite: the files stay open, and nothing stays behind."""

from __future__ import annotations

import sqlite3
from pathlib import Path

import dagster as dg

from timestore_pipeline.defs.resource import kept_open


def test_a_runs_log_is_not_checkpointed_after_every_event_and_is_in_the_end(tmp_path: Path) -> None:
    with dg.DagsterInstance.local_temp(str(tmp_path)) as instance:
        instance.event_log_storage.get_logs_for_run("run")  # makes the file
        logs = {shard: tmp_path / "history" / "runs" / f"{shard}.db-wal" for shard in ("index", "run")}
        with kept_open(instance, "run"):
            instance.report_engine_event("said", job_name="job", run_id="run")
            assert logs["run"].stat().st_size
            _write(logs["index"].with_name("index.db"))
        assert not any(log.exists() for log in logs.values())


def test_other_storages_are_left_alone(instance: dg.DagsterInstance) -> None:
    with kept_open(instance, "run"):
        pass


def _write(path: Path) -> None:
    """What is written is never held up."""
    with sqlite3.connect(path, timeout=0) as connection:
        connection.execute("CREATE TABLE written (n)")
    connection.close()
