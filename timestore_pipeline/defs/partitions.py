"""A dataset's lake partitions as Dagster partitions: one key per hour, day or month, formatted as in the Delta log.

Time windows, not dynamic partitions: no key has to be registered before an event counts, and a day without data shows
as a gap. The range is taken from the ledger when the definitions are loaded. Decision 0013.
"""

from datetime import UTC, datetime, timedelta

import dagster as dg

from timestore_pipeline.model.dataset import Granularity
from timestore_pipeline.staging.ledger.catalog import CatalogEntry

MOST_WINDOWS = 100_000  # of one dataset, as Dagster recommends: 11 years of hours, 273 years of days

_EARLIEST = datetime(2, 1, 1, tzinfo=UTC)  # Python's calendar begins a year before, and Dagster steps back a window
_CRON = {Granularity.HOUR: "0 * * * *", Granularity.DAY: "0 0 * * *", Granularity.MONTH: "0 0 1 * *"}
_LENGTH = {Granularity.HOUR: timedelta(hours=1), Granularity.DAY: timedelta(days=1), Granularity.MONTH: timedelta(30)}
_SPELLING = {Granularity.HOUR: "%Y-%m-%d %H:%M:%S", Granularity.DAY: "%Y-%m-%d", Granularity.MONTH: "%Y-%m-%d"}


def partitions_of(entry: CatalogEntry, now: datetime) -> dg.TimeWindowPartitionsDefinition | None:
    """From the year of the dataset's first partition to the later of now and its last; None = not partitioned."""
    granularity = entry.record.granularity
    if entry.record.time_column is None or granularity is None or granularity is Granularity.NONE:
        return None
    length = _LENGTH[granularity]
    last = max(now, _start_of(entry.last_partition) or now)
    # Windows that have not ended yet: the current one, and those of forecasts.
    ahead = min((last - now) // length + 2, MOST_WINDOWS // 2)
    oldest = now - min((MOST_WINDOWS - ahead) * length, now - _EARLIEST)
    start = max(_year_of(_start_of(entry.first_partition) or now), oldest)
    return dg.TimeWindowPartitionsDefinition(
        cron_schedule=_CRON[granularity], start=start, fmt=_SPELLING[granularity], timezone="UTC", end_offset=ahead
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


def _year_of(instant: datetime) -> datetime:
    """The same start for all data of a year, so that late rows seldom need a reload."""
    return datetime(instant.year, 1, 1, tzinfo=UTC)
