"""For every alert and severity, a scene in which it fires and one, as near as possible, in which it does not."""

from __future__ import annotations

from dataclasses import dataclass

from tests.monitoring.alerting.scenes import Scene, named

FLIGHTS = {"dataset": "flights"}
DENIED = FLIGHTS | {"code": "access_denied"}
PLANES = {"dataset": "planes.small"}
WEATHER = {"dataset": "weather"}
GB = 2**30
LIMIT = 512 * 2**20  # the default guardrail

TICK = named("sensor_last_tick_timestamp_seconds")


@dataclass(frozen=True)
class Case:
    alert: str
    severity: str
    firing: Scene
    quiet: Scene
    evaluated: str = "15s"  # how often; hours of it every 15 s would take promtool long

    def __str__(self) -> str:
        return f"{self.alert}-{self.severity}"


def depth(dataset: str) -> str:
    return named("queue_depth", dataset=dataset, metric="batches")


def disk(dataset: str) -> str:
    return named("disk_usage_bytes", dataset=dataset, component="total")


def staged(dataset: str) -> str:
    return named("oldest_staged_timestamp_seconds", dataset=dataset)


def dropped(dataset: str, reason: str = "queue_full") -> str:
    return named("dropped_batches_total", dataset=dataset, reason=reason)


def retried(dataset: str, reason: str = "error") -> str:
    return named("retried_batches_total", dataset=dataset, reason=reason)


def ended(result: str) -> str:
    return named("flushes_total", dataset="flights", trigger="age", result=result)


def durations(*speeds: tuple[float, int]) -> dict[str, str]:
    """One flush every 15 s; speeds: seconds a flush takes, and for how many flushes."""
    bounds = ("0.1", "0.25", "0.5", "1.0", "2.5", "5.0", "10.0", "30.0", "60.0", "120.0", "300.0", "600.0", "+Inf")
    found = {
        named("flush_duration_seconds_bucket", dataset="flights", result="success", le=bound): [
            float(bound) >= seconds for seconds, flushes in speeds for _ in range(flushes)
        ]
        for bound in bounds
    }
    found[named("flush_duration_seconds_count", dataset="flights", result="success")] = found[next(reversed(found))]
    return {name: " ".join(map(str, _summed(steps))) for name, steps in found.items()}


def _summed(steps: list[bool]) -> list[int]:
    total, sums = 0, []
    for step in steps:
        total += step
        sums.append(total)
    return sums


