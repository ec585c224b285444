"""Retries under one key, the library's own errors, and patience that ends."""

from __future__ import annotations

import socket
import threading
from pathlib import Path

import pytest

from demo.processes import free_port
from tests.client.scripted import HANG_UP, RECEIPT, scripted
from tests.doors.http.serving import Server, published, server, stream, table
from timestore_pipeline.client import Client, Retry
from timestore_pipeline.errors import (
    BodyTooLarge,
    GuardrailExceeded,
    InvalidInput,
    InvalidToken,
    NotAcknowledged,
    QueueFull,
    RetryLater,
    SchemaConflict,
    UnknownDataset,
)

ONCE = Retry(patience=0)
SOON = Retry(patience=30, first=0.001, longest=0.002)


def client(server: Server, retry: Retry = ONCE) -> Client:
    return Client(server.url, token="open-sesame", retry=retry)


def test_a_batch_is_staged_and_its_key_is_remembered(shared: Server) -> None:
    with client(shared) as sender:
        receipt = sender.send("plain", table(10), idempotency_key="schlüssel/1")
        again = sender.send("plain", table(10), idempotency_key="schlüssel/1")
    assert (receipt.rows, receipt.dataset, receipt.duplicate) == (10, "plain", False)
    assert (again.batch_id, again.duplicate) == (receipt.batch_id, True)
    assert receipt.decided is not None
    assert receipt.decided["time_column"] == "at"
    assert (again.decided, again.warnings) == (None, ())


def test_rows_without_a_key_are_two_batches(shared: Server) -> None:
    with client(shared) as sender:
        assert len({sender.send("twice", [{"n": 1}]).batch_id for _ in range(2)}) == 2


def test_a_flush_is_requested_and_without_a_sensor_nothing_carries_it_out(shared: Server) -> None:
    with client(shared) as sender:
        sender.send("asked", table(10))
        answer = sender.flush("asked")
        assert (answer.done, answer.outcomes, answer.sensor_late) == (False, {"asked": "requested"}, True)
        assert "no flush sensor ticks" in answer.hint
        assert "an operator asked for it" in answer.reasons["asked"]
        assert sender.flush().outcomes["asked"] == "requested"
        with pytest.raises(UnknownDataset, match="nowhere"):
            sender.flush("nowhere")


def test_a_wait_is_longer_than_one_answer_and_ends_when_everything_is_published(tmp_path: Path) -> None:
    with server(tmp_path) as running, Client(running.url, timeout=4, retry=SOON) as sender:
        sender.send("d", table(10))
        assert not sender.drain(wait=1.2).done
        flushing = threading.Timer(3, published, [tmp_path])
        flushing.start()
        drained = sender.drain(wait=120)
        flushing.join()
        assert (drained.done, drained.outcomes, drained.hint) == (True, {"d": "flushed"}, "")
        assert sender.flush("d").outcomes == {"d": "nothing_staged"}


@pytest.mark.parametrize(
    "document", [{}, {"done": 1}, {"done": True, "sensor_late": False, "hint": "", "datasets": [3]}]
)
def test_an_answer_that_does_not_say_what_was_flushed_is_no_answer(document: dict[str, object]) -> None:
    with (
        scripted((200, document, {})) as script,
        Client(script.url, retry=ONCE) as sender,
        pytest.raises(NotAcknowledged, match="does not say what was flushed"),
    ):
        sender.flush()


def test_what_the_server_refuses_is_the_error_of_the_library(shared: Server) -> None:
    with client(shared) as sender:
        sender.send("typed", table(1))
        with pytest.raises(SchemaConflict) as conflict:
            sender.send("typed", [{"at": "no time", "n": 1}])
        with pytest.raises(BodyTooLarge, match="HTTP 413"):
            sender.send("typed", table(50_000))
        assert len(stream(table(50_000))) > 100_000
    assert (conflict.value.column, "timestamp" in conflict.value.existing) == ("at", True)


def test_a_wrong_token_is_refused_and_not_told(shared: Server) -> None:
    with Client(shared.url, token="guess-what") as sender, pytest.raises(InvalidToken) as refused:
        sender.send("plain", table(1))
    assert "guess-what" not in f"{refused.value} {refused.value.hint} {sender!r}"


def test_later_means_again_under_the_same_key() -> None:
    busy = {"code": "queue_full", "detail": "full", "hint": "wait", "dataset": "d"}
    with scripted((429, busy, {}), (HANG_UP, {}, {}), (502, {}, {}), (201, RECEIPT, {})) as server:
        assert Client(server.url, retry=SOON).send("d", table(1)).batch_id == "b"
    assert (len(server.keys), len(set(server.keys))) == (4, 1)


