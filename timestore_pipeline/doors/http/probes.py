"""Readiness and metrics of the server."""

from __future__ import annotations

import asyncio
from collections.abc import Awaitable, Callable
from typing import Generic, TypeVar

from timestore_pipeline.doors.http.server_metrics import ServerMetrics
from timestore_pipeline.doors.http.service import Service
from timestore_pipeline.errors import DiskFull, LedgerBusy, ManagerClosed
from timestore_pipeline.monitoring.telemetry.metrics import exposition
from timestore_pipeline.system import clock

T = TypeVar("T")

_FRESH_SECONDS = 1.0  # scrapers and probes may ask more often; the ledger is read once a second
_PROBE_SECONDS = 5.0
_PROBED_AT = "http_probed_at"  # in the ledger's meta: a write proves what a read cannot


class Fresh(Generic[T]):
    """An answer that is at most a second old; concurrent requests wait for the same answer."""

    def __init__(self, ask: Callable[[], Awaitable[T]]) -> None:
        self._ask = ask
        self._lock = asyncio.Lock()
        self._answer: T | None = None
        self._asked_at = float("-inf")

    async def get(self) -> T:
        async with self._lock:
            if self._answer is None or clock.monotonic() - self._asked_at >= _FRESH_SECONDS:
                self._answer = await self._ask()
                self._asked_at = clock.monotonic()
            return self._answer


class Probes:
    """`stopping`: whether the server is shutting down."""

    def __init__(self, service: Service, server_metrics: ServerMetrics, stopping: Callable[[], bool]) -> None:
        self._service = service
        self._server_metrics = server_metrics
        self._stopping = stopping
        self._metrics = Fresh(self._scrape)
        self._readiness = Fresh(self._check)

    async def metrics(self) -> bytes:
        """The exposition in Prometheus' text format."""
        return await self._metrics.get()

    async def ready(self) -> None:
        """Raises `ManagerClosed`, `LedgerBusy`, `DiskFull` or the ledger's errors when batches would be refused."""
        if self._stopping():
            raise ManagerClosed("the server is shutting down", hint="send to another server")
        await self._readiness.get()

    async def _scrape(self) -> bytes:
        store = self._service.store
        staging = await self._service.probe_calls.run(exposition, store.area, store.settings)
        return (staging + self._server_metrics.exposition(store.area.shard)).encode()

    async def _check(self) -> bool:
        try:
            async with asyncio.timeout(_PROBE_SECONDS):
                return await self._service.probe_calls.run(self._write)
        except TimeoutError as error:
            hint = "look for a stopped process that has ledger.sqlite open"
            raise LedgerBusy("the ledger cannot be written", hint=hint) from error

    def _write(self) -> bool:
        area = self._service.store.area
        volume = area.directory.volume()
        if volume.lacks(self._service.store.settings.staging_min_free_bytes) > 0:
            message = f"{volume.available} bytes are free for {area.directory.root}"
            raise DiskFull(message, hint="free space or move the directory")
        area.ledger.set_meta(_PROBED_AT, str(clock.to_micros(clock.now())))
        return True
