"""Whether the flush sensor ticks, so that due datasets are flushed."""

from __future__ import annotations

from timestore_pipeline import clock
from timestore_pipeline.cli.wording import duration
from timestore_pipeline.staging.ledger import SENSOR_LAST_TICK
from timestore_pipeline.tools.doctor.queue_health import SENSOR_LATE
from timestore_pipeline.wiring import Timestore


def sensor_lateness(store: Timestore) -> str | None:
    """Why the sensor counts as late; None = it ticks."""
    ticked = store.area.ledger.get_meta(SENSOR_LAST_TICK)
    if ticked is None:
        return "no flush sensor has run on this staging directory yet"
    silent = clock.now() - clock.from_micros(int(ticked))
    return f"the flush sensor has not ticked for {duration(silent)}" if silent > SENSOR_LATE else None
