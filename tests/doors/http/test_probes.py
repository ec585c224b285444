"""Probes and metrics tell the truth, and cost the ledger at most one question a second."""

from __future__ import annotations

import asyncio
import json
import subprocess
from collections.abc import Iterator
from pathlib import Path

import httpx
import pytest
from prometheus_client.parser import text_string_to_metric_families

from tests.cli.running import timestore_json
from tests.doors.http.serving import Server, post, server, stream, table
from timestore_pipeline.doors.http.probes import Fresh
from timestore_pipeline.system import clock


def test_a_server_that_can_take_batches_is_ready(client: httpx.Client) -> None:
    assert client.get("/health").json() == {"status": "alive"}
    assert client.get("/ready").json() == {"status": "ready"}
    assert client.head("/health").status_code == 200


def test_a_full_disk_is_not_ready_and_refuses_with_507(tmp_path: Path) -> None:
    mounted = subprocess.run(["mount", "-t", "tmpfs", "-o", "size=48m", "tmpfs", tmp_path], check=False)
    if mounted.returncode:
        pytest.skip("needs root, to mount a small filesystem")
    try:
        with server(tmp_path) as running, running.client() as client:
            assert client.get("/ready").status_code == 200
            with pytest.raises(OSError, match="No space left"):
                (tmp_path / "ballast").write_bytes(bytes(48 << 20))
            while (answer := client.get("/ready")).status_code == 200:  # an answer is fresh for a second
                clock.sleep(0.05)
            assert (answer.status_code, answer.json()["code"]) == (507, "disk_full")
            assert "retry-after" in answer.headers
            assert client.get("/health").status_code == 200
            answer = post(client, stream(table(50_000)))
            assert (answer.status_code, answer.json()["code"]) == (507, "disk_full"), answer.text
            (tmp_path / "ballast").unlink()
            assert post(client, stream(table(10))).status_code == 201
    finally:
        subprocess.run(["umount", "-l", tmp_path], check=True)


def test_metrics_are_the_expositions(client: httpx.Client) -> None:
    post(client, stream(table(10)), dataset="measured")
    answer = client.get("/metrics")
    assert answer.headers["content-type"].startswith("text/plain; version=0.0.4")
    families = {family.name for family in text_string_to_metric_families(answer.text)}
    assert "timestore_staging_queue_depth" in families


def test_the_status_is_the_command_lines(shared: Server, client: httpx.Client, monkeypatch: pytest.MonkeyPatch) -> None:
    post(client, stream(table(10)), dataset="same")
    monkeypatch.setenv("TIMESTORE_HOME", str(shared.log.parent))
    printed, asked = timestore_json("status", "same"), client.get("/v1/datasets/same").json()
    for document in (printed, asked):
        assert document["datasets"][0].pop("oldest_age_seconds") >= 0
        document["datasets"][0].pop("reason")  # it tells the age, too
    assert asked == printed
    assert "same" in [status["dataset"] for status in client.get("/v1/datasets").json()["datasets"]]


def test_a_flush_is_requested_once_there_is_something_to_flush(client: httpx.Client) -> None:
    metadata = client.put("/v1/datasets/flushed/metadata", json={"timeColumn": "at"})
    assert (metadata.status_code, metadata.json()["metadata"]) == (200, {"timeColumn": "at"})
    assert client.post("/v1/datasets/flushed/flush").json() == {"dataset": "flushed", "outcome": "nothing_staged"}
    post(client, stream(table(10)), dataset="flushed")
    answer = client.post("/v1/datasets/flushed/flush")
    assert (answer.status_code, answer.json()["outcome"]) == (202, "requested")


def test_request_ids_are_kept_when_they_are_sane(shared: Server, client: httpx.Client) -> None:
    assert client.get("/health", headers={"x-request-id": "job-7/1"}).headers["x-request-id"] == "job-7/1"
    for odd in ("a b", "x" * 129, 'x"', ""):
        assert client.get("/health", headers={"x-request-id": odd}).headers["x-request-id"] not in (odd, "")
    assert "path=/health status=200" in shared.logged("request_id=job-7/1")


def test_the_access_log_has_one_line_per_request_whatever_the_path(shared: Server, client: httpx.Client) -> None:
    client.get("/a%0Ab%1b[31m?secret=1", headers={"x-request-id": "odd-path"})
    line = shared.logged("odd-path")
    assert "path=/a%0Ab%1b[31m status=404" in line
    assert "secret" not in line


def test_many_who_ask_at_once_share_an_answer() -> None:
    asked = 0

    async def ask() -> int:
        nonlocal asked
        asked += 1
        await asyncio.sleep(0)
        return asked

    async def crowd() -> list[int]:
        fresh = Fresh(ask)
        return await asyncio.gather(*(fresh.get() for _ in range(50)))

    assert asyncio.run(crowd()) == [1] * 50


def test_an_error_is_not_remembered() -> None:
    answers: Iterator[ValueError | int] = iter([ValueError("no"), 7])

    async def ask() -> int:
        answer = next(answers)
        if isinstance(answer, ValueError):
            raise answer
        return answer

    async def twice() -> int:
        fresh = Fresh(ask)
        with pytest.raises(ValueError, match="no"):
            await fresh.get()
        return await fresh.get()

    assert asyncio.run(twice()) == 7


def test_the_description_is_json(client: httpx.Client) -> None:
    assert json.loads(client.get("/openapi.json").text)["openapi"] == "3.1.0"
