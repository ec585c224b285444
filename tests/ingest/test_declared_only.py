"""`TIMESTORE_DATASETS=declared`: a misspelt name stages nothing, at whatever door, and the error has the right one."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path

import pytest

from tests.cli.running import complaint, readings, timestore, timestore_json, write_file
from tests.doors.http.serving import post, server
from tests.doors.landing.dropping import drop, take_in
from timestore_pipeline import Settings, StagingManager
from timestore_pipeline.doors.landing.reports import Result
from timestore_pipeline.errors import UndeclaredDataset

ROWS = [{"n": 1}]


@pytest.fixture(autouse=True)
def home(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    monkeypatch.setenv("TIMESTORE_HOME", str(tmp_path))
    timestore("datasets", "set", "weather", "{}")
    monkeypatch.setenv("TIMESTORE_DATASETS", "declared")
    return tmp_path


@pytest.fixture
def staging() -> Iterator[StagingManager]:
    with StagingManager.open(Settings.from_env()) as manager:
        yield manager


def known() -> list[str]:
    return [dataset["dataset"] for dataset in timestore_json("datasets", "list")["datasets"]]


def test_a_declared_dataset_takes_batches(staging: StagingManager) -> None:
    assert staging.enqueue("weather", ROWS).rows == 1


def test_another_is_refused_with_the_nearest_name_and_the_remedy(staging: StagingManager) -> None:
    with pytest.raises(UndeclaredDataset) as refused:
        staging.enqueue("wether", ROWS)
    assert str(refused.value) == "dataset 'wether' is not declared; the nearest that is declared is 'weather'"
    assert "`timestore datasets set wether '{}'`" in refused.value.hint
    assert known() == ["weather"]
    timestore("datasets", "set", "wether", "{}")  # as the hint says
    assert staging.enqueue("wether", ROWS).rows == 1


def test_no_name_is_suggested_that_is_far_from_it(staging: StagingManager) -> None:
    with pytest.raises(UndeclaredDataset, match=r"^dataset 'flights' is not declared$"):
        staging.enqueue("flights", ROWS)


def test_a_removed_dataset_has_to_be_declared_again(staging: StagingManager) -> None:
    timestore("datasets", "remove", "weather")
    with pytest.raises(UndeclaredDataset):
        staging.enqueue("weather", ROWS)


def test_ingest_refuses_it_before_anything_is_staged(home: Path) -> None:
    file = write_file(home / "rows.parquet", readings(10))
    assert "the nearest that is declared is 'weather' [undeclared_dataset]" in complaint("ingest", "wether", file)
    assert known() == ["weather"]


def test_a_landing_file_is_rejected_with_the_reason(home: Path) -> None:
    settings = Settings.build(home=home, landing_directory=home / "landing", landing_settle_ms=0, datasets="declared")
    drop(settings, "rows.csv", b"n\n1\n", dataset="wether")
    [rejected] = take_in(settings)
    assert rejected.result is Result.REJECTED
    assert "the nearest that is declared is 'weather'" in str(rejected.error)
    assert known() == ["weather"]


@pytest.mark.parametrize("content_type", ["application/json", "text/csv"])
def test_http_refuses_it_and_takes_the_dataset_once_it_is_declared(home: Path, content_type: str) -> None:
    body = b'[{"n": 1}]' if content_type == "application/json" else b"n\n1\n"
    with server(home, datasets="declared") as running, running.client() as client:
        refused = post(client, body, content_type, dataset="wether")
        assert (refused.status_code, refused.json()["code"]) == (422, "undeclared_dataset")
        assert client.put("/v1/datasets/wether/metadata", json={}).status_code == 200
        assert post(client, body, content_type, dataset="wether").status_code == 201
