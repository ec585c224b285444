"""A dataset's lake partitions as Dagster partitions: one key per hour, day or month, formatted as in the Delta log.

Time windows, not dynamic partitions: no key has to be registered before an event counts, and a day without data shows
as a gap. The range is taken from the ledger when the definitions are loaded. Decision 0013.
"""

from datetime import UTC, datetime, timedelta

import dagster as dg

from timestore_pipeline.model.dataset import Granularity
from timestore_pipeline.staging.ledger.dataset_catalog import CatalogEntry

MOST_WINDOWS = 100_000  # of one dataset, as Dagster recommends: 11 years of hours, 273 years of days

_EARLIEST = datetime(2, 1, 1, tzinfo=UTC)  # Python's calendar begins a year before, and Dagster steps back a window
_CRON = {Granularity.HOUR: "0 * * * *", Granularity.DAY: "0 0 * * *", Granularity.MONTH: "0 0 1 * *"}
# A month is at least as long, so that no more than MOST_WINDOWS of them are reached.
_LENGTH = {Granularity.HOUR: timedelta(hours=1), Granularity.DAY: timedelta(days=1), Granularity.MONTH: timedelta(28)}
_SPELLING = {Granularity.HOUR: "%Y-%m-%d %H:%M:%S", Granularity.DAY: "%Y-%m-%d", Granularity.MONTH: "%Y-%m-%d"}


def partitions_of(entry: CatalogEntry, now: datetime) -> dg.TimeWindowPartitionsDefinition | None:
    """From the dataset's first partition to the later of now and its last; None = not partitioned."""
    granularity = entry.record.granularity
    if entry.record.time_column is None or granularity is None or granularity is Granularity.NONE:
        return None
    current = _window_of(granularity, now)
    first, last = _start_of(entry.first_partition) or current, _start_of(entry.last_partition) or current
    ahead = min(max(_windows(granularity, current, last), 0) + 1, MOST_WINDOWS // 2)  # the current one, and forecasts
    oldest = current - min((MOST_WINDOWS - ahead) * _LENGTH[granularity], current - _EARLIEST)
    return dg.TimeWindowPartitionsDefinition(
        cron_schedule=_CRON[granularity],
        start=max(min(first, current), oldest),
        fmt=_SPELLING[granularity],
        timezone="UTC",
        end_offset=ahead,
    )


def covers(partitions: dg.PartitionsDefinition[str] | None, entry: CatalogEntry, now: datetime) -> bool:
    """Whether every partition the dataset has now can be marked; False = the definitions are older than the data."""
    wanted = partitions_of(entry, now)
    if wanted is None or not isinstance(partitions, dg.TimeWindowPartitionsDefinition):
        return wanted is None and partitions is None
    if wanted.cron_schedule != partitions.cron_schedule:
        return False
    return wanted.start >= partitions.start and wanted.end_offset <= partitions.end_offset


def _start_of(value: str | None) -> datetime | None:
    return None if value is None else datetime.fromisoformat(value).replace(tzinfo=UTC)


def _window_of(granularity: Granularity, instant: datetime) -> datetime:
    """The start of the window that the instant lies in."""
    day = instant.replace(hour=0, minute=0, second=0, microsecond=0)
    starts = {Granularity.HOUR: day.replace(hour=instant.hour), Granularity.DAY: day}
    return starts.get(granularity, day.replace(day=1))


def _windows(granularity: Granularity, start: datetime, end: datetime) -> int:
    """How many windows lie between two starts."""
    if granularity is Granularity.MONTH:
        return (end.year - start.year) * 12 + end.month - start.month
    return (end - start) // _LENGTH[granularity]
