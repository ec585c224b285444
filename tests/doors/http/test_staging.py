"""A batch in every format becomes durable and is published; the same key is not staged twice."""

from __future__ import annotations

import gzip
import io
import json
from datetime import datetime
from pathlib import Path

import httpx
import polars
import pyarrow as pa
import pyarrow.csv
import pyarrow.parquet
import pytest

from tests.doors.http.serving import ARROW, Server, post, published, server, stream, table
from timestore_pipeline.doors.http.formats import CONTENT_TYPES

JSON = "application/json"


def encoded(rows: pa.Table, suffix: str) -> bytes:
    """The rows in the format a suffix names."""
    sink = io.BytesIO()
    match suffix:
        case ".arrows":
            return stream(rows)
        case ".arrow":
            with pa.ipc.new_file(sink, rows.schema) as writer:
                writer.write_table(rows)
        case ".parquet":
            pyarrow.parquet.write_table(rows, sink)
        case ".csv":
            pyarrow.csv.write_csv(rows, sink)
        case ".json":
            return json.dumps(rows.to_pylist(), default=datetime.isoformat, indent=1).encode()
        case ".ndjson":
            lines = [json.dumps(row, default=datetime.isoformat) for row in rows.to_pylist()]
            return "\n".join(lines).encode()
    return sink.getvalue()


def test_every_format_is_published_as_it_was_sent(home: Path) -> None:
    with server(home) as running, running.client() as client:
        for number, (content_type, format_) in enumerate(CONTENT_TYPES.items()):
            answer = post(client, encoded(table(10, 10 * number), format_.suffix), content_type)
            assert (answer.status_code, answer.json()["rows"]) == (201, 10), (content_type, answer.text)
        assert running.stop() == 0
    assert published(home) == list(range(10 * len(CONTENT_TYPES)))


def test_a_receipt_says_what_is_durable(client: httpx.Client) -> None:
    receipt = post(client, stream(table(7)), dataset="receipts").json()
    assert receipt.keys() == {
        "batch_id", "dataset", "rows", "bytes", "staged_at", "duplicate", "decided", "warnings"
    }  # fmt: skip
    assert (receipt["dataset"], receipt["rows"], receipt["duplicate"]) == ("receipts", 7, False)
    assert datetime.fromisoformat(receipt["staged_at"]).tzinfo is not None


def test_the_same_key_again_gets_the_first_receipt(client: httpx.Client) -> None:
    first = post(client, stream(table()), dataset="keys", idempotency_key="a")
    again = post(client, stream(table()), dataset="keys", idempotency_key="a")
    assert (first.status_code, again.status_code) == (201, 200)
    assert again.json() == first.json() | {"duplicate": True, "decided": None}


def test_the_same_key_for_other_rows_is_a_conflict(client: httpx.Client) -> None:
    post(client, stream(table(5)), dataset="keys", idempotency_key="b")
    answer = post(client, stream(table(6)), dataset="keys", idempotency_key="b")
    assert (answer.status_code, answer.json()["code"]) == (409, "idempotency_conflict")


def test_keys_are_text_in_utf_8(client: httpx.Client) -> None:
    headers = {"content-type": ARROW, "idempotency-key": "Zürich/1".encode()}
    answer = client.post("/v1/datasets/keys/batches", content=stream(table()), headers=headers)  # type: ignore[arg-type]
    assert answer.status_code == 201


