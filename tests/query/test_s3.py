"""A lake in a bucket is read together with staged rows, against a real server."""

from __future__ import annotations

from pathlib import Path

import pytest

from tests.flush.conftest import hourly
from tests.query.answers import numbers, published_numbers
from tests.services.s3 import S3Server, s3_server
from timestore_pipeline import Settings, StagingManager
from timestore_pipeline.model.flush import Trigger
from timestore_pipeline.wiring import Timestore

pytestmark = pytest.mark.service
__all__ = ["s3_server"]  # a fixture is found by its name in this module


def test_published_rows_in_a_bucket_and_staged_ones(
    s3_server: S3Server, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    for name, value in s3_server.storage_options.items():
        monkeypatch.setenv(name, value)
    settings = Settings.build(home=tmp_path, lake_uri=f"{s3_server.new_bucket()}/lake")
    with Timestore(settings) as store, StagingManager.open(settings) as staging:
        staging.enqueue("d", hourly(30))
        store.flush("d", Trigger.MANUAL, "test")
        staging.enqueue("d", hourly(30, first=30))
        assert numbers(store) == list(range(60))
        assert published_numbers(settings) == list(range(30))
