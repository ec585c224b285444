"""Bodies from people who mean no good, or whose software is broken: a corpus, and endless variations on it."""

from __future__ import annotations

import gzip
import io
import json
import random
import struct
from collections.abc import Iterator

import pyarrow as pa
import pyarrow.feather
import pyarrow.parquet as pq

from tests.doors.http.serving import ARROW, stream, table

PARQUET = "application/vnd.apache.parquet"
NDJSON = "application/x-ndjson"
JSON = "application/json"
CSV = "text/csv"
ARROW_FILE = "application/vnd.apache.arrow.file"

Sample = tuple[str, str, bytes, bool]  # name, content type, body, gzip


def parquet(rows: pa.Table, **options: object) -> bytes:
    sink = io.BytesIO()
    pq.write_table(rows, sink, **options)
    return sink.getvalue()


def good() -> dict[str, bytes]:
    """One good body per content type; columns of many kinds."""
    rows = table(50).append_column("name", pa.array([None, "a", "bc"] * 16 + ["x", "y"]))
    rows = rows.append_column("tags", pa.array([["a"], [], None, ["b", "c"], None] * 10))
    rows = rows.append_column("kind", pa.array(["k", "l"] * 25).dictionary_encode())
    rows = rows.append_column("point", pa.array([{"x": 1.5, "y": 2}, None] * 25))
    file = io.BytesIO()
    pyarrow.feather.write_feather(rows, file, compression="zstd")
    flat = [{"at": f"2013-01-01T00:00:{second:02}Z", "n": second, "v": second / 7} for second in range(50)]
    lines = [f"2013-01-01T00:00:{second:02}Z,{second},{second / 7}" for second in range(50)]
    return {
        ARROW: stream(rows),
        ARROW_FILE: file.getvalue(),
        PARQUET: parquet(rows),
        NDJSON: "\n".join(map(json.dumps, flat)).encode(),
        JSON: json.dumps(flat).encode(),
        CSV: "\n".join(["at,n,v", *lines]).encode(),
    }


def corpus() -> Iterator[Sample]:
    """Each of these once broke some reader somewhere."""
    deep = b"[" * 200_000 + b"]" * 200_000
    yield "deep json array", JSON, b'[{"a": ' + deep + b"}]", False
    yield "deep json objects", JSON, b"[" + b'{"a":' * 100_000 + b"1" + b"}" * 100_000 + b"]", False
    yield "deep ndjson", NDJSON, b'{"a": ' + deep + b"}\n", False
    yield "deep ndjson objects", NDJSON, b'{"a":' * 100_000 + b"1" + b"}" * 100_000 + b"\n", False
    yield "huge number", JSON, b'[{"a": ' + b"9" * 100_000 + b"}]", False
    yield "huge exponent", NDJSON, b'{"a": 1e999999}\n{"a": 1}\n', False
    yield "lone surrogate", NDJSON, b'{"a": "\\ud800"}\n', False
    yield "nul in a name", NDJSON, b'{"a\\u0000b": 1}\n', False
    yield "empty name", NDJSON, b'{"": 1}\n', False
    yield "a name twice", NDJSON, b'{"a": 1, "a": 2}\n', False
    yield "a name twice in another case", JSON, b'[{"a": 1, "A": 2}]', False
    yield "sql in a name", JSON, b'[{"\\"); DROP TABLE x; --": 1}]', False
    yield "many columns", CSV, b",".join(b"c%d" % n for n in range(50_000)) + b"\n" + b",".join([b"1"] * 50_000), False
    yield "a long line", CSV, b"a\n" + b"x" * 900_000 + b"\n", False
    yield "an open quote", CSV, b'a\n"x\n' + b"y\n" * 1000, False
    yield "a byte order mark", CSV, b"\xef\xbb\xbfa\n1\n", False
    yield "utf-16", CSV, "a\n1\n".encode("utf-16"), False
    yield "nul bytes", CSV, bytes(10_000), False
    yield "a bomb", CSV, gzip.compress(bytes(100 << 20)), True
    yield "a bomb in a bomb", CSV, gzip.compress(gzip.compress(bytes(100 << 20))), True
    yield "endless empty members", CSV, gzip.compress(b"") * 30_000, True
    yield "a cut gzip", CSV, gzip.compress(b"a\n1\n")[:-5], True
    yield "not gzip", CSV, b"a\n1\n", True
    yield from _arrow_corpus()
    yield from _parquet_corpus()


