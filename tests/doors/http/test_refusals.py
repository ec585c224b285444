"""A body that cannot be staged is refused with a status, a code and a hint on what to do; nothing is staged."""

from __future__ import annotations

import gzip
import json
from concurrent.futures import ThreadPoolExecutor, as_completed
from pathlib import Path
from typing import Any

import httpx
import pyarrow as pa
import pytest

from tests.doors.http.serving import ARROW, Server, post, server, staged_batches, stream, table
from tests.ingest.map_streams import BAD, GOOD, LISTED, MAP
from tests.ingest.map_streams import stream as map_stream
from timestore_pipeline import errors
from timestore_pipeline.doors.http.problems import STATUSES, status_of

JSON = "application/json"


def refusal(answer: httpx.Response) -> tuple[int, str]:
    """Status and code, of an answer that has all a problem must have."""
    assert answer.headers["content-type"] == "application/problem+json"
    problem = answer.json()
    assert problem["status"] == answer.status_code
    assert problem["type"] == f"urn:timestore:error:{problem['code']}"
    assert problem["detail"]
    assert problem["hint"]
    assert problem["request_id"] == answer.headers["x-request-id"]
    return answer.status_code, problem["code"]


@pytest.mark.parametrize(
    ("content_type", "body", "expected"),
    [
        (ARROW, b"", (400, "unreadable_input")),
        (ARROW, b"not arrow", (400, "unreadable_input")),
        (ARROW, stream(table())[:-8], (400, "unreadable_input")),
        (ARROW, stream(table())[:-100], (400, "unreadable_input")),
        (ARROW, stream(table()) + stream(table()), (400, "unreadable_input")),
        ("application/vnd.apache.parquet", b"PAR1....PAR1", (400, "unreadable_input")),
        ("text/csv", b"a,b\n1\n", (400, "unreadable_input")),
        ("text/csv", b"a\n\xff\n", (400, "unreadable_input")),
        ("application/x-ndjson", b'{"a": 1}\n{"a": ', (400, "unreadable_input")),
        (JSON, b'{"a": 1}', (400, "unreadable_input")),
        (JSON, b"[1]", (422, "invalid_data")),
        (JSON, b'[{"a": 1}, {"a": "x"}]', (422, "invalid_data")),
        (JSON, b"[]", (422, "invalid_data")),
        ("text/plain", b"hello", (415, "unsupported_type")),
        ("nonsense", b"hello", (415, "unsupported_type")),
        ("text/csv; charset=klingon", b"a\n1\n", (415, "unsupported_type")),
        ("text/csv; charset=utf-8; charset=latin-1", b"a\n1\n", (415, "unsupported_type")),
        ('text/csv; x="' + ";" * 15_000, b"a\n1\n", (415, "unsupported_type")),
        ("text/csv; delimiter=x", b"a\n1\n", (415, "unsupported_type")),
        ("text/csv; header=perhaps", b"1\n", (415, "unsupported_type")),
        ("text/csv; header=absent", b"1\n", (422, "invalid_data")),
        ("application/x-ndjson; charset=latin-1", b'{"a": 1}', (415, "unsupported_type")),
        ("text/csv", b"a\n" + b"1\n" * 600_000, (413, "body_too_large")),
        ("application/x-ndjson", b'{"a": "' + b"x" * 1_100_000 + b'"}', (413, "body_too_large")),
    ],
    ids=lambda given: str(given)[:60],  # pytest tells it to all processes in their environment, which is not large
)
def test_a_body_is_refused(client: httpx.Client, content_type: str, body: bytes, expected: tuple[int, str]) -> None:
    assert refusal(post(client, body, content_type, "refused")) == expected


def test_rows_that_are_small_packed_and_large_in_memory_are_too_large(client: httpx.Client) -> None:
    long = pa.DictionaryArray.from_arrays(pa.array([0] * 1000, pa.int8()), ["x" * 10_000])
    assert refusal(post(client, stream(pa.table({"a": long})), dataset="refused")) == (413, "body_too_large")


def test_a_gzip_bomb_is_too_large(client: httpx.Client) -> None:
    bomb = gzip.compress(bytes(50 << 20))
    assert refusal(post(client, bomb, "text/csv", "refused", content_encoding="gzip")) == (413, "body_too_large")


@pytest.mark.parametrize("encoding", ["br", "gzip, gzip", "deflate"])
def test_other_encodings_are_not_read(client: httpx.Client, encoding: str) -> None:
    answer = post(client, b"a\n1\n", "text/csv", "refused", content_encoding=encoding)
    assert refusal(answer) == (415, "unsupported_type")


def test_a_changed_type_is_a_conflict_that_names_column_and_types(client: httpx.Client) -> None:
    post(client, stream(pa.table({"a": [1]})), dataset="changed")
    answer = post(client, stream(pa.table({"a": ["x"]})), dataset="changed")
    assert refusal(answer) == (409, "schema_conflict")
    problem = answer.json()
    assert (problem["column"], problem["existing"], problem["incoming"]) == ("a", "int64", "string")


def test_a_map_with_a_key_twice_is_refused_with_its_row(client: httpx.Client) -> None:
    tags = pa.array([[("a", 1)], [("a", 1), ("a", 2)]], pa.map_(pa.string(), pa.int64()))
    answer = post(client, stream(pa.table({"tags": tags})), dataset="refused")
    assert refusal(answer) == (422, "invalid_data")
    assert "column 'tags{key}', row 1: 'a' was taken for a key, which its map has twice" in answer.json()["detail"]


def test_a_map_with_a_null_key_is_refused_with_its_row(client: httpx.Client) -> None:
    answer = post(client, map_stream(MAP, LISTED, [GOOD, BAD]), dataset="refused")
    assert refusal(answer) == (422, "invalid_data")
    assert "column 'v{key}', row 1: null was taken for a key" in answer.json()["detail"]


