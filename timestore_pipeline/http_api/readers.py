"""The server's side of its reader processes: who is free, and what becomes of one that dies or does not answer."""

from __future__ import annotations

import asyncio
import json
import logging
import sys
from asyncio.subprocess import PIPE, Process
from collections.abc import Mapping
from contextlib import suppress
from typing import Any

from timestore_pipeline.errors import UnreadableInput
from timestore_pipeline.http_api.limits import Limits
from timestore_pipeline.http_api.reader_process import ERRORS
from timestore_pipeline.http_api.reading import Parsed

_log = logging.getLogger(__name__)


class Readers:
    """As many processes as the limits allow; start it in the event loop that uses it."""

    def __init__(self, limits: Limits) -> None:
        self._limits = limits
        self._free: asyncio.LifoQueue[Process | None] = asyncio.LifoQueue()  # None = one may be started
        self._running: set[Process] = set()

    async def start(self) -> None:
        """Start them now, so that the first request does not wait for imports."""
        for _ in range(self._limits.parsers):
            self._free.put_nowait(await self._spawn())

    async def read(self, job: Mapping[str, Any], body: bytes) -> Parsed:
        """Wait for a free reader and give it a job, with `body` if the job says it comes inline.

        Raises what reading raises, and `UnreadableInput` when the reader dies of the body or does not come to an end.
        """
        reader = await self._free.get()
        try:
            if reader is None or reader.returncode is not None:
                reader = await self._spawn()
            answer = await self._ask(reader, job, body)
        except BaseException:  # whatever it is, this reader is in the middle of something
            if reader is not None:
                self._kill(reader)
            self._free.put_nowait(None)
            raise
        self._free.put_nowait(reader)
        return _parsed(answer)

    async def close(self) -> None:
        """End all of them."""
        for reader in list(self._running):
            self._kill(reader)
            await reader.wait()

    async def _spawn(self) -> Process:
        command = (sys.executable, "-m", "timestore_pipeline.http_api.reader_process")
        reader = await asyncio.create_subprocess_exec(
            *command,
            str(self._limits.parser_memory_bytes),
            stdin=PIPE,
            stdout=PIPE,
            start_new_session=True,  # Ctrl-C in a terminal is for the server, which has bodies to finish
        )
        self._running.add(reader)
        return reader

    async def _ask(self, reader: Process, job: Mapping[str, Any], body: bytes) -> dict[str, Any]:
        assert reader.stdin is not None
        assert reader.stdout is not None
        try:
            async with asyncio.timeout(self._limits.parse_seconds):
                with suppress(ConnectionError):  # it is dead: then there is no answer either
                    reader.stdin.write(json.dumps(job).encode() + b"\n" + body)
                    await reader.stdin.drain()
                line = await reader.stdout.readline()
        except TimeoutError as error:
            raise _defeated(f"takes longer than {self._limits.parse_seconds:.0f} s to read", job) from error
        if not line.endswith(b"\n"):
            _log.warning("a body ended its reader process with code %s", await reader.wait())
            raise _defeated("ends the process that reads it", job)
        answer: dict[str, Any] = json.loads(line)
        return answer

    def _kill(self, reader: Process) -> None:
        self._running.discard(reader)
        with suppress(ProcessLookupError):
            reader.kill()


def _parsed(answer: Mapping[str, Any]) -> Parsed:
    error = answer.get("error")
    if error is not None:
        raise ERRORS[error["code"]](error["message"], hint=error["hint"])
    return Parsed(answer["rows"], answer["bytes"])


def _defeated(what: str, job: Mapping[str, Any]) -> UnreadableInput:
    return UnreadableInput(f"the body {what}", hint=str(job["hint"]))
