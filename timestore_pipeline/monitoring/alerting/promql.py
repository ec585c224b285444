"""PromQL over the product's series, in the few forms that rules and panels share.

Whatever arrives through a Pushgateway freezes when its pusher dies, and a counter may appear with its first increase
already in it. The forms here are chosen for that: ages are taken from instants, increases see a first sample.
"""

from __future__ import annotations

from dataclasses import dataclass

from timestore_pipeline.monitoring.alerting.durations import Durations, seconds_of
from timestore_pipeline.monitoring.telemetry import series
from timestore_pipeline.monitoring.telemetry.push import JOB
from timestore_pipeline.monitoring.telemetry.series import CounterSeries, GaugeSeries, ShardCounter

Series = CounterSeries | GaugeSeries | ShardCounter

PUSHED_AT = "push_time_seconds"  # the Pushgateway's own series: when a group was last replaced
DATASET = "dataset, shard"  # what a number about a dataset is grouped by

AGE_FLOOR = 120.0  # seconds a batch may always wait before its age is alarming
AGE_FACTOR = 1.5  # of a dataset's own max age, when that is longer
AGE_MARGIN = 30.0  # seconds for the sensor's tick, Dagster's queue and the flush itself


@dataclass(frozen=True, slots=True)
class Scope:
    """Which samples are meant: matchers as PromQL writes them, `shard="a"` or `dataset=~"$dataset"`."""

    shard: str
    dataset: str = ""  # empty = every dataset

    @classmethod
    def of_shard(cls, shard: str) -> Scope:
        return cls(f'shard="{shard}"')

    def select(self, declared: Series, *, part: str = "", **labels: str) -> str:
        """A selector; part: of a histogram, `_bucket`, `_sum` or `_count`. A label value is matched as it is."""
        matchers = [self.shard, *([self.dataset] if self.dataset and _has_dataset(declared) else [])]
        matchers += [f'{name}="{value}"' for name, value in labels.items()]
        return f"{series.PREFIX}{declared.name}{part}{{{','.join(matchers)}}}"

    def level(self, declared: GaugeSeries, **labels: str) -> str:
        """A gauge, once per dataset or shard, also where the same shard is pushed and scraped."""
        by = DATASET if "dataset" in declared.labels else "shard"
        return f"max by ({by}) ({self.select(declared, **labels)})"


def age(scope: Scope) -> str:
    """Seconds the oldest batch has waited. It goes on growing when nobody pushes any more."""
    return f"time() - min by ({DATASET}) ({scope.select(series.OLDEST_STAGED)})"


def blocked(scope: Scope) -> str:
    """1 per dataset and error code whose flushes wait for a person."""
    return f"max by ({DATASET}, code) ({scope.select(series.BLOCKED)})"


def age_limit(scope: Scope, durations: Durations) -> str:
    """Seconds a batch of the dataset may wait; nothing where age is off and another threshold is on."""
    max_age = scope.level(series.FLUSH_THRESHOLD, metric="age_seconds")
    floor, margin = durations.seconds(AGE_FLOOR), durations.seconds(AGE_MARGIN)
    other = " or ".join(f"{scope.level(series.FLUSH_THRESHOLD, metric=metric)} > 0" for metric in ("rows", "bytes"))
    return f"(clamp_min({AGE_FACTOR} * {max_age} + {margin}, {floor})\nunless ({max_age} == 0 and ({other})))"


def silence(instant: str) -> str:
    """Seconds since the newest of these instants."""
    return f"time() - max by (shard) ({instant})"


def pushed_at(scope: Scope) -> str:
    """When the shard's group was last pushed; nothing where a shard is scraped directly."""
    return f'{PUSHED_AT}{{job="{JOB}",{scope.shard}}}'


def share(used: str, limit: str) -> str:
    """Used over limit, nothing where the limit is off."""
    return f"{used}\n/ ({limit} > 0)"


def increase(scope: Scope, declared: CounterSeries, window: str, *, by: str = "", **labels: str) -> str:
    """How much a counter grew within the window, per dataset and `by`; exact, not extrapolated.

    A series that was not there at the window's start has grown by all it shows, provided that the shard was watched
    then: otherwise a Prometheus set up today would take a year's drops for today's. Nor does a dataset count that was
    removed and came back within the window, with everything it had counted before.
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


def duration_quantile(scope: Scope, quantile: float, window: str, result: str = "success") -> str:
    """Seconds within which this share of the flushes ended; nothing (and not NaN) where there was none."""
    buckets = scope.select(series.FLUSH_DURATION, part="_bucket", result=result)
    rate = f"sum by ({DATASET}, le) (rate({buckets}[{window}]))"
    return f"histogram_quantile({quantile}, {rate}) >= 0"


def _has_dataset(declared: Series) -> bool:
    return isinstance(declared, CounterSeries) or (isinstance(declared, GaugeSeries) and "dataset" in declared.labels)
