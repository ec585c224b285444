"""Flushes that are waited for: a real server asks and watches, and the test flushes as a run of the sensor would."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from concurrent.futures import Future, ThreadPoolExecutor
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import httpx
import pyarrow as pa
import pytest
from deltalake import write_deltalake

from tests.doors.http.serving import Server, post, server, stream, table
from timestore_pipeline import Settings
from timestore_pipeline.doors.access.gate import Right, new_token
from timestore_pipeline.errors import TimestoreError
from timestore_pipeline.model.flush import Trigger
from timestore_pipeline.staging.ledger import SENSOR_LAST_TICK
from timestore_pipeline.system import clock
from timestore_pipeline.wiring import Timestore

FLUSH, FLUSH_ALL, DRAIN = "/v1/datasets/d/flush", "/v1/flush", "/v1/drain"
LONG = 60  # seconds that no test takes


@pytest.fixture
def running(home: Path) -> Iterator[Server]:
    with server(home) as started:
        yield started


@pytest.fixture
def store(running: Server, home: Path) -> Iterator[Timestore]:
    with Timestore(Settings.build(home=home)) as opened:
        yield opened


def stage(running: Server, dataset: str = "d") -> None:
    with running.client() as client:
        assert post(client, stream(table()), dataset=dataset).status_code == 201


@contextmanager
def asked(running: Server, path: str) -> Iterator[Future[httpx.Response]]:
    """The answer to a request that waits, in a thread of its own."""

    def ask() -> httpx.Response:
        with running.client(params={"wait": LONG}) as client:
            return client.post(path, timeout=2 * LONG)

    with ThreadPoolExecutor(1) as pool:
        yield pool.submit(ask)


def until(is_so: Callable[[], Any]) -> None:
    deadline = clock.monotonic() + LONG
    while not is_so():
        assert clock.monotonic() < deadline
        clock.sleep(0.02)


def requested(store: Timestore) -> bool:
    return store.area.backlog("d").manual_requested_at is not None


def outcomes(document: dict[str, Any]) -> dict[str, str]:
    return {one["dataset"]: one["outcome"] for one in document["datasets"]}


@pytest.mark.parametrize("path", [FLUSH, FLUSH_ALL, DRAIN])
def test_the_answer_comes_when_everything_is_published(running: Server, store: Timestore, path: str) -> None:
    stage(running)
    with asked(running, path) as answer:
        until(lambda: requested(store))
        assert not answer.done()
        assert store.flush("d", Trigger.MANUAL, "test") is not None
        assert answer.result().status_code == 200
    document = answer.result().json()
    assert (document["done"], document["hint"], outcomes(document)) == (True, "", {"d": "flushed"})
    assert document["datasets"][0]["waiting"] == {"batches": 0, "rows": 0, "bytes": 0}


@pytest.mark.parametrize(("path", "left"), [(FLUSH, 1), (FLUSH_ALL, 1), (DRAIN, 0)])
def test_a_drain_includes_batches_that_arrive_meanwhile_and_a_flush_does_not(
    running: Server, store: Timestore, path: str, left: int
) -> None:
    stage(running)
    with asked(running, path) as answer:
        until(lambda: requested(store))
        claim = store.pipeline.claim("d", Trigger.MANUAL, "test")
        stage(running)
        assert store.pipeline.carry_out(claim, store.export_options()) is not None
        if not left:
            until(lambda: requested(store))  # anew: the first request is fulfilled
            assert store.flush("d", Trigger.MANUAL, "test") is not None
        document = answer.result().json()
    assert (document["done"], outcomes(document)) == (True, {"d": "flushed"})
    assert document["datasets"][0]["waiting"]["batches"] == left


def test_without_a_sensor_the_answer_says_so_and_the_request_stands(running: Server, store: Timestore) -> None:
    stage(running)
    with running.client(params={"wait": 0.1}) as client:
        answer = client.post(FLUSH)
        assert (answer.status_code, outcomes(answer.json())) == (202, {"d": "requested"})
        assert answer.json()["sensor_late"]
        assert "start Dagster, or run `timestore drain`" in answer.json()["hint"]
        assert requested(store)
        store.area.ledger.set_meta(SENSOR_LAST_TICK, str(clock.to_micros(clock.now())))
        again = client.post(DRAIN).json()
        assert (again["done"], again["sensor_late"]) == (False, False)
        assert again["hint"].startswith("the request stands")
        assert store.pipeline.claim("d", Trigger.MANUAL, "test").ref is not None
        assert outcomes(client.post(FLUSH_ALL).json()) == {"d": "in_flight"}


def test_what_a_person_has_to_remove_ends_the_wait(running: Server, store: Timestore, home: Path) -> None:
    stage(running)
    write_deltalake(str(home / "lake" / "d"), pa.table({"n": ["not ours"]}))
    with asked(running, FLUSH) as answer:
        until(lambda: requested(store))
        with pytest.raises(TimestoreError):
            store.flush("d", Trigger.MANUAL, "test")
        assert answer.result().status_code == 202
    [one] = answer.result().json()["datasets"]
    assert one["outcome"] == "blocked"
    assert one["reason"].startswith("blocked: ")


def test_nothing_staged_is_an_answer_at_once(running: Server) -> None:
    with running.client(params={"wait": LONG}) as client:
        client.put("/v1/datasets/d/metadata", json={})
        answer = client.post(FLUSH)
        assert (answer.status_code, outcomes(answer.json())) == (200, {"d": "nothing_staged"})
        assert client.post(DRAIN).json()["datasets"] == []
        assert client.post("/v1/datasets/nowhere/flush").status_code == 404


@pytest.mark.parametrize(
    "query", ["wait=soon", "wait=-1", "wait=301", "wait=nan", "wait=", "wait=1&wait=2", "wait=1_0", "wait=%D9%A1"]
)
def test_a_wait_that_is_no_number_of_seconds_is_refused(client: httpx.Client, query: str) -> None:
    for path in (FLUSH, FLUSH_ALL, DRAIN):
        answer = client.post(f"{path}?{query}")
        assert (answer.status_code, answer.json()["code"]) == (422, "invalid_input")
        assert "0 to 300" in answer.json()["hint"]


def test_a_token_flushes_its_own_datasets_only(home: Path) -> None:
    (secret, operator), (root_secret, root) = (
        new_token(name, Right, [datasets]) for name, datasets in (("north", "north-*"), ("root", "*"))
    )
    file = home / "tokens"
    file.write_text(f"{operator.line}\n{root.line}\n")
    file.chmod(0o600)
    with server(home, api_tokens_file=file) as running:
        with running.client(headers={"authorization": f"Bearer {root_secret}"}) as client:
            for dataset in ("north-1", "south-1"):
                assert post(client, stream(table()), dataset=dataset).status_code == 201
        with running.client(headers={"authorization": f"Bearer {secret}"}) as client:
            for path in (FLUSH_ALL, DRAIN):
                assert outcomes(client.post(path).json()) == {"north-1": "requested"}
    with Timestore(Settings.build(home=home)) as store:
        assert store.area.backlog("south-1").manual_requested_at is None


def test_a_client_that_leaves_makes_room_for_the_next(home: Path) -> None:
    with server(home, limits={"flush_waits": 1, "flush_waits_of_one": 1}) as running, running.client() as client:
        assert post(client, stream(table())).status_code == 201
        with running.connect() as waiting, Timestore(Settings.build(home=home)) as store:
            waiting.sendall(b"POST %s?wait=300 HTTP/1.1\r\nhost: localhost\r\n\r\n" % FLUSH.encode())
            until(lambda: requested(store))
            assert client.post(FLUSH_ALL).status_code == 429
        until(lambda: client.post(FLUSH_ALL).status_code == 202)


def test_a_server_that_stops_answers_those_who_wait(running: Server, store: Timestore) -> None:
    stage(running)
    with asked(running, DRAIN) as answer:
        until(lambda: requested(store))
        assert running.stop() == 0
        assert (answer.result().status_code, answer.result().json()["done"]) == (202, False)
