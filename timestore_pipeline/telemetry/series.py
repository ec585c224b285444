"""The contract with dashboards and alert rules: every series, its meaning and its labels.

Every series carries `shard` beside the labels named here. Amounts are rows, bytes or seconds, as the name says; a limit
or threshold of 0 means off.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass

from timestore_pipeline.model.flush import Trigger

PREFIX = "timestore_staging_"

_RESULTS = ("success", "failure")


@dataclass(frozen=True, slots=True)
class CounterSeries:
    """A counter of the ledger. `labels`: name -> the values that are exposed as 0 until they first move."""

    name: str  # as in the ledger: without the prefix
    help: str
    labels: Mapping[str, Sequence[str]]


@dataclass(frozen=True, slots=True)
class GaugeSeries:
    """A level that is read when asked."""

    name: str  # without the prefix
    help: str
    labels: Sequence[str]


COUNTERS = (
    CounterSeries("flush_batches_total", "Batches that flushes published, or returned.", {"result": _RESULTS}),
    CounterSeries("flush_rows_total", "Rows that flushes published, or returned.", {"result": _RESULTS}),
    CounterSeries(
        "flushes_total",
        "Flushes that ended.",
        {"trigger": tuple(trigger.value for trigger in Trigger), "result": _RESULTS},
    ),
    CounterSeries(
        "dropped_batches_total",
        "Batches refused for lack of room; their producers got an error.",
        {"reason": ("queue_full", "dataset_bytes", "total_bytes", "disk_full")},
    ),
    # Other reasons are error codes; a rate over `sum by (dataset)` sees their first increase because these two exist.
    CounterSeries(
        "retried_batches_total",
        "Batches that went back to pending after a failed flush.",
        {"reason": ("interrupted", "error")},
    ),
    CounterSeries(
        "guardrail_exceeded_total",
        "Batches that arrived above a guardrail, accepted or not.",
        {"guardrail": ("dataset_bytes", "total_bytes")},
    ),
)

QUEUE_DEPTH = GaugeSeries("queue_depth", "Staged and not yet published, in flight included.", ("dataset", "metric"))
IN_FLIGHT = GaugeSeries("in_flight", "Held by a flush that has not ended.", ("dataset", "metric"))
QUARANTINED = GaugeSeries("quarantined", "Set aside for an operator.", ("dataset", "metric"))
OLDEST_AGE = GaugeSeries(
    "oldest_age_seconds", "Age of the oldest batch not yet published; 0 when there is none.", ("dataset",)
)
OLDEST_STAGED = GaugeSeries(  # an instant ages by itself where it is kept, also after whoever pushed it died
    "oldest_staged_timestamp_seconds",
    "When the oldest batch not yet published was staged; absent when there is none.",
    ("dataset",),
)
DISK_USAGE = GaugeSeries("disk_usage_bytes", "Bytes of the dataset's segment files.", ("dataset", "component"))
DISK_LIMIT = GaugeSeries("disk_limit_bytes", "The dataset's guardrail; 0 = off.", ("dataset",))
TOTAL_DISK_USAGE = GaugeSeries("total_disk_usage_bytes", "Bytes of all segment files and of the ledger.", ())
TOTAL_DISK_LIMIT = GaugeSeries("total_disk_limit_bytes", "The guardrail of the whole directory; 0 = off.", ())
VOLUME_SIZE = GaugeSeries("volume_size_bytes", "Size of the filesystem that the staging directory lies on.", ())
VOLUME_AVAILABLE = GaugeSeries("volume_available_bytes", "What is left on that filesystem.", ())
FLUSH_THRESHOLD = GaugeSeries(
    "flush_threshold", "Flush thresholds in force, overrides included; 0 = off.", ("dataset", "metric")
)
SENSOR_LAST_TICK = GaugeSeries(
    "sensor_last_tick_timestamp_seconds", "When the flush sensor last ran; absent until it first did.", ()
)
FLUSH_DURATION = CounterSeries("flush_duration_seconds", "Time from claim to the end of a flush.", {"result": _RESULTS})

GAUGES = (
    QUEUE_DEPTH, IN_FLIGHT, QUARANTINED, OLDEST_AGE, OLDEST_STAGED, DISK_USAGE, DISK_LIMIT, TOTAL_DISK_USAGE,
    TOTAL_DISK_LIMIT, VOLUME_SIZE, VOLUME_AVAILABLE, FLUSH_THRESHOLD, SENSOR_LAST_TICK,
)  # fmt: skip
