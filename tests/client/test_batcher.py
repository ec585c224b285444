"""A row is acknowledged, or waiting, or handed back: there is no fourth."""

from __future__ import annotations

import os

import pytest

from tests.client.scripted import RECEIPT, Scene, Scripted, scripted
from tests.doors.http.serving import table
from timestore_pipeline.client import Batcher, Client, Retry
from timestore_pipeline.errors import InvalidInput, UnsentRows
from timestore_pipeline.system import clock

_TAKEN: Scene = (201, RECEIPT, {})
_BUSY: Scene = (429, {"code": "queue_full", "detail": "full"}, {})
_BAD: Scene = (422, {"code": "invalid_data", "detail": "column n"}, {})
_LONG = 3600.0  # seconds


def batcher(server: Scripted, **limits: float) -> Batcher:
    chosen = {"max_rows": 100, "max_bytes": 10**9, "max_age": _LONG} | limits
    return Client(server.url, retry=Retry(patience=0)).batcher("d", **chosen)  # type: ignore[arg-type]


def test_rows_are_sent_when_there_are_enough() -> None:
    with scripted(_TAKEN) as server, batcher(server) as rows:
        rows.add(table(99))
        assert (server.keys, rows.waiting_rows) == ([], 99)
        rows.add(table(1))
        assert (len(server.keys), rows.waiting_rows) == (1, 0)


def test_large_rows_are_sent_earlier_and_a_large_table_in_parts() -> None:
    with scripted(_TAKEN) as server, batcher(server, max_bytes=1600) as rows:  # of 16 bytes each
        rows.add(table(250))
        rows.flush()
    assert len(server.keys) == len(set(server.keys)) == 3


def test_rows_that_came_one_by_one_are_sent_in_one_piece() -> None:
    with scripted(_BUSY) as server:
        rows = batcher(server)
        for number in range(3):
            rows.add(table(1, number))
        with pytest.raises(UnsentRows) as unsent:
            rows.close()
    [(_, sent)] = unsent.value.batches
    assert (sent["n"].to_pylist(), sent["n"].num_chunks) == ([0, 1, 2], 1)


def test_rows_are_sent_when_they_are_old_without_another_call() -> None:
    with scripted(_TAKEN) as server, batcher(server, max_age=0.01) as rows:
        rows.add(table(1))
        wait_until_sent(rows)
        assert len(server.keys) == 1


def test_rows_of_another_schema_are_a_batch_of_their_own() -> None:
    with scripted(_TAKEN) as server, batcher(server) as rows:
        rows.add([{"n": 1}])
        rows.add([{"m": 1}])
    assert len(server.keys) == 2


def test_closing_sends_the_rest_and_ends() -> None:
    with scripted(_TAKEN) as server:
        with batcher(server) as rows:
            rows.add(table(1))
        rows.close()
        assert len(server.keys) == 1
        with pytest.raises(InvalidInput, match="closed"):
            rows.add(table(1))


def test_what_cannot_be_sent_is_handed_back_with_its_key() -> None:
    with scripted(_TAKEN, _BUSY) as server, batcher(server) as rows:
        rows.add(table(100))
        with pytest.raises(UnsentRows, match="250 rows are not acknowledged: full") as unsent:
            rows.add(table(250))
        assert rows.waiting_rows == 0
    assert [held.num_rows for _, held in unsent.value.batches] == [100, 100, 50]
    assert unsent.value.batches[0][0] == server.keys[1]


def test_rows_that_are_wrong_are_handed_back_at_close() -> None:
    with scripted(_BAD) as server, pytest.raises(UnsentRows, match="column n"), batcher(server) as rows:
        rows.add(table(1))


def test_what_failed_in_the_background_is_sent_by_the_next_call_under_its_key() -> None:
    with scripted(_BUSY, _TAKEN) as server, batcher(server, max_age=0.01) as rows:
        rows.add(table(1))
        while not server.keys:
            clock.sleep(0.005)
        rows.flush()
        assert rows.waiting_rows == 0
    assert (len(server.keys), len(set(server.keys))) == (2, 1)


def test_limits_are_above_zero() -> None:
    with pytest.raises(InvalidInput, match="above zero"):
        Client("http://localhost:1").batcher("d", max_rows=0)


def wait_until_sent(rows: Batcher) -> None:
    while rows.waiting_rows:
        clock.sleep(0.005)


def test_a_forked_child_leaves_its_parents_rows_alone_and_sends_on_a_line_of_its_own() -> None:
    with scripted(_TAKEN) as server, Client(server.url, retry=Retry(patience=0)) as sender:
        rows = sender.batcher("d", max_age=_LONG)
        rows.add(table(1))
        sender.send("d", table(1), idempotency_key="parent")
        if (child := os.fork()) == 0:
            os._exit(_in_the_child(sender, rows))
        assert os.waitpid(child, 0)[1] == 0
        sender.send("d", table(1), idempotency_key="parent again")
        rows.close()
    assert server.keys[:-1] == ["parent", "child", "parent again"]


def _in_the_child(sender: Client, rows: Batcher) -> int:
    """The exit code, 0 = as it should be; an assertion would go on with the parent's tests."""
    rows.close()
    sender.send("d", table(1), idempotency_key="child")
    try:
        rows.add(table(1))
    except InvalidInput as refused:
        return int("another process" not in str(refused))
    return 1
