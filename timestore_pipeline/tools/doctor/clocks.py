"""Compares this host's clock with the filesystem's, and looks for instants in the ledger that are in the future."""

from __future__ import annotations

from collections.abc import Iterator
from datetime import timedelta

from timestore_pipeline import clock
from timestore_pipeline.staging.ledger.inspection import LedgerInspection
from timestore_pipeline.tools.doctor.disk import durable_write, nearest_folder
from timestore_pipeline.tools.doctor.finding import Deployment, Finding, ok, warning

_SKEW = timedelta(seconds=5)  # as the flush decision allows


def clocks(deployment: Deployment) -> Iterator[Finding]:
    """A clock that was set back makes waiting batches look younger and breaks leases; such batches count as due."""
    place = nearest_folder(deployment.directory.root)
    apart = abs(durable_write(place).stamped_at - clock.now())
    if apart > _SKEW:
        seen = f"the filesystem of {place} stamps files {apart.total_seconds():.0f} s apart from this host's clock"
        yield warning(seen, "synchronise both with NTP")
    jumps = _from_the_future(deployment)
    if jumps:
        yield warning("; ".join(jumps), "the clock was set back: check NTP; staged rows are flushed all the same")
    if apart <= _SKEW and not jumps:
        yield ok(f"{clock.now():%Y-%m-%d %H:%M:%S} UTC, {apart.total_seconds():.1f} s from the filesystem's clock")


def _from_the_future(deployment: Deployment) -> list[str]:
    found = deployment.ledger(LedgerInspection.newest_instants) or {}
    now = clock.now()
    return [
        f"{kind} at {instant:%Y-%m-%d %H:%M:%S} UTC, {(instant - now).total_seconds():.0f} s from now"
        for kind, instant in found.items()
        if instant > now + _SKEW
    ]
