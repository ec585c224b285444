"""A lake in a bucket is read and written for a moment, against a real server."""

from __future__ import annotations

import pytest

from demo.processes import free_port
from tests.services.s3 import S3Server, s3_server
from tests.tools.doctor.looking import seen
from timestore_pipeline.errors import RetryLater, TimestoreError
from timestore_pipeline.tools.doctor.examination import Deployment, Status
from timestore_pipeline.tools.doctor.surroundings import lake_access

pytestmark = pytest.mark.service
__all__ = ["s3_server"]  # a fixture is found by its name in this module


def test_a_bucket_that_answers_is_left_as_it_was(s3_server: S3Server, monkeypatch: pytest.MonkeyPatch) -> None:
    bucket = s3_server.new_bucket()
    for name, value in s3_server.storage_options.items():
        monkeypatch.setenv(name, value)
    monkeypatch.setenv("TIMESTORE_LAKE_URI", f"{bucket}/prefix")
    assert "tables: 0; it can be written" in seen("lake", Status.OK)
    [left] = s3_server.filesystem().get_file_info([f"{bucket.removeprefix('s3://')}/prefix/x"])
    assert left.type.name == "NotFound"


def test_a_wrong_secret_fails(s3_server: S3Server, monkeypatch: pytest.MonkeyPatch) -> None:
    for name, value in s3_server.storage_options.items():
        monkeypatch.setenv(name, value)
    monkeypatch.setenv("AWS_SECRET_ACCESS_KEY", "wrong")
    monkeypatch.setenv("TIMESTORE_LAKE_URI", f"{s3_server.new_bucket()}/prefix")
    with pytest.raises(TimestoreError, match=r"(?i)access.?denied|signature|forbidden"):
        list(lake_access(Deployment.from_env()))


def test_a_store_that_is_away_fails(monkeypatch: pytest.MonkeyPatch) -> None:
    for name, value in {"ACCESS_KEY_ID": "a", "SECRET_ACCESS_KEY": "b", "REGION": "us-east-1"}.items():
        monkeypatch.setenv(f"AWS_{name}", value)
    monkeypatch.setenv("AWS_ENDPOINT_URL", f"http://127.0.0.1:{free_port()}")
    monkeypatch.setenv("TIMESTORE_LAKE_URI", "s3://bucket/prefix")
    with pytest.raises(RetryLater):
        list(lake_access(Deployment.from_env()))
