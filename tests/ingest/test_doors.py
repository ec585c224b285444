"""What a producer meets at the door: typed errors only, and a word about columns that cost readers something."""

from __future__ import annotations

import logging
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

import pyarrow as pa
import pyarrow.parquet as pq
import pytest

from timestore_pipeline.errors import InvalidData, SchemaConflict
from timestore_pipeline.ingest import catalog
from timestore_pipeline.ingest.formats.sources import open_source
from timestore_pipeline.ingest.manager import StagingManager
from timestore_pipeline.ingest.staging_loop import StagingLoop
from timestore_pipeline.ingest.values import exact_cast, interpret
from timestore_pipeline.staging.area import StagingArea

AT = datetime(2026, 1, 1, tzinfo=UTC)
CODES = pa.table({"at": [AT], "v": pa.array(["a"]).dictionary_encode()})


class Exporter:
    """Data of a library whose Arrow export fails."""

    def __init__(self, error: Exception) -> None:
        self.error = error

    def __arrow_c_stream__(self, requested_schema: object = None) -> object:
        raise self.error


@pytest.mark.parametrize("error", [KeyError("k"), NotImplementedError(), pa.ArrowKeyError("k"), RuntimeError("x")])
def test_an_export_that_fails_is_invalid_data(error: Exception, manager: StagingManager) -> None:
    with pytest.raises(InvalidData, match="Exporter cannot be read as a table"):
        manager.submit("d", Exporter(error))


@pytest.mark.parametrize("error", [pa.ArrowNotImplementedError, pa.ArrowKeyError, ValueError, OverflowError, TypeError])
@pytest.mark.parametrize("place", [(interpret, "plain_values"), (exact_cast, "_leaf")], ids=["decoding", "casting"])
def test_what_arrow_cannot_do_with_a_column_is_invalid_data_that_names_it(
    error: type[Exception], place: tuple[Any, str], manager: StagingManager, monkeypatch: pytest.MonkeyPatch
) -> None:
    failed = []

    def fail(*args: object) -> None:
        failed.append(args)
        raise error("no kernel")

    monkeypatch.setattr(*place, fail)
    for call in (manager.submit, manager.check):
        with pytest.raises(InvalidData, match=r"column '(v|at)' has type .*no kernel"):
            call("d", CODES)
    assert len(failed) == 2


def test_an_error_of_arrows_from_anywhere_else_is_invalid_data(
    manager: StagingManager, monkeypatch: pytest.MonkeyPatch
) -> None:
    def fail(*_: object) -> None:
        raise pa.ArrowNotImplementedError("no kernel")

    monkeypatch.setattr(catalog, "interpret", fail)
    with pytest.raises(InvalidData, match=r"'v' \(dictionary.*no kernel"):
        manager.submit("d", CODES)


def test_the_log_names_a_local_column_once(manager: StagingManager, caplog: pytest.LogCaptureFixture) -> None:
    rows = [{"at": AT, "s": {"local": AT.replace(tzinfo=None)}}]
    with caplog.at_level(logging.WARNING):
        for _ in range(3):
            manager.enqueue("d", rows)
        manager.enqueue("d", [{"at": AT, "n": 1}])
    [message] = [record.getMessage() for record in caplog.records]
    assert "'s.local'" in message
    assert "timestampNtz" in message
    assert "schema.localTimestamps" in message


def test_a_refused_value_of_a_file_is_named_with_the_row_of_the_file(manager: StagingManager, tmp_path: Path) -> None:
    pq.write_table(pa.table({"at": pa.array([0, 1000, 2000, 3001], pa.timestamp("ns", "UTC"))}), tmp_path / "f.parquet")
    loop = StagingLoop(manager, "d", 3, None, lambda _: None)
    with pytest.raises(InvalidData, match="column 'at', row 3: 1970"):
        loop.run([open_source(tmp_path / "f.parquet")])


def test_a_time_of_day_never_mixes_with_a_count(manager: StagingManager, area: StagingArea) -> None:
    manager.enqueue("d", pa.table({"at": [AT], "v": pa.array([1], pa.duration("us")), "n": [1]}))
    assert area.ledger.datasets.get("d").schema == pa.schema(
        [("at", pa.timestamp("us", "UTC")), ("v", pa.duration("us")), ("n", pa.int64())]
    )
    for name, array in (("v", pa.array([1])), ("n", pa.array([1], pa.duration("us")))):
        with pytest.raises(SchemaConflict, match=f"column '{name}' is") as caught:
            manager.submit("d", pa.table({"at": [AT], name: array}))
        assert ("duration" in caught.value.hint) == (name == "v")