CASES = [
    Case(
        "TimestoreBacklog",
        "warning",
        Scene("20m", {depth("flights"): "21x99", depth("planes.small"): "201x99"}, (FLIGHTS, PLANES)),
        Scene(  # at the level, a deep dataset below its own, one that nobody asked about, and one that drains in time
            "20m",
            {
                depth("flights"): "20x99",
                depth("planes.small"): "200x99",
                depth("weather"): "9999x99",
                depth("trips"): "99x15 0 99x15 0 99x15 0 99x15 0 99x15 0",
            },
        ),
    ),
    Case(
        "TimestoreBacklog",
        "page",
        Scene("20m", {depth("flights"): "51x99", depth("planes.small"): "501x99"}, (FLIGHTS, PLANES)),
        Scene("20m", {depth("flights"): "50x99", depth("planes.small"): "500x99", depth("weather"): "9999x99"}),
    ),
    Case(
        "TimestoreOldestBatch",
        "page",
        Scene(  # an instant that stands still ages, with or without anybody who pushes it
            "15m45s", {staged("flights"): "810x99", staged("planes.small"): "0x99"}, (FLIGHTS, PLANES)
        ),
        Scene(  # planes may wait 1.5 x 600 + 30 s; weather has no age at all
            "15m30s",
            {
                staged("flights"): "_x10 150+15x10 450+15x90",
                staged("planes.small"): "0x99",
                staged("weather"): "0x99",
            },
        ),
    ),
    Case(
        "TimestoreOldestBatch",
        "warning",
        Scene("2m15s", {staged("weather"): "0x99"}, (WEATHER,)),
        Scene(  # datasets with an age limit, and one that is flushed in time
            "15m30s", {staged("flights"): "0x99", staged("weather"): "_x10 150+15x10 450+15x90"}
        ),
    ),
    Case(
        "TimestoreDatasetDisk",
        "warning",
        Scene("20m", {disk("flights"): f"{LIMIT * 0.76}x99"}, (FLIGHTS,)),
        Scene(  # a guardrail of 0 is off: no share of it is too much
            "20m",
            {
                disk("flights"): f"{LIMIT * 0.75}x99",
                disk("weather"): f"{GB}x99",
                named("disk_limit_bytes", dataset="weather"): "0x99",
            },
        ),
    ),
    Case(
        "TimestoreDatasetDisk",
        "page",
        Scene("20m", {disk("flights"): f"{LIMIT * 0.91}x99"}, (FLIGHTS,)),
        Scene("20m", {disk("flights"): f"{LIMIT * 0.89}x99"}),
    ),
    Case(
        "TimestoreTotalDisk",
        "warning",
        Scene("20m", {named("total_disk_usage_bytes"): f"{GB * 0.76}x99"}, ({},)),
        Scene("20m", {named("total_disk_usage_bytes"): f"{9 * GB}x99", named("total_disk_limit_bytes"): "0x99"}),
    ),
    Case(
        "TimestoreTotalDisk",
        "page",
        Scene("20m", {named("total_disk_usage_bytes"): f"{GB * 0.91}x99"}, ({},)),
        Scene("20m", {named("total_disk_usage_bytes"): f"{GB * 0.89}x99"}),
    ),
    Case(
        "TimestoreVolume",
        "warning",
        Scene("20m", {named("volume_size_bytes"): "100x99", named("volume_available_bytes"): "24x99"}, ({},)),
        Scene("20m", {named("volume_size_bytes"): "100x99", named("volume_available_bytes"): "26x99"}),
    ),
    Case(
        "TimestoreVolume",
        "page",
        Scene("20m", {named("volume_size_bytes"): "100x99", named("volume_available_bytes"): "9x99"}, ({},)),
        Scene("20m", {named("volume_size_bytes"): "100x99", named("volume_available_bytes"): "11x99"}),
    ),
    Case(
        "TimestoreBatchesDropped",
        "warning",
        Scene(  # one grows, one appears with its first drops already in it
            "20m",
            {
                dropped("flights"): "5x50 6x49",
                dropped("trips", "disk_full"): "_x50 3x49",
                named("created_timestamp_seconds", dataset="trips"): "_x50 745x49",
                dropped("back"): "_x50 500x10 501x39",  # came back, and is refused again
                named("created_timestamp_seconds", dataset="back"): "_x50 0x49",
            },
            (
                FLIGHTS | {"reason": "queue_full"},
                {"dataset": "trips", "reason": "disk_full"},
                {"dataset": "back", "reason": "queue_full"},
            ),
        ),
        Scene(  # ten minutes ago and more; and a dataset that was removed long after it was refused, and came back
            "20m",
            {
                dropped("flights"): "5x20 6x79",
                dropped("weather"): "7x99",
                dropped("trips"): "_x60 500x39",
                named("created_timestamp_seconds", dataset="trips"): "_x60 300x39",
            },
        ),
    ),
    Case(
        "TimestoreBackpressure",
        "warning",
        Scene("20m", {retried("flights"): "0x70 4x29"}, (FLIGHTS | {"reason": "error"},)),
        Scene("20m", {retried("flights"): "0x20 4x79", dropped("weather"): "0x70 4x29"}),  # 15 minutes ago
    ),
    Case(
        "TimestoreBackpressure",
        "page",
        Scene(
            "20m",
            {dropped("flights"): "0x50 1x49", retried("flights"): "0x70 4x29", retried("weather"): "0x70 4x29"},
            (FLIGHTS,),
        ),
        Scene("20m", {dropped("flights"): "0x50 1x49", retried("flights"): "4x99", retried("weather"): "0x50 9x49"}),
    ),
    Case(
        "TimestoreGuardrail",
        "warning",
        Scene(
            "20m",
            {named("guardrail_exceeded_total", dataset="flights", guardrail="dataset_bytes"): "0x60 2x39"},
            (FLIGHTS | {"guardrail": "dataset_bytes"},),
        ),
        Scene("20m", {named("guardrail_exceeded_total", dataset="flights", guardrail="dataset_bytes"): "2x99"}),
    ),
    Case(
        "TimestoreFlushFailing",
        "warning",
        Scene("20m", {ended("failure"): "0x10 1x10 2x10 3x69", ended("success"): "0x10 1x10 2x79"}, (FLIGHTS,)),
        Scene("20m", {ended("failure"): "0x10 1x10 2x79", ended("success"): "0x99"}),  # two are no pattern yet
    ),
    Case(
        "TimestoreFlushBlocked",
        "warning",
        Scene("20m", {named("blocked", dataset="flights", code="access_denied"): "_x79 1x20"}, (DENIED,)),
        Scene("20m", {named("blocked", dataset="flights", code="access_denied"): "1x78 stale"}),
    ),
    Case(
        "TimestoreFlushSlower",
        "warning",
        Scene("3h10m", durations((1.2, 2 * 240), (8.0, 300)), (FLIGHTS,)),
        Scene("3h10m", durations((1.2, 2 * 240), *[(1.2, 9), (3.0, 1)] * 30)),  # half as slow again
        evaluated="1m",
    ),
    Case(
        "TimestoreSensorStale",
        "page",
        Scene("20m", {named("sensor_last_tick_timestamp_seconds"): "1065x99"}, ({},)),
        Scene("20m", {named("sensor_last_tick_timestamp_seconds"): "1080x99"}),
    ),
    Case(
        "TimestorePushStale",
        "warning",
        Scene("20m", {'push_time_seconds{instance="",job="timestore",shard="edge-7"}': "1065x99"}, ({},)),
        Scene("20m", {'push_time_seconds{instance="",job="timestore",shard="edge-7"}': "1080x99"}),
    ),
    Case(
        "TimestoreAbsent",
        "page",
        Scene("20m", {named("sensor_last_tick_timestamp_seconds"): "1 stale"}, ({},)),
        Scene("20m", {named("sensor_last_tick_timestamp_seconds"): "1x67 stale"}),  # gone for three minutes
    ),
    Case(
        "TimestoreSeenTwice",
        "warning",
        Scene("20m", {TICK.replace("{", '{instance="b",'): "_x50 1000x49"}, ({},)),
        Scene("20m", {TICK.replace("{", '{instance="b",'): "1000x50 stale"}),  # one took over from the other
    ),
    Case(
        "TimestoreQuarantine",
        "warning",
        Scene("20m", {named("quarantined", dataset="flights", metric="batches"): "1x99"}, (FLIGHTS,)),
        Scene("20m", {named("quarantined", dataset="flights", metric="batches"): "1x10 0x89"}),
    ),
]
