"""h11 fed in slices says the same as h11, and what is framed to keep a server busy is refused early."""

from __future__ import annotations

import asyncio
from typing import Any

import h11
import pytest
from hypothesis import given
from hypothesis import strategies as st

from timestore_pipeline.doors.http.parser import MOST_HEAD_BYTES, MOST_HEADERS, SlicedParser
from timestore_pipeline.doors.http.turns import Turns

HEAD = b"POST /x HTTP/1.1\r\nhost: a\r\n"
CHUNKED = HEAD + b"transfer-encoding: chunked\r\n\r\n"


def events(sent: bytes) -> tuple[list[Any], int]:
    """What the parser finds in what arrives at once, and in how many turns."""
    parser, found, turns = SlicedParser(), list[Any](), 0
    parser.receive_data(sent)
    while True:
        parser.begin_turn()
        turns += 1
        while (event := parser.next_event()) not in (h11.NEED_DATA, h11.PAUSED):
            found.append(event)
        if not parser.turn_is_over:
            return found, turns


def body(found: list[Any]) -> bytes:
    return b"".join(bytes(event.data) for event in found if isinstance(event, h11.Data))


def chunks(pieces: list[bytes], extension: bytes = b"") -> bytes:
    framed = (b"%x%s\r\n%s\r\n" % (len(piece), extension, piece) for piece in pieces)
    return CHUNKED + b"".join(framed) + b"0\r\n\r\n"


def test_a_large_packet_takes_many_turns_and_loses_nothing() -> None:
    content = bytes(range(256)) * 12_000
    found, turns = events(HEAD + b"content-length: %d\r\n\r\n" % len(content) + content)
    assert body(found) == content
    assert isinstance(found[-1], h11.EndOfMessage)
    assert turns > 3


def test_lines_in_chunks_of_their_own_are_read() -> None:
    lines = [b"2013-01-01T00:00:00Z,JFK,%d\n" % number for number in range(4_000)]
    assert body(events(chunks(lines))[0]) == b"".join(lines)


@pytest.mark.parametrize(
    ("sent", "why"),
    [
        (chunks([b"x"] * 100_000), "too many small chunks"),
        (chunks([b"x"] * 1_000, b";" + b"e" * 1_000), "framed by too many bytes"),
        (HEAD + b"a: b\r\n" * (MOST_HEADERS + 1) + b"\r\n", "headers"),
        (HEAD + b"a:\r\n" * 60_000 + b"\r\n", "headers"),
        (HEAD + b"a: " + b"b" * MOST_HEAD_BYTES + b"\r\n\r\n", "longer than 16384 bytes"),
    ],
    ids=["chunks", "extensions", "headers", "many headers", "a long header"],
)
def test_framing_beyond_its_bounds_is_refused(sent: bytes, why: str) -> None:
    with pytest.raises(h11.RemoteProtocolError, match=why):
        events(sent)


@pytest.mark.parametrize("sent", [HEAD + b"a: " + b"b" * 200_000, CHUNKED + b"1;" + b"e" * 200_000])
def test_what_has_no_end_is_refused(sent: bytes) -> None:
    with pytest.raises(h11.RemoteProtocolError, match="too long"):
        events(sent)


FRAGMENTS = [
    HEAD,
    CHUNKED,
    b"content-length: 5\r\n",
    b"transfer-encoding: chunked\r\n",
    *(b"\r\n", b"\n", b"\r", b" ", b"\0", b"\xff", b"abcde"),
    *(b"5\r\nabcde\r\n", b"0\r\n\r\n", b"0\r\na: b\r\n\r\n", b"1;a=b\r\nx\r\n"),
    *(b"ffffffffffffffffffff\r\n", b"-1\r\n"),
    b"GET /x HTTP/1.1\r\nhost: a\r\n\r\n",
    b"GET /x HTTP/1.0\r\n\r\n",
    b"PRI * HTTP/2.0\r\n\r\nSM\r\n\r\n",
    b"x" * 20_000,
    b"a: b\r\n" * 60,
]


def parsed(pieces: list[bytes]) -> tuple[list[str], bytes, bool]:
    """Kinds of events, the bodies together, and whether it ended with a refusal; what else is raised is a bug."""
    parser, kinds, content = SlicedParser(), list[str](), b""
    for piece in pieces:
        parser.receive_data(piece)
        while True:
            parser.begin_turn()
            try:
                while (event := parser.next_event()) not in (h11.NEED_DATA, h11.PAUSED):
                    content += bytes(event.data) if isinstance(event, h11.Data) else b""
                    kinds += [type(event).__name__] if not isinstance(event, h11.Data) else []
            except h11.RemoteProtocolError:
                return kinds, content, True
            if not parser.turn_is_over:
                break
    return kinds, content, False


@given(st.lists(st.one_of(st.sampled_from(FRAGMENTS), st.binary(max_size=20)), max_size=12), st.data())
def test_it_does_not_matter_how_bytes_arrive(fragments: list[bytes], data: st.DataObject) -> None:
    sent = b"".join(fragments)
    cuts = sorted(data.draw(st.lists(st.integers(0, len(sent)), max_size=6)))
    pieces = [sent[start:end] for start, end in zip([0, *cuts], [*cuts, len(sent)], strict=True)]
    whole, cut = parsed([sent]), parsed(pieces)
    assert (whole[0], whole[2]) == (cut[0], cut[2])
    assert whole[1] == cut[1] or whole[2], "up to a refusal as much as was there"


def test_each_turn_of_the_loop_serves_one_of_the_line() -> None:
    async def story() -> list[str]:
        turns, calls = Turns(), list[str]()

        def work(name: str, left: int) -> None:
            calls.append(name)
            if left:
                turns.join(lambda: work(name, left - 1))

        for name in ("a", "b"):
            work(name, 2)
        for _ in range(5):
            calls.append("|")
            await asyncio.sleep(0)
        return calls

    assert "".join(asyncio.run(story())) == "ab|a|b|a|b|"
