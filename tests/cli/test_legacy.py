"""`timestore legacy`: direct writers are found, and their rows get in."""

from __future__ import annotations

import shutil
import signal
import subprocess
from pathlib import Path

import pytest

from tests.cli.running import ROOT, command, complaint, readings, staged, timestore, timestore_json, write_file
from tests.services.s3 import S3Server, s3_server
from timestore_pipeline.settings import Settings
from timestore_pipeline.system import clock
from timestore_pipeline.wiring import Timestore

__all__ = ["s3_server"]  # a fixture is found by its name in this module


def pending_rows() -> int:
    with Timestore(Settings.from_env()) as store:
        return sum(status.backlog.pending.rows for status in store.statuses())


def stray(home: Path, dataset: str = "weather", rows: int = 5) -> Path:
    """What a forgotten cron job writes."""
    folder = home / "lake" / dataset / "partition_date=2013-01-01"
    folder.mkdir(parents=True, exist_ok=True)
    return write_file(folder / "from-cron.parquet", readings(rows, first=1000))


def a_table(home: Path) -> None:
    staged(home)
    timestore("flush", "weather", "--now")


def test_a_lake_that_only_flushes_write_has_nothing_to_tell(home: Path) -> None:
    a_table(home)
    assert timestore("legacy", "audit") == "every Parquet file in the lake is known\n"
    assert timestore_json("legacy", "audit") == {"ok": True, "datasets": []}


def test_a_file_that_no_commit_names_is_found(home: Path) -> None:
    a_table(home)
    path = stray(home)
    document = timestore_json("legacy", "audit", "weather", code=1)
    [weather] = document["datasets"]
    [file] = weather["files"]
    assert (document["ok"], weather["dataset"]) == (False, "weather")
    assert (file["path"], file["bytes"]) == ("partition_date=2013-01-01/from-cron.parquet", path.stat().st_size)
    assert "from-cron.parquet" in timestore("legacy", "audit", code=1)


def test_a_folder_without_a_table_is_looked_into(home: Path) -> None:
    stray(home, "never-heard-of")
    [found] = timestore_json("legacy", "audit", code=1)["datasets"]
    assert found["dataset"] == "never-heard-of"


def test_an_unknown_dataset_is_not_a_clean_one(home: Path) -> None:
    assert "[unknown_dataset]" in complaint("legacy", "audit", "wether")


def test_verify_sees_it_and_names_the_remedy(home: Path) -> None:
    a_table(home)
    stray(home)
    [warning] = timestore_json("verify")["datasets"][0]["warnings"]
    assert warning["code"] == "unmanaged_file"
    assert "timestore legacy import" in warning["hint"]


def test_verify_sees_it_before_there_is_a_table(home: Path) -> None:
    staged(home)
    stray(home)
    [audit] = timestore_json("verify")["datasets"]
    assert (audit["ok"], [warning["code"] for warning in audit["warnings"]]) == (True, ["unmanaged_file"])


def test_what_audit_finds_gets_in_and_the_lake_is_clean(home: Path) -> None:
    a_table(home)
    stray(home)
    document = timestore_json("legacy", "import", "weather", "--delete")
    assert (document["imported"], document["rows"], document["error"]) == (1, 5, None)
    timestore("flush", "weather", "--now")
    timestore("legacy", "audit")
    assert timestore_json("query", "SELECT count(*) AS rows FROM weather") == [{"rows": 45}]
    assert timestore_json("verify")["datasets"][0]["warnings"] == []


def test_a_leftover_of_a_flush_is_not_imported(home: Path) -> None:
    a_table(home)
    published = next((home / "lake" / "weather").rglob("part-*.parquet"))
    shutil.copy(published, published.with_name("part-shard-0-0000000009-0123456789ab.parquet"))
    assert "every Parquet file" in complaint("legacy", "import", "weather")


def test_the_lake_itself_is_no_source(home: Path) -> None:
    a_table(home)
    for path in (home / "lake" / "weather", home / "lake", home, home / "staging" / "spool"):
        assert "[not_importable]" in complaint("legacy", "import", "weather", path)
    assert pending_rows() == 0


def test_a_tree_elsewhere_gets_in(home: Path, tmp_path_factory: pytest.TempPathFactory) -> None:
    tree = tmp_path_factory.mktemp("tree")
    write_file(tree / "a.parquet", readings(5))
    (tree / "b.parquet").write_text("none")
    output = timestore("legacy", "import", "weather", tree, code=1)
    assert output == "weather: 5 rows of 1 file, 1 file failed\n"
    assert pending_rows() == 5


def test_a_killed_import_is_gone_on_with_and_no_row_is_doubled(
    home: Path, tmp_path_factory: pytest.TempPathFactory
) -> None:
    tree = tmp_path_factory.mktemp("tree")
    for number in range(3):
        write_file(tree / f"{number}.parquet", readings(100_000, first=100_000 * number))
    line = ("legacy", "import", "weather", tree)
    with subprocess.Popen(command(*line), cwd=ROOT, stdout=subprocess.DEVNULL) as process:
        while process.poll() is None and pending_rows() == 0:
            clock.sleep(0.01)
        process.send_signal(signal.SIGKILL)
    document = timestore_json(*line)
    assert document["duplicate_rows"] > 0 or document["skipped"] > 0
    assert pending_rows() == 300_000


@pytest.mark.service
def test_a_bucket_is_audited_and_imported(home: Path, s3_server: S3Server, monkeypatch: pytest.MonkeyPatch) -> None:
    for name, value in s3_server.storage_options.items():
        monkeypatch.setenv(name, value)
    monkeypatch.setenv("TIMESTORE_LAKE_URI", s3_server.new_bucket())
    a_table(home)
    lake = Settings.from_env().lake_uri.removeprefix("s3://")
    content = write_file(home / "stray.parquet", readings(5, first=1000)).read_bytes()
    with s3_server.filesystem().open_output_stream(f"{lake}/weather/stray.parquet") as stream:
        stream.write(content)
    assert timestore_json("legacy", "audit", code=1)["datasets"][0]["files"][0]["path"] == "stray.parquet"
    assert timestore_json("legacy", "import", "weather", "--delete")["rows"] == 5
    timestore("legacy", "audit")
    assert pending_rows() == 5


def test_a_link_into_the_lake_leads_to_rows_that_are_in_already(home: Path, tmp_path: Path) -> None:
    a_table(home)
    link = tmp_path / "elsewhere"
    link.symlink_to(home)
    assert "overlap" in complaint("legacy", "import", "weather", link / "lake" / "weather")
