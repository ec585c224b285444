"""A process that parses untrusted bodies, so that the server does not have to.

Hostile Parquet, Arrow or JSON may ask for any amount of memory, run for ever or crash the reader; here that affects no
other request. The process handles one job at a time: it reads a frame from standard input, with the body if it is
short, and writes one frame, with the rows of a short body. When its server ends, standard input ends, and so does it.
"""

from __future__ import annotations

import os
import shutil
import sys
from pathlib import Path

import pyarrow as pa

from timestore_pipeline.doors.http.body_reading import Job, Parsed, read_body, read_stream
from timestore_pipeline.doors.http.formats import IDENTITY
from timestore_pipeline.doors.http.frames import Data, Document, read_frame, write_frame
from timestore_pipeline.errors import BodyTooLarge, DiskFull, InvalidData, TimestoreError, UnreadableInput
from timestore_pipeline.ingest.formats.bounded import CpuExceeded, cpu_limit, limit_resources
from timestore_pipeline.ingest.formats.reading import UNKNOWN, Reading
from timestore_pipeline.system.without_pandas import leave_pandas_out

ERRORS: dict[str, type[TimestoreError]] = {
    error.code: error for error in (UnreadableInput, InvalidData, BodyTooLarge, DiskFull)
}


def main() -> None:
    """Execute jobs until standard input ends. Arguments: the most bytes of memory and of a file, and the niceness."""
    leave_pandas_out()
    memory, file_bytes, niceness = map(int, sys.argv[1:])
    limit_resources(memory, file_bytes)
    os.nice(niceness)
    requests, answers = sys.stdin.buffer, sys.stdout.buffer
    while (asked := read_frame(requests)) is not None:
        write_frame(answers, *_answer(*asked))


def _answer(request: Document, body: bytes) -> tuple[Document, Data]:
    work = Path(request["work"])
    try:
        with cpu_limit(request["cpu_seconds"]):
            parsed, rows = _read(request, body, work)
    except CpuExceeded:
        message = f"the body takes more than {request['cpu_seconds']:g} s of a processor to read"
        return _refused(work, BodyTooLarge(message, hint="send smaller batches"))
    except TimestoreError as error:
        return _refused(work, error)
    except (MemoryError, pa.ArrowMemoryError):
        return _refused(work, BodyTooLarge("the body needs too much memory to read", hint="send smaller batches"))
    except OSError as error:
        return _refused(
            work, DiskFull(f"the body cannot be spooled: {error.strerror or error}", hint="free space, then retry")
        )
    except Exception as error:  # noqa: BLE001  # hostile bytes may raise any error
        return _refused(work, UnreadableInput(f"the body cannot be read: {type(error).__name__}", hint=request["hint"]))
    notes = [[note.column, note.text] for note in parsed.notes]
    return {"rows": parsed.rows, "bytes": parsed.bytes, "notes": notes}, rows


def _read(request: Document, body: bytes, work: Path) -> tuple[Parsed, Data]:
    """A short body needs a folder only if its format is read from a file; a long one is in its folder already."""
    if not request["inline"]:
        return read_body(_job(request, work)), b""
    if (request["suffix"], request["encoding"]) == (".arrows", IDENTITY):
        parsed, rows = read_stream(body, request["hint"], request["most_bytes"])
        return parsed, memoryview(rows)
    work.mkdir()
    (work / "packed").write_bytes(body)
    parsed = read_body(_job(request, work))
    with pa.memory_map(str(work / "rows")) as file:
        rows = file.read_buffer()
    shutil.rmtree(work)
    return parsed, memoryview(rows)


def _job(request: Document, work: Path) -> Job:
    names = ("suffix", "encoding", "hint", "most_bytes")
    reading = UNKNOWN if request["reading"] is None else Reading.from_json(request["reading"])
    plain = {name: request[name] for name in names}
    return Job(body=work / "packed", rows=work / "rows", reading=reading, **plain)


def _refused(work: Path, error: TimestoreError) -> tuple[Document, Data]:
    shutil.rmtree(work, ignore_errors=True)
    return {"error": error.to_dict()}, b""
