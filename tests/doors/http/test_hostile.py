"""Hostile bodies: never a server error, never a hang, never part of a batch, and memory stays bounded."""

from __future__ import annotations

import itertools
import os
from collections import Counter
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

import httpx
import pytest

from tests.doors.http.hostile import Sample, corpus, good, variations
from tests.doors.http.serving import Server, post, server
from timestore_pipeline import Settings
from timestore_pipeline.wiring import Timestore

MIB = 1 << 20
REFUSED = {400, 409, 413, 422}


def variation_count() -> int:
    """How many: few in the suite, more on demand."""
    return int(os.environ.get("TIMESTORE_TEST_REQUESTS", "300"))


@pytest.fixture(scope="module")
def running(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Server]:
    with server(tmp_path_factory.mktemp("home"), "--quiet", api_max_body_bytes=4 * MIB) as running:
        yield running


def send(client: httpx.Client, sample: Sample, dataset: str) -> httpx.Response:
    _, content_type, body, packed = sample
    encoding = {"content_encoding": "gzip"} if packed else {}
    return post(client, body, content_type, dataset, **encoding)


@pytest.mark.parametrize("sample", list(corpus()), ids=lambda sample: sample[0])
def test_a_hostile_body_is_refused_or_staged_as_a_whole(running: Server, sample: Sample) -> None:
    with running.client() as client:
        answer = send(client, sample, "corpus-" + sample[0].replace(" ", "-"))
        assert answer.status_code in REFUSED | {201}, answer.text
        assert client.get("/ready").status_code == 200
    assert running.resident_bytes() < 1500 * MIB


def test_good_bodies_are_good(running: Server) -> None:
    with running.client() as client:
        for number, (content_type, body) in enumerate(good().items()):
            answer = send(client, ("", content_type, body, False), f"good-{number}")
            assert (answer.status_code, answer.json().get("rows")) == (201, 50), answer.text


def test_no_variation_is_a_server_error_or_part_of_a_batch(running: Server) -> None:
    """Datasets are few, so that damaged batches meet each other's schemas."""
    with running.client() as client, ThreadPoolExecutor(4) as senders:
        samples = itertools.islice(variations(seed=20130101), variation_count())
        answers = senders.map(lambda item: send(client, item[1], f"varied-{item[0] % 40}"), enumerate(samples))
        found = Counter[int]()
        rows = Counter[str]()
        for answer in answers:
            found[answer.status_code] += 1
            assert answer.status_code in REFUSED | {201}, answer.text
            if answer.status_code == 201:
                rows[answer.json()["dataset"]] += answer.json()["rows"]
    assert set(found) >= {201, 400}, found
    with Timestore(Settings.build(home=running.log.parent)) as store:
        staged = {status.backlog.dataset: status.backlog.queued.rows for status in store.statuses()}
    assert Counter({name: amount for name, amount in staged.items() if name.startswith("varied")}) == rows
    assert running.resident_bytes() < 1500 * MIB


def test_the_spool_is_empty_afterwards(running: Server) -> None:
    spool: Path = running.log.parent / "staging" / "spool"
    assert list(spool.glob("*/*")) == []
