"""The contract with dashboards and alert rules: every series, its meaning and its labels.

Every series carries `shard` beside the labels named here. Amounts are rows, bytes or seconds, as in the name; a limit
or threshold of 0 means off.

A counter that appears with its first increase hides that increase from `rate` and `increase`. So every counter for
alerts is exposed as 0 from the creation of the dataset. Counters that only distinguish flushes, by trigger and by
duration, are exposed from the first flush on: they are half of all samples, and a shard may have thousands of datasets.
Counters of compactions are exposed from the dataset's first compaction on.

A running HTTP server counts its own series, so that only its `/metrics` has them. Those counters begin at 0 with each
start of the server, and one with other labels appears with its first increase.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass

from timestore_pipeline.model.batch import IncidentReason
from timestore_pipeline.model.flush import RetryReason, Trigger
from timestore_pipeline.staging.ledger import counters

PREFIX = "timestore_staging_"

_RESULTS = ("success", "failure")


@dataclass(frozen=True, slots=True)
class CounterSeries:
    """A counter per dataset. `labels`: name -> all its values."""

    name: str  # as in the ledger: without the prefix
    help: str
    labels: Mapping[str, Sequence[str]]
    from_zero: bool = True  # False = absent until it first moves


@dataclass(frozen=True, slots=True)
class ShardCounter:
    """A counter of the whole shard, exposed from 0 on."""

    name: str  # without the prefix
    help: str


@dataclass(frozen=True, slots=True)
class GaugeSeries:
    """A level, read at the moment of the scrape."""

    name: str  # without the prefix
    help: str
    labels: Sequence[str]


ACCEPTED_BATCHES = CounterSeries("accepted_batches_total", "Batches acknowledged to their producers.", {})
ACCEPTED_ROWS = CounterSeries("accepted_rows_total", "Rows acknowledged to their producers.", {})

COUNTERS = (
    ACCEPTED_BATCHES,
    ACCEPTED_ROWS,
    CounterSeries("flush_batches_total", "Batches that flushes published, or returned.", {"result": _RESULTS}),
    CounterSeries("flush_rows_total", "Rows that flushes published, or returned.", {"result": _RESULTS}),
    CounterSeries(
        "flushes_total",
        "Flushes that ended.",
        {"trigger": tuple(trigger.value for trigger in Trigger), "result": _RESULTS},
        from_zero=False,
    ),
    CounterSeries(
        "dropped_batches_total",
        "Batches refused for lack of room; their producers got an error.",
        {"reason": ("queue_full", "dataset_bytes", "total_bytes", "disk_full")},
    ),
    CounterSeries(
        "retried_batches_total",
        "Batches that went back to pending after a failed flush.",
        {"reason": tuple(reason.value for reason in RetryReason)},
    ),
    CounterSeries(
        "quarantined_batches_total",
        "Batches put into quarantine for an operator.",
        {"reason": tuple(reason.value for reason in IncidentReason)},
    ),
    CounterSeries("requeued_batches_total", "Batches an operator put back from quarantine into the queue.", {}),
    CounterSeries("discarded_batches_total", "Batches an operator gave up.", {}),
    CounterSeries(
        "guardrail_exceeded_total",
        "Batches that arrived above a guardrail, accepted or not.",
        {"guardrail": ("dataset_bytes", "total_bytes")},
    ),
    CounterSeries("compactions_total", "Groups of small files that became one file each.", {}, from_zero=False),
    CounterSeries("compacted_files_total", "Small files that compactions replaced.", {}, from_zero=False),
    CounterSeries("compacted_rows_total", "Rows that compactions wrote once more.", {}, from_zero=False),
    CounterSeries("compacted_bytes_total", "Bytes of the files that compactions replaced.", {}, from_zero=False),
    CounterSeries("compaction_written_bytes_total", "Bytes of the files in their place.", {}, from_zero=False),
    CounterSeries(
        "compaction_seconds_total",
        "Time spent on compactions, also on those that were abandoned.",
        {},
        from_zero=False,
    ),
)

QUEUE_DEPTH = GaugeSeries("queue_depth", "Staged and not yet published, in flight included.", ("dataset", "metric"))
IN_FLIGHT = GaugeSeries("in_flight", "Held by a flush that has not ended.", ("dataset", "metric"))
QUARANTINED = GaugeSeries("quarantined", "In quarantine for an operator.", ("dataset", "metric"))
OLDEST_AGE = GaugeSeries(
    "oldest_age_seconds", "Age of the oldest batch not yet published; 0 when there is none.", ("dataset",)
)
OLDEST_STAGED = GaugeSeries(  # an instant, so that the age still grows after the process that pushed it died
    "oldest_staged_timestamp_seconds",
    "When the oldest batch not yet published was staged; absent when there is none.",
    ("dataset",),
)
CREATED = GaugeSeries(  # lets a rule distinguish a dataset that came back, with all its counters, from a new one
    "created_timestamp_seconds", "When the dataset was created; a removal does not change it.", ("dataset",)
)
DISK_USAGE = GaugeSeries(
    "disk_usage_bytes",
    "Bytes of the dataset's segment files (database) and of its batches in journals (wal).",
    ("dataset", "component"),
)
DISK_LIMIT = GaugeSeries("disk_limit_bytes", "The dataset's guardrail; 0 = off.", ("dataset",))
TOTAL_DISK_USAGE = GaugeSeries(
    "total_disk_usage_bytes", "Bytes of all segment files, of all journals and of the ledger.", ()
)
TOTAL_DISK_LIMIT = GaugeSeries("total_disk_limit_bytes", "The guardrail of the whole directory; 0 = off.", ())
VOLUME_SIZE = GaugeSeries("volume_size_bytes", "Size of the filesystem that the staging directory lies on.", ())
VOLUME_AVAILABLE = GaugeSeries("volume_available_bytes", "What is left on that filesystem.", ())
FLUSH_THRESHOLD = GaugeSeries(
    "flush_threshold", "Flush thresholds in force, overrides included; 0 = off.", ("dataset", "metric")
)
SENSOR_LAST_TICK = GaugeSeries(
    "sensor_last_tick_timestamp_seconds", "When the flush sensor last ran; absent until it first did.", ()
)
FLUSH_DURATION = CounterSeries(
    "flush_duration_seconds", "Time from claim to the end of a flush.", {"result": _RESULTS}, from_zero=False
)
CLAIMED_AT = GaugeSeries(  # an instant, so that the age of a claim still grows when pushes stop
    "claimed_timestamp_seconds", "When the dataset's flush in flight took its claim; absent when there is none.",
    ("dataset",),
)  # fmt: skip
ACTIVE_CLAIMS = GaugeSeries("active_claims", "Flushes in flight, interrupted ones included.", ())
FAILURES_IN_A_ROW = GaugeSeries(
    "failures_in_a_row", "Flushes that failed since the last success; absent when the last one succeeded.", ("dataset",)
)
PAUSED = GaugeSeries("paused", "1 where an operator has stopped automatic flushes, absent elsewhere.", ("dataset",))
BLOCKED = GaugeSeries(
    "blocked", "1 where flushes wait for a person after an error of this code, absent elsewhere.", ("dataset", "code")
)
VERIFIED = GaugeSeries(
    counters.VERIFIED,
    "When a verification last ended with this result: ok, problems, or unknown = it could not read everything.",
    ("dataset", "result"),
)
VERIFY_PROBLEMS = GaugeSeries(
    counters.PROBLEMS,
    "Problems that the last verification of this depth, or a deeper one, listed; absent until there was one.",
    ("dataset", "depth"),
)
OPEN_INCIDENTS = GaugeSeries("open_incidents", "Batches and segments in quarantine that wait for an operator.", ())
QUARANTINE_USAGE = GaugeSeries("quarantine_usage_bytes", "Bytes of the files in quarantine.", ())
METRICS_PUSHED = GaugeSeries(
    "metrics_pushed_timestamp_seconds", "When a Pushgateway last took a push; absent until one did.", ()
)
METRICS_PUSH_FAILURES = ShardCounter("metrics_push_failures_total", "Pushes that no Pushgateway took.")

GAUGES = (
    QUEUE_DEPTH, IN_FLIGHT, QUARANTINED, OLDEST_AGE, OLDEST_STAGED, CREATED, DISK_USAGE, DISK_LIMIT, TOTAL_DISK_USAGE,
    TOTAL_DISK_LIMIT, VOLUME_SIZE, VOLUME_AVAILABLE, FLUSH_THRESHOLD, SENSOR_LAST_TICK, CLAIMED_AT, ACTIVE_CLAIMS,
    FAILURES_IN_A_ROW, PAUSED, BLOCKED, VERIFIED, VERIFY_PROBLEMS, OPEN_INCIDENTS, QUARANTINE_USAGE, METRICS_PUSHED,
)  # fmt: skip


def counter(name: str) -> CounterSeries:
    """A counter by its name without the prefix; raises `KeyError`."""
    return {declared.name: declared for declared in COUNTERS}[name]


@dataclass(frozen=True, slots=True)
class ApiSeries:
    """`labels` beside `shard`. A counter's name has its suffix, a histogram's has none."""

    name: str
    help: str
    labels: Sequence[str] = ()


REQUESTS = ApiSeries(
    "timestore_api_requests_total",
    "Answered requests that need a right; token is empty without a valid one.",
    ("token", "right", "status"),
)
REQUEST_SECONDS = ApiSeries(
    "timestore_api_request_seconds",
    "Time from a request's head to its answer, of requests that need a right and have it.",
    ("right",),
)
CONNECTIONS = ApiSeries("timestore_api_connections", "Open connections.")
CONNECTIONS_LIMIT = ApiSeries(
    "timestore_api_connections_limit", "Connections from which on idle ones give way to new ones."
)
TOKENS = ApiSeries("timestore_api_tokens", "Tokens in force; 0 = none is required.")
FILE_REFUSED = ApiSeries(
    "timestore_api_file_refused",
    "1 = the file was changed and refused, and its last good version is in force.",
    ("file",),
)

API_SERIES = (REQUESTS, REQUEST_SECONDS, CONNECTIONS, CONNECTIONS_LIMIT, TOKENS, FILE_REFUSED)