def _arrow_corpus() -> Iterator[Sample]:
    zeros = pa.table({"a": pa.Array.from_buffers(pa.null(), 1 << 30, [None])})
    yield "a billion nulls", ARROW, stream(zeros), False
    runs = pa.RunEndEncodedArray.from_arrays(pa.array([1 << 30], pa.int32()), pa.array(["x" * 100]))
    yield "a billion runs", ARROW, stream(pa.table({"a": runs})), False
    long = pa.DictionaryArray.from_arrays(pa.array([0] * 100_000, pa.int8()), ["x" * 100_000])
    yield "a long word", ARROW, stream(pa.table({"a": long})), False
    sink = io.BytesIO()
    packed = pa.ipc.IpcWriteOptions(compression="zstd")
    with pa.ipc.new_stream(sink, pa.schema([("a", pa.int64())]), options=packed) as writer:
        for _ in range(20):
            writer.write_table(pa.table({"a": pa.nulls(1_000_000, pa.int64())}))
    yield "packed zeros", ARROW, sink.getvalue(), False
    yield "a length of its own", ARROW, b"\xff\xff\xff\xff" + struct.pack("<i", 0x7FFFFFF0) + b"x" * 100, False
    yield "a negative length", ARROW, b"\xff\xff\xff\xff" + struct.pack("<i", -8) + b"x" * 100, False
    yield "no end", ARROW, stream(table(5))[:-8], False
    wide = pa.Table.from_arrays([pa.array([1])] * 2, names=["a", "a"])
    yield "two columns of one name", ARROW, stream(wide), False
    offsets = pa.py_buffer(struct.pack("<3i", 0, 1 << 30, 2))
    bad = pa.Array.from_buffers(pa.string(), 2, [None, offsets, pa.py_buffer(b"ab")])
    yield "offsets out of bounds", ARROW, stream(pa.table({"a": bad})), False
    invalid = pa.Array.from_buffers(
        pa.string(), 1, [None, pa.py_buffer(struct.pack("<2i", 0, 2)), pa.py_buffer(b"\xff\xfe")]
    )
    yield "text that is none", ARROW, stream(pa.table({"a": invalid})), False
    union = pa.UnionArray.from_sparse(pa.array([0, 1], pa.int8()), [pa.array([1, 2]), pa.array(["a", "b"])])
    yield "a union", ARROW, stream(pa.table({"a": union})), False
    interval = pa.array([pa.MonthDayNano([1, 2, 3])])
    yield "an interval", ARROW, stream(pa.table({"a": interval})), False
    yield "half floats", ARROW, stream(pa.table({"a": pa.array([1, None], pa.float16())})), False
    yield "wide decimals", ARROW, stream(pa.table({"a": pa.array([None], pa.decimal256(76, -5))})), False


def _parquet_corpus() -> Iterator[Sample]:
    word = pa.DictionaryArray.from_arrays(pa.array([0] * 100_000, pa.int8()), ["x" * 500_000])
    rle = parquet(pa.table({"a": word}), compression="none", store_schema=False)
    yield "a long word in parquet", PARQUET, rle, False
    lists = pa.ListArray.from_arrays([0, 20_000_000], pa.nulls(20_000_000, pa.int8()))
    yield "a long list in parquet", PARQUET, parquet(pa.table({"a": lists}), compression="zstd"), False
    body = parquet(table(100))
    yield "no footer", PARQUET, body[:-8], False
    yield "a footer of its own", PARQUET, body[:-8] + struct.pack("<I", 0xFFFFFF00) + b"PAR1", False
    yield "only a footer", PARQUET, b"PAR1" + body[-300:], False


def variations(seed: int) -> Iterator[Sample]:
    """For ever: good bodies and hostile ones, cut, spliced, with bits flipped, under right and wrong names."""
    generator = random.Random(seed)
    kinds = list(good().items())
    while True:
        content_type, body = generator.choice(kinds)
        if generator.random() < 0.1:
            content_type = generator.choice(kinds)[0]
        packed = generator.random() < 0.2
        damaged = _damaged(generator, gzip.compress(body) if packed else body)
        yield "variation", content_type, damaged, packed


def _damaged(generator: random.Random, body: bytes) -> bytes:
    damaged = bytearray(body)
    for _ in range(generator.choice([0, 1, 1, 2, 8])):
        place = generator.randrange(len(damaged) or 1)
        match generator.randrange(5):
            case 0:
                damaged[place : place + 1] = bytes([generator.randrange(256)])
            case 1:
                del damaged[place:]
            case 2:
                del damaged[place : place + generator.randrange(1, 16)]
            case 3:
                damaged[place:place] = generator.randbytes(generator.randrange(1, 16))
            case 4:
                number = generator.choice([0, -1, 1, 0x7FFFFFFF, -0x80000000, 1 << 20])
                damaged[place : place + 4] = struct.pack("<i", number)
    return bytes(damaged)