@pytest.mark.parametrize("size", [10, 300_000])
def test_gzip_is_undone_in_memory_and_on_disk(client: httpx.Client, size: int) -> None:
    body = b"at,n\n" + b"2013-01-01T00:00:00Z,1\n" * (size // 23 + 1)
    answer = post(client, gzip.compress(body), "text/csv", "packed", content_encoding="gzip")
    assert (answer.status_code, answer.json()["rows"]) == (201, size // 23 + 1)


def test_a_body_of_unannounced_length_is_taken_in(client: httpx.Client) -> None:
    body = stream(table(20_000))
    pieces = (body[start : start + 1000] for start in range(0, len(body), 1000))
    answer = client.post("/v1/datasets/chunks/batches", content=pieces, headers={"content-type": ARROW})
    assert (answer.status_code, answer.json()["rows"]) == (201, 20_000)


def test_other_writers_streams_are_read(client: httpx.Client) -> None:
    sink = io.BytesIO()
    polars.DataFrame({"n": [1, 2], "name": ["a", "b"]}).write_ipc_stream(sink, compression="zstd")
    assert post(client, sink.getvalue(), dataset="polars").status_code == 201


def test_nothing_stays_in_the_spool(shared: Server, client: httpx.Client) -> None:
    post(client, stream(table(30_000)), dataset="spooled")
    post(client, b"x" * 300_000, "text/csv", "spooled")
    spool = shared.log.parent / "staging" / "spool"
    assert list(spool.glob("*/*")) == []


def test_text_is_read_as_what_the_dataset_knows(client: httpx.Client) -> None:
    at = "2013-01-01T05:00:00Z"
    assert post(client, f"at,zone\n{at},K12\n".encode(), "text/csv", dataset="known").status_code == 201
    assert post(client, f"at,zone\n{at},012\n".encode(), "text/csv", dataset="known").status_code == 201
    assert post(client, f'[{{"at":"{at}","zone":"{at}"}}]'.encode(), JSON, dataset="known").status_code == 201
    answer = post(client, f"at,zone\n{at},7\nsoon,7\n".encode(), "text/csv", dataset="known")
    assert answer.status_code == 409
    assert "(the body, column 'at': line 3 has 'soon', and the column is timestamp in the dataset)" in answer.text


def test_a_declared_column_is_read_as_it_is_declared(client: httpx.Client) -> None:
    said = {"schema": {"columns": {"v": "double", "zone": "string"}}}
    client.put("/v1/datasets/declared/metadata", json=said).raise_for_status()
    body = b"at,v,zone\n2013-01-01T05:00:00Z,14,7\n"
    assert post(client, body, "text/csv", dataset="declared").status_code == 201
    refused = post(client, b"at,v,zone\n2013-01-01T05:00:00Z,x,7\n", "text/csv", dataset="declared")
    assert refused.status_code == 422
    assert "the body, line 2, column 'v': 'x' cannot be read" in refused.json()["detail"]


@pytest.mark.parametrize(
    ("content_type", "body"),
    [
        ("text/csv; charset=windows-1252", "at,ort\n2013-01-01T05:00:00Z,Köln\n".encode("windows-1252")),
        ('text/csv; delimiter=";"; decimal=","', b"at;v\n2013-01-01T05:00:00Z;1,5\n"),
        ("text/csv; null=NA", b"at,v\n2013-01-01T05:00:00Z,NA\n"),
    ],
)
def test_the_content_type_says_what_a_csv_is_like(client: httpx.Client, content_type: str, body: bytes) -> None:
    answer = post(client, body, content_type, dataset="dialect")
    assert (answer.status_code, answer.json().get("rows")) == (201, 1), answer.text


def test_a_stream_without_rows_is_a_batch_without_rows(client: httpx.Client) -> None:
    answer = post(client, stream(table().slice(0, 0)), dataset="nothing")
    assert (answer.status_code, answer.json()["rows"]) == (201, 0)


def test_a_header_without_rows_is_nothing_for_a_new_dataset(client: httpx.Client) -> None:
    for _ in range(2):
        answer = post(client, b"at,n\n", "text/csv", "header", idempotency_key="a")
        receipt = answer.json()
        assert answer.status_code == 201
        assert (receipt["batch_id"], receipt["rows"], receipt["duplicate"]) == ("", 0, False)
    assert (
        post(client, b"at,n\n2013-01-01T05:00:00Z,1\n", "text/csv", "header", idempotency_key="a").json()["rows"] == 1
    )
    assert post(client, b"at,n\n", "text/csv", "header").json()["batch_id"]


def test_a_delimiter_at_the_end_of_every_line_is_told(client: httpx.Client) -> None:
    answer = post(client, b"at,n\n2013-01-01T05:00:00Z,1,\n", "text/csv", "trailing")
    assert answer.status_code == 400
    assert "the line ends with ','" in answer.json()["hint"]


def test_the_first_batch_s_answer_lists_its_decisions(client: httpx.Client) -> None:
    first = post(client, stream(table(1)), dataset="decided", idempotency_key="a").json()
    columns = {"at": "timestamp", "n": "int64"}
    assert first["decided"] == {"time_column": "at", "granularity": "day", "columns": columns}
    assert first["warnings"] == []
    for key in ("a", "b"):
        later = post(client, stream(table(1)), dataset="decided", idempotency_key=key).json()
        assert (later["decided"], later["warnings"]) == (None, [])


def test_what_a_producer_may_not_expect_is_told(client: httpx.Client) -> None:
    first = post(client, b"at;n\n29.11.2026 10:00;1\n", "text/csv", "expected").json()
    assert first["decided"] == {
        "time_column": None, "granularity": None, "columns": {"at": "string", "n": "int64"}
    }  # fmt: skip
    assert any("no column holds a time" in warning for warning in first["warnings"])
    assert any("separated by ';'" in warning for warning in first["warnings"])
    post(client, stream(pa.table({"at": ["x"], "n": [1]})), dataset="expected")
    later = post(client, b"at;n\nx;2\n", "text/csv", "expected").json()
    assert later["decided"] is None
    assert [warning for warning in later["warnings"] if "separated by ';'" in warning]
