"""Bodies that are more work than they look: refused before the work, and no other client's body waits for them."""

from __future__ import annotations

import gzip
import json
from collections.abc import Callable, Iterator
from functools import partial
from pathlib import Path

import httpx
import psutil
import pyarrow as pa
import pytest

from tests.attack.beside import check_beside
from tests.doors.http.hostile import CSV, JSON, NDJSON, PARQUET, parquet
from tests.doors.http.serving import ARROW, Server, post, server, stream
from timestore_pipeline.model.canonical import LONGEST_NAME

MIB = 1 << 20
LEAST_CPU = 20.0  # seconds of all processes together for one body; without bounds these take minutes

Body = tuple[str, bytes, dict[str, str]]  # content type, body, headers
PACKED = {"content_encoding": "gzip"}


def sparse(keys: int, rows: int) -> bytes:
    """Each row has one key of many: `keys` times `rows` cells in a few bytes a row."""
    return b"\n".join(b'{"k%d": 1e0}' % (row % keys) for row in range(rows))


_LONG = pa.struct([("n" * (LONGEST_NAME + 1), pa.int64())])
# Arrow streams whose schema has names that no dataset takes.
BAD_NAMES: dict[str, Callable[[], bytes]] = {
    "a long name": lambda: stream(pa.table({"n" * (LONGEST_NAME + 1): [1]})),
    "a long name inside": lambda: stream(pa.table({"a": pa.array([None], pa.list_(_LONG))})),
    "a long name inside a map": lambda: stream(pa.table({"a": pa.array([None], pa.map_(pa.string(), _LONG))})),
    "a name that is not UTF-8": lambda: stream(pa.table({"a": [1], "abcdefgh": [2]})).replace(
        b"abcdefgh", b"\xff\xfeabcdef"
    ),
    "a name of ten megabytes": lambda: stream(pa.table({"n" * 10 * MIB: [1]})),
}


def arrow_body(rows: Callable[[], bytes]) -> Body:
    return ARROW, rows(), {}


# Each is made by its test: every process of a test run imports this module.
BODIES: dict[str, Callable[[], Body]] = {
    "sparse rows": lambda: (NDJSON, gzip.compress(sparse(1_900, 100_000)), PACKED),
    "sparse short rows": lambda: (NDJSON, sparse(1_900, 15_000), {}),
    "a key of its own for each row": lambda: (NDJSON, sparse(100_000, 100_000), {}),
    "ten thousand columns": lambda: (
        CSV,
        b",".join(b"c%d" % n for n in range(10_000)) + b"\n" + b"1," * 9_999 + b"1\n",
        {},
    ),
    "a million keys": lambda: (JSON, json.dumps([dict.fromkeys(map(str, range(300_000)), 1)]).encode(), {}),
    "a name of ten megabytes in JSON": lambda: (NDJSON, b'{"' + b"n" * 10 * MIB + b'": 1}', {}),
    "a name of ten megabytes in CSV": lambda: (CSV, b"n" * 10 * MIB + b"\n1\n", {}),
    "a key twice among many": lambda: (NDJSON, b"{" + b'"a": 1, ' * 200_000 + b'"b": 1}', {}),
    "many gzip members": lambda: (CSV, gzip.compress(b"") * 100_000 + gzip.compress(b"a\n1\n"), PACKED),
    "null columns": lambda: (
        PARQUET,
        parquet(pa.table({f"c{n}": pa.nulls(100_000, pa.int8()) for n in range(1_900)})),
        {},
    ),
    "NaN in NDJSON": lambda: (NDJSON, b'{"a": NaN}', {}),
    "NaN in JSON": lambda: (JSON, b'[{"a": NaN}]', {}),
    "infinity in NDJSON": lambda: (NDJSON, b'{"a": -Infinity}', {}),
    **{name: partial(arrow_body, rows) for name, rows in BAD_NAMES.items()},
}


@pytest.fixture(scope="module")
def running(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Server]:
    with server(tmp_path_factory.mktemp("home"), "--quiet", api_max_body_bytes=16 * MIB) as running:
        yield running


def send(client: httpx.Client, body: Body, dataset: str = "attacked") -> httpx.Response:
    content_type, content, headers = body
    return post(client, content, content_type, dataset, **headers)


def cpu_seconds(running: Server) -> float:
    """Of the server and all that it ever started and that has ended."""
    main = psutil.Process(running.process.pid)
    times = [main.cpu_times(), *(child.cpu_times() for child in main.children())]
    return float(sum(time.user + time.system + time.children_user + time.children_system for time in times))


@pytest.mark.parametrize("name", BODIES)
def test_it_is_refused_before_the_work(running: Server, name: str) -> None:
    before = cpu_seconds(running)
    with running.client() as client:
        answer = send(client, BODIES[name]())
        assert answer.status_code in {400, 413, 422}, answer.text
        assert len(answer.text) < 2_000
        assert [status["dataset"] for status in client.get("/v1/datasets").json()["datasets"]] == []
    assert cpu_seconds(running) < before + LEAST_CPU


def test_notes_of_pandas_that_are_none_are_no_matter(tmp_path: Path) -> None:
    notes = [b"[" * 100_000, b"9" * 10_000, b'{"columns": [' + b"[], " * 2 * MIB + b"[]]}", b"\xff"]
    rows = pa.table({"a": [1]})
    with server(tmp_path, "--quiet") as running, running.client() as client:
        for note in notes:
            named = {b"ARROW:extension:name": b"arrow.opaque", b"ARROW:extension:metadata": note}
            opaque = rows.cast(pa.schema([pa.field("a", pa.int64(), metadata=named)]))
            sent = [rows.replace_schema_metadata({b"pandas": note}), opaque]
            answers = [send(client, (ARROW, stream(table), {})).status_code for table in sent]
            assert answers[0] == 201
            assert answers[1] in {201, 400, 422}


def test_bodies_that_take_long_keep_no_short_one_waiting(running: Server) -> None:
    long: Body = CSV, b"a,b\n" + b"x" * 4_000_000 + b",1\n" * 1_000_000, {}

    def attack() -> None:
        with running.client() as client:
            send(client, long)

    check_beside(running, attack, attackers=4)


def test_short_bodies_that_are_much_work_keep_no_other_one_waiting(running: Server) -> None:
    bodies = [BODIES[name]() for name in ("sparse rows", "sparse short rows", "many gzip members", "null columns")]

    def attack() -> None:
        with running.client() as client:
            for body in bodies:
                send(client, body)

    check_beside(running, attack, attackers=2)


def test_a_dataset_gets_no_more_columns_by_one_batch_after_the_other(running: Server) -> None:
    with running.client() as client:
        for first, expected in ((0, 201), (1_000, 201), (2_000, 422)):
            rows = pa.table({f"c{number}": [1] for number in range(first, first + 1_000)})
            answer = post(client, stream(rows), dataset="wide")
            assert answer.status_code == expected, answer.text
        assert "at most 2000" in answer.json()["hint"]
