"""PromQL over the product's series, in the few forms that rules and panels share.

Series in a Pushgateway freeze when their pusher dies, and a counter may appear with its first increase already in it.
The forms here allow for that: ages are computed from instants, and increases include a first sample.
"""

from __future__ import annotations

from dataclasses import dataclass

from timestore_pipeline.model.thresholds import LATE_FACTOR, LATE_FLOOR, LATE_MARGIN
from timestore_pipeline.monitoring.telemetry import series
from timestore_pipeline.monitoring.telemetry.push import JOB
from timestore_pipeline.monitoring.telemetry.series import CounterSeries, GaugeSeries, ShardCounter

_UNITS = (("d", 86_400_000), ("h", 3_600_000), ("m", 60_000), ("s", 1_000), ("ms", 1))  # milliseconds

Series = CounterSeries | GaugeSeries | ShardCounter
PUSHED_AT = "push_time_seconds"  # the Pushgateway's own series: when a group was last replaced
DATASET = "dataset, shard"  # the grouping of numbers about a dataset


@dataclass(frozen=True, slots=True)
class RuleDurations:
    """Every duration of the rules in Prometheus' notation, all divided by one factor.

    The factor is for trying out a monitoring stack, and for tests: few people would wait five minutes to see an alert
    fire. Rules for production are rendered at 1.
    """

    hurry: float = 1.0

    def span(self, seconds: float) -> str:
        """A duration in Prometheus' notation, in the largest unit that is exact: `10m`, `90s`, `250ms`."""
        milliseconds = round(self._shortened(seconds) * 1_000)
        if milliseconds == 0:
            return "0s"
        name, size = next((name, size) for name, size in _UNITS if milliseconds % size == 0)
        return f"{milliseconds // size}{name}"

    def seconds(self, seconds: float) -> str:
        """A number of seconds to compare with."""
        return f"{self._shortened(seconds):.10g}"

    def _shortened(self, seconds: float) -> float:
        return seconds / self.hurry


def seconds_of(span: str) -> str:
    """The seconds of a duration that `RuleDurations.span` wrote, to compare with."""
    unit = span.lstrip("0123456789")
    return f"{int(span.removesuffix(unit)) * dict(_UNITS)[unit] / 1_000:.10g}"


@dataclass(frozen=True, slots=True)
class Scope:
    """The samples to select: PromQL matchers such as `shard="a"` or `dataset=~"$dataset"`."""

    shard: str
    dataset: str = ""  # empty = every dataset

    @classmethod
    def of_shard(cls, shard: str) -> Scope:
        return cls(f'shard="{shard}"')

    def select(self, declared: Series, *, part: str = "", **labels: str) -> str:
        """A selector; part: of a histogram, `_bucket`, `_sum` or `_count`. Label values are matched literally."""
        matchers = [self.shard, *([self.dataset] if self.dataset and _has_dataset(declared) else [])]
        matchers += [f'{name}="{value}"' for name, value in labels.items()]
        return f"{series.PREFIX}{declared.name}{part}{{{','.join(matchers)}}}"

    def level(self, declared: GaugeSeries, **labels: str) -> str:
        """A gauge, once per dataset or shard, also where the same shard is pushed and scraped."""
        by = DATASET if "dataset" in declared.labels else "shard"
        return f"max by ({by}) ({self.select(declared, **labels)})"


def age(scope: Scope) -> str:
    """Seconds the oldest batch has waited; still grows when pushes stop."""
    return f"time() - min by ({DATASET}) ({scope.select(series.OLDEST_STAGED)})"


def blocked(scope: Scope) -> str:
    """1 per dataset and error code whose flushes wait for a person."""
    return f"max by ({DATASET}, code) ({scope.select(series.BLOCKED)})"


def age_limit(scope: Scope, durations: RuleDurations) -> str:
    """`FlushThresholds.late_after` in seconds; no sample where that is None."""
    max_age = scope.level(series.FLUSH_THRESHOLD, metric="age_seconds")
    floor, margin = (durations.seconds(span.total_seconds()) for span in (LATE_FLOOR, LATE_MARGIN))
    return f"(clamp_min({LATE_FACTOR} * {max_age} + {margin}, {floor})\nunless {ageless(scope)})"


def ageless(scope: Scope) -> str:
    """A sample for each dataset in which no batch is ever late: age is off, and rows or bytes are on."""
    max_age = scope.level(series.FLUSH_THRESHOLD, metric="age_seconds")
    other = " or ".join(f"{scope.level(series.FLUSH_THRESHOLD, metric=metric)} > 0" for metric in ("rows", "bytes"))
    return f"({max_age} == 0 and ({other}))"


def silence(instant: str) -> str:
    """Seconds since the newest of these instants."""
    return f"time() - max by (shard) ({instant})"


def verified(scope: Scope, at: str = "") -> str:
    """When a verification last read everything, or when the dataset was created; at: a modifier such as `@ end()`."""
    read = [scope.select(series.VERIFIED, result=result) for result in ("ok", "problems")]
    instants = " or ".join(f"{selector} {at}".rstrip() for selector in (*read, scope.select(series.CREATED)))
    return f"max by ({DATASET}) ({instants})"


def pushed_at(scope: Scope) -> str:
    """When the shard's group was last pushed; no sample where a shard is scraped directly."""
    return f'{PUSHED_AT}{{job="{JOB}",{scope.shard}}}'


def share(used: str, limit: str) -> str:
    """Used over limit; no sample where the limit is off."""
    return f"{used}\n/ ({limit} > 0)"


def increase(scope: Scope, declared: CounterSeries, window: str, *, by: str = "", **labels: str) -> str:
    """The growth of a counter within the window, per dataset and `by`; exact, not extrapolated.

    A series that did not exist at the start of the window counts with its whole value, provided that the shard was
    monitored then: otherwise a Prometheus set up today would count a year's drops as today's. A dataset that was
    removed and came back within the window, with all its former counts, is excluded.
    """
    counter = scope.select(declared, **labels)
    watched = scope.select(series.SENSOR_LAST_TICK)
    created = scope.select(series.CREATED)
    returned = f"({created} < time() - {seconds_of(window)} unless {created} offset {window})"
    grouped = f"{DATASET}, {by}" if by else DATASET
    return (
        f"sum by ({grouped}) (\n"
        f"  ({counter} unless {counter} offset {window} and on (shard) {watched} offset {window}\n"
        f"   unless on ({DATASET}) {returned})\n"
        f"  or ({counter} - min_over_time({counter}[{window}]))\n)"
    )


def duration_p95(scope: Scope, window: str) -> str:
    """Seconds within which 95 of 100 successful flushes ended; no sample (instead of NaN) where there was none."""
    buckets = scope.select(series.FLUSH_DURATION, part="_bucket", result="success")
    rate = f"sum by ({DATASET}, le) (rate({buckets}[{window}]))"
    return f"histogram_quantile(0.95, {rate}) >= 0"


def _has_dataset(declared: Series) -> bool:
    return isinstance(declared, CounterSeries) or (isinstance(declared, GaugeSeries) and "dataset" in declared.labels)
