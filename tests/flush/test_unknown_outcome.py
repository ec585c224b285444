"""A commit that gets in although its answer is lost, on a real object store: the log is asked, nothing is doubled."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path

import pytest

from tests.flush.conftest import hourly, published
from tests.services.s3 import S3Server, s3_server
from tests.services.s3_proxy import HOW, S3Proxy, proxied
from timestore_pipeline import Settings, StagingManager
from timestore_pipeline.errors import TimestoreError
from timestore_pipeline.model.flush import FlushRef, FlushState, Trigger
from timestore_pipeline.model.lake import ExportedFile
from timestore_pipeline.recovery.shard_audit import verify
from timestore_pipeline.wiring import Timestore

pytestmark = pytest.mark.service
__all__ = ["s3_server"]  # a fixture is found by its name in this module


@pytest.fixture
def proxy(s3_server: S3Server) -> Iterator[S3Proxy]:
    with proxied(s3_server.storage_options) as opened:
        yield opened


@pytest.fixture
def bucket(tmp_path: Path, s3_server: S3Server, proxy: S3Proxy, monkeypatch: pytest.MonkeyPatch) -> Settings:
    """A lake behind the proxy, and a client that waits two seconds and does not try again by itself."""
    options = {**proxy.storage_options, "timeout": "2s", "max_retries": "0", "retry_timeout": "1s"}
    monkeypatch.setattr("timestore_pipeline.wiring.storage_options", lambda: options)
    return Settings.build(home=tmp_path / "home", lake_uri=s3_server.new_bucket() + "/lake")


@pytest.mark.parametrize("how", HOW)
def test_a_commit_whose_answer_is_lost_is_found_in_the_log(bucket: Settings, proxy: S3Proxy, how: str) -> None:
    with StagingManager.open(bucket) as staging, Timestore(bucket) as store:
        staging.enqueue("d", hourly(30))
        store.flush("d", Trigger.MANUAL, "first")
        staging.enqueue("d", hourly(30, 30))
        proxy.lose(how)
        flush_until_drained(store)
        assert len(proxy.lost) == 1
        assert published(store) == list(range(60))
        assert [flush.state for flush in store.area.ledger.flushes.history("d")] == [FlushState.PUBLISHED] * 2
        named = {file.path for file in store.lake.table("d").live_files()}
        recorded = {f.path for flush in store.area.ledger.flushes.history("d") for f in files_of(store, flush.epoch)}
        assert named == recorded
        assert verify(store.area, store.lake).ok


@pytest.mark.parametrize("how", HOW)
def test_a_burn_whose_answer_is_lost_keeps_its_batches(bucket: Settings, proxy: S3Proxy, how: str) -> None:
    with StagingManager.open(bucket) as staging, Timestore(bucket) as store:
        staging.enqueue("d", hourly(30))
        ref = store.pipeline.claim("d", Trigger.MANUAL, "first").ref
        assert ref is not None
        store.pipeline.export(ref, store.export_options())
        proxy.lose(how)
        store.pipeline.give_back()
        assert len(proxy.lost) == 1
        flush_until_drained(store)
        assert published(store) == list(range(30))
        assert verify(store.area, store.lake).ok


def flush_until_drained(store: Timestore) -> None:
    """A flush whose outcome stays unknown for now is settled by the next."""
    for _ in range(5):
        try:
            store.flush("d", Trigger.MANUAL, "again")
        except TimestoreError:
            continue
        if not store.area.backlog("d").queued.batches:
            return
    pytest.fail("the backlog is not drained")


def files_of(store: Timestore, epoch: int) -> list[ExportedFile]:
    return store.area.ledger.flushes.files(FlushRef("d", epoch))