@pytest.mark.parametrize("name", ["UPPER", "a b", "-a", "x" * 121, "ü"])
def test_a_name_that_is_none_is_invalid(client: httpx.Client, name: str) -> None:
    assert refusal(post(client, b"a\n1\n", "text/csv", name)) == (422, "invalid_dataset_name")


def test_a_header_that_is_given_twice_is_ambiguous(client: httpx.Client) -> None:
    headers = [("content-type", "text/csv"), ("idempotency-key", "a"), ("idempotency-key", "b")]
    answer = client.post("/v1/datasets/refused/batches", content=b"a\n1\n", headers=headers)
    assert refusal(answer) == (422, "invalid_input")


@pytest.mark.parametrize("key", [b"", b"x" * 513, b"\xff"])
def test_a_key_that_is_no_text_is_invalid(client: httpx.Client, key: bytes) -> None:
    headers: Any = {"content-type": "text/csv", "idempotency-key": key}
    answer = client.post("/v1/datasets/refused/batches", content=b"a\n1\n", headers=headers)
    assert refusal(answer) == (422, "invalid_input")


@pytest.mark.parametrize(
    ("method", "path", "expected"),
    [
        ("GET", "/v1/datasets/nowhere", (404, "unknown_dataset")),
        ("POST", "/v1/datasets/nowhere/flush", (404, "unknown_dataset")),
        ("GET", "/nowhere", (404, "not_found")),
        ("GET", "/v1/datasets/", (404, "not_found")),
        ("GET", "/v1/datasets/d/batches", (405, "method_not_allowed")),
        ("DELETE", "/v1/datasets", (405, "method_not_allowed")),
    ],
)
def test_what_is_not_there_is_not_there(
    client: httpx.Client, method: str, path: str, expected: tuple[int, str]
) -> None:
    assert refusal(client.request(method, path)) == expected


@pytest.mark.parametrize(
    ("document", "expected"),
    [
        (b'{"unknown": 1}', (422, "invalid_metadata")),
        (b"{", (422, "invalid_metadata")),
        (b"\xff", (400, "unreadable_input")),
        (b'{"description": "' + b"x" * 70_000 + b'"}', (413, "body_too_large")),
        (json.dumps({"staging": {"flush": {"maxBytes": 10**12}}}).encode(), (422, "invalid_metadata")),
    ],
    ids=["unknown key", "not JSON", "not text", "too large", "above the guardrail"],
)
def test_metadata_is_refused(client: httpx.Client, document: bytes, expected: tuple[int, str]) -> None:
    answer = client.put("/v1/datasets/refused/metadata", content=document, headers={"content-type": JSON})
    assert refusal(answer) == expected


def test_nothing_of_what_was_refused_is_staged(shared: Server, client: httpx.Client) -> None:
    post(client, b'{"a": 1}\n{"a": ', "application/x-ndjson", "refused")
    answer = client.get("/v1/datasets").json()
    assert [status["pending"]["batches"] for status in answer["datasets"] if status["dataset"] == "refused"] in (
        [],
        [0],
    )


def test_a_guardrail_in_hard_mode_is_507_with_the_time_to_retry(home: Path) -> None:
    limits: dict[str, Any] = {
        "staging_max_dataset_bytes": 20_000,
        "staging_flush_max_bytes": 10_000,
        "staging_guardrail_mode": "hard",
    }
    with server(home, **limits) as running, running.client() as client:
        answer = post(client, stream(table(5_000)))
        assert refusal(answer) == (507, "guardrail_exceeded")
        assert int(answer.headers["retry-after"]) >= 1
    assert staged_batches(home) == 0


def test_a_body_that_is_not_there_yet_takes_no_place(home: Path) -> None:
    with server(home, limits={"batches": 1}) as running, running.client() as client, running.connect() as slow:
        slow.sendall(b"POST /v1/datasets/d/batches HTTP/1.1\r\nhost: localhost\r\ncontent-type: text/csv\r\n")
        slow.sendall(b"content-length: 4\r\nexpect: 100-continue\r\n\r\n")
        assert b"100 Continue" in slow.recv(1000), "the server has begun with it"
        assert post(client, stream(table())).status_code == 201
        slow.sendall(b"n\n1\n")
        assert b"201 Created" in slow.recv(1000)


def test_a_server_that_is_busy_says_so_at_once(home: Path) -> None:
    with server(home, limits={"batches": 1}) as running, ThreadPoolExecutor(4) as senders:
        readers = running.readers()
        for reader in readers:
            reader.suspend()
        with running.client() as client:
            answers = [senders.submit(post, client, stream(table())) for _ in range(4)]
            first = next(as_completed(answers)).result()
            assert refusal(first) == (429, "server_busy")
            assert first.headers["retry-after"] == "1"
            for reader in readers:
                reader.resume()
            assert sorted(answer.result().status_code for answer in answers)[0] == 201
            assert post(client, stream(table())).status_code == 201


def test_a_full_queue_is_429() -> None:
    assert status_of(errors.QueueFull("full")) == 429


def all_errors(base: type[errors.TimestoreError] = errors.TimestoreError) -> set[type[errors.TimestoreError]]:
    return {base}.union(*(all_errors(child) for child in base.__subclasses__()))


def test_every_error_has_a_status_and_no_row_of_the_table_is_hidden_by_an_earlier_one() -> None:
    kinds = [kind for kind, _ in STATUSES]
    for error in all_errors():
        assert issubclass(error, kinds[-1])
    for place, kind in enumerate(kinds):
        assert not any(issubclass(kind, earlier) for earlier in kinds[:place])