def test_when_patience_ends_the_last_answer_is_raised() -> None:
    full = {"code": "queue_full", "detail": "full"}
    with scripted((429, full, {"retry-after": "7"})) as server, pytest.raises(QueueFull, match="HTTP 429") as refused:
        Client(server.url, retry=Retry(patience=5)).send("d", table(1))
    assert refused.value.retry_after.total_seconds() == 7
    assert len(server.keys) == 1, "to wait for seven seconds would exceed the patience"


def test_a_guardrail_is_named() -> None:
    full = {"code": "guardrail_exceeded", "detail": "over", "guardrail": "total_bytes", "dataset": "d", "hint": "flush"}
    with scripted((507, full, {"retry-after": "1"})) as server, pytest.raises(GuardrailExceeded) as refused:
        Client(server.url, retry=ONCE).send("d", table(1))
    assert (refused.value.guardrail, refused.value.dataset) == ("total_bytes", "d")


@pytest.mark.parametrize(
    ("status", "expected"), [(503, RetryLater), (500, NotAcknowledged), (418, InvalidInput), (404, InvalidInput)]
)
def test_answers_without_a_known_code_go_by_their_status(status: int, expected: type[Exception]) -> None:
    with scripted((status, {"code": "of-tomorrow"}, {})) as server, pytest.raises(expected):
        Client(server.url, retry=ONCE).send("d", table(1))


def test_an_answer_that_is_no_receipt_is_not_taken_for_one() -> None:
    with scripted((200, {"hello": "world"}, {})) as server, pytest.raises(NotAcknowledged) as unclear:
        Client(server.url, retry=ONCE).send("d", table(1))
    assert unclear.value.idempotency_key == server.keys[0]


def test_an_unreachable_server_is_reported_with_the_address_and_the_key() -> None:
    url = f"http://127.0.0.1:{free_port()}"
    with pytest.raises(NotAcknowledged, match=f"{url} gave no answer: .*refused") as refused:
        Client(url, retry=ONCE).send("d", table(1), idempotency_key="mine")
    assert refused.value.idempotency_key == "mine"


@pytest.mark.parametrize(
    "url",
    [
        *("localhost:8451", "ftp://host", "http://user:secret@host", "http://:secret@host", ""),
        *("http://host:99999", "http://[::1", "http://a..b/", "http://host/a b", "http://host/ü"),
    ],
)
def test_an_address_that_is_none_is_refused(url: str) -> None:
    with pytest.raises(InvalidInput, match="is no address") as refused:
        Client(url)
    assert "secret" not in f"{refused.value} {refused.value.hint}"


def test_a_token_that_no_header_carries_is_refused_and_not_told() -> None:
    with pytest.raises(InvalidInput) as refused:
        Client("http://host", token="secret\nX-Other: 1")
    assert "secret" not in str(refused.value)


@pytest.mark.parametrize("key", ["", " blank", "two\nlines", "\udcff", "x" * 513])
def test_a_key_that_no_header_carries_as_it_is_is_refused_and_harms_no_other_batch(shared: Server, key: str) -> None:
    with client(shared) as sender:
        with pytest.raises(InvalidInput, match="idempotency key"):
            sender.send("plain", table(1), idempotency_key=key)
        assert sender.send("plain", table(1)).rows == 1


def test_a_wait_beyond_reason_is_cut() -> None:
    with scripted((503, {}, {"retry-after": "9" * 400})) as server, pytest.raises(RetryLater) as refused:
        Client(server.url, retry=ONCE).send("d", table(1))
    assert refused.value.retry_after.days == 1


def test_waits_double_with_jitter_up_to_the_longest_and_honour_the_server() -> None:
    retry = Retry(first=1.0, longest=8.0)
    assert all(0.5 <= retry.delay(1) <= 1.0 for _ in range(20))
    assert all(4.0 <= retry.delay(tries) <= 8.0 for tries in (4, 5, 100))
    assert retry.delay(1, retry_after=30.0) == 30.0


def test_a_short_body_comes_in_one_packet_with_its_head() -> None:
    with socket.create_server(("127.0.0.1", 0)) as listener, Client(address_of(listener), retry=ONCE) as sender:
        packets: list[bytes] = []

        def listen() -> None:
            connection, _ = listener.accept()
            with connection:
                packets.append(connection.recv(1 << 20))

        thread = threading.Thread(target=listen)
        thread.start()
        with pytest.raises(NotAcknowledged):
            sender.send("d", table(10))
        thread.join()
    assert packets[0].endswith(b"\r\n\r\n" + stream(table(10)))


def test_a_connection_that_the_server_closed_meanwhile_is_not_tried_again(tmp_path: Path) -> None:
    with server(tmp_path, limits={"keep_alive_seconds": 1}) as running, Client(running.url, retry=ONCE) as sender:
        sender.send("d", table(1))
        idle = sender._connection._connection.sock
        assert idle.recv(1) == b"", "the server has closed it"
        assert sender.send("d", table(1)).rows == 1


def address_of(listener: socket.socket) -> str:
    return f"http://127.0.0.1:{listener.getsockname()[1]}"
