"""Parses one body into checked Arrow data in a file. Runs in a reader process.

Nothing is staged here: on any failure, including the death of this process, the batch is refused as a whole.
"""

from __future__ import annotations

from collections.abc import Sequence
from contextlib import ExitStack
from dataclasses import dataclass, replace
from pathlib import Path

import pyarrow as pa

from timestore_pipeline.doors.http.formats import GZIP
from timestore_pipeline.doors.http.unpack import gunzip
from timestore_pipeline.errors import BodyTooLarge, InvalidData, TimestoreError, UnreadableInput
from timestore_pipeline.ingest.formats.arrow_files import stream_tables
from timestore_pipeline.ingest.formats.expansion import check_shape, plain_bytes
from timestore_pipeline.ingest.formats.json_blocks import is_array
from timestore_pipeline.ingest.formats.reading import Reading
from timestore_pipeline.ingest.formats.sources import Source, open_source
from timestore_pipeline.ingest.values.notes import Note
from timestore_pipeline.model.refusals import WHOLE_FILE

_ROWS_AT_ONCE = 65_536
_CELL_BYTES = 8  # of a null number in Arrow data
_END_OF_STREAM = b"\xff\xff\xff\xff\x00\x00\x00\x00"
_LONGEST_MESSAGE = 1_000  # characters: column names come from untrusted clients


@dataclass(frozen=True, slots=True)
class Job:
    """A body to parse. Its files are in a folder of its own."""

    body: Path
    suffix: str
    encoding: str
    hint: str  # for a body that cannot be read
    rows: Path  # of the resulting Arrow stream
    most_bytes: int  # unpacked, and as Arrow data
    reading: Reading  # by the dataset's known columns


@dataclass(frozen=True, slots=True)
class Parsed:
    """The result of parsing."""

    rows: int
    bytes: int  # without any encoding
    notes: Sequence[Note] = ()  # on how its text was interpreted


def read_body(job: Job) -> Parsed:
    """Read `job.body` into `job.rows`; raises `UnreadableInput`, `InvalidData`, `BodyTooLarge`."""
    work = job.rows.parent
    readable = work / ("body" + job.suffix)
    if job.encoding == GZIP:
        gunzip(job.body, readable, job.most_bytes)
    else:
        job.body.rename(readable)
    if job.suffix == ".arrows":
        with pa.OSFile(str(readable)) as file:
            _check_whole(file, job.hint)
    try:
        if job.suffix == ".json" and not is_array(readable):
            raise UnreadableInput("the body is not a JSON array", hint=job.hint)
        with pa.OSFile(str(job.rows), "wb") as sink:
            reading = replace(job.reading, most_cells=job.most_bytes // _CELL_BYTES)
            return _write(open_source(readable, reading), sink, job.most_bytes, job.hint)
    except TimestoreError as error:
        raise _about_the_body(error, readable, job.hint) from error


def read_stream(body: bytes, hint: str, most_bytes: int) -> tuple[Parsed, pa.Buffer]:
    """The same for a short Arrow stream in memory; returns the rows as an Arrow stream."""
    place = Path("the body")
    _check_whole(pa.BufferReader(body), hint)
    source = Source(place, None, lambda: stream_tables(body))
    sink = pa.BufferOutputStream()
    try:
        parsed = _write(source, sink, most_bytes, hint)
    except TimestoreError as error:
        raise _about_the_body(error, place, hint) from error
    return parsed, sink.getvalue()


def _check_whole(file: pa.NativeFile, hint: str) -> None:
    """Arrow accepts a stream that is cut between two batches, and ignores a second stream after the first."""
    try:
        if file.read(6) == b"ARROW1":
            raise UnreadableInput("the body is an Arrow file, not a stream", hint=hint)
        file.seek(0)
        for _ in pa.ipc.MessageReader.open_stream(file):
            pass
        end = file.tell()
    except (pa.ArrowException, OSError, ValueError) as error:
        raise UnreadableInput(f"the body is not an Arrow stream: {error}", hint=hint) from error
    file.seek(max(0, end - len(_END_OF_STREAM)))
    if file.read() != _END_OF_STREAM:
        raise UnreadableInput("the Arrow stream breaks off, or goes on after its end", hint=hint)


def _write(source: Source, sink: pa.NativeFile, most_bytes: int, hint: str) -> Parsed:
    rows = size = 0
    with ExitStack() as stack:
        writer = None
        for _, table in source.batches(_ROWS_AT_ONCE):
            if writer is None:
                check_shape(table.schema)
                writer = stack.enter_context(pa.ipc.new_stream(sink, table.schema))
            size += _checked_bytes(table)
            if size > most_bytes:
                raise _too_large(most_bytes)
            rows += table.num_rows
            writer.write_table(table)
        if writer is None:
            raise InvalidData("the body has no rows, and names no columns", hint=hint)
    return Parsed(rows, size, source.notes)


def _checked_bytes(table: pa.Table) -> int:
    try:
        table.validate(full=True)
    except pa.ArrowInvalid as error:
        raise InvalidData(f"the Arrow data is malformed: {error}", hint="strings must be UTF-8") from error
    return plain_bytes(table)


def _too_large(most: int) -> BodyTooLarge:
    hint = "send smaller batches, or raise TIMESTORE_API_MAX_BODY_BYTES"
    return BodyTooLarge(f"the body's rows take more than {most} bytes as Arrow data", hint=hint)


def _about_the_body(error: TimestoreError, path: Path, hint: str) -> TimestoreError:
    """The same error, without the path of the file, which the client does not know."""
    message = str(error).replace(str(path), "the body")[:_LONGEST_MESSAGE]
    general = isinstance(error, UnreadableInput) and error.hint.startswith(WHOLE_FILE)
    return type(error)(message, hint=hint if general else error.hint)
