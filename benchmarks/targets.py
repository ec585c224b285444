"""The targets: a figure, the figure it is compared with, and the limit.

A figure is named part.case.contender.measure. docs/performance.md lists the targets by name, and a test compares both.
"""

from __future__ import annotations

from dataclasses import dataclass


@dataclass(frozen=True, slots=True)
class Target:
    """Holds if `figure`, or where `beside` is given their ratio, keeps to `limit`; medians over rounds."""

    name: str
    figure: str
    limit: float
    beside: str = ""  # the figure of a contender in the same rounds; empty = `limit` is in the figure's own unit
    at_least: bool = False  # otherwise at most


@dataclass(frozen=True, slots=True)
class Group:
    heading: str
    targets: tuple[Target, ...]


def _waiting(size: int, other: str, limit: float, mine: str = "ours") -> Target:
    words = {"ours": "`enqueue`", "http": "a request on a kept connection"}
    others = {"floor": "the floor", "postgres": "PostgreSQL", "ours": "`enqueue` in process"}
    name = f"{size:,} rows: {words[mine]} against {others[other]}"
    return Target(name, f"one_producer.{size}.{mine}.p50", limit, f"one_producer.{size}.{other}.p50")


def _eight(size: int, name: str, measure: str, limit: float, *, at_least: bool = True) -> Target:
    figure, beside = (f"eight_producers.{size}.{who}.{measure}" for who in ("ours", "postgres"))
    return Target(
        f"{size:,} rows, eight processes: {name}, against PostgreSQL's clients", figure, limit, beside, at_least
    )


def _even(size: int) -> Target:
    figure = f"eight_producers.{size}.ours.slowest"
    return Target(f"{size:,} rows, eight processes: the slowest against their mean", figure, 0.7, at_least=True)


def _submitted(size: int, limit: float, part: str = "submitted", producers: str = "one producer") -> Target:
    figure, beside = (f"{part}.{size}.{who}.rate" for who in ("ours", "older"))
    name = f"{size:,} rows, {producers}: batches a second, against the older commit"
    return Target(name, figure, limit, beside, at_least=True)


def _cpu(size: int) -> Target:
    name = f"{size:,} rows: CPU of a batch against that of its Arrow record"
    return Target(name, f"submitted.{size}.ours.cpu", 5, f"submitted.{size}.record.cpu")


def _flushed(count: int, limit: float) -> Target:
    figure, beside = (f"flushes.{count}x1.{who}.seconds" for who in ("ours", "copy"))
    return Target(
        f"{count:,} rows of one day: claim to finalize, against a bare `COPY ... ORDER BY`", figure, limit, beside
    )


def _unnoticed(step: str, words: str) -> Target:
    name = f"{PUBLISHED:,} published batches: {words}, against none"
    return Target(name, f"ledger.{step}.published.p50", 2, f"ledger.{step}.none.p50")


def _narrow(reader: str, name: str) -> Target:
    words = f"one of {SENSORS:,} sensors, read with {name}: megabytes, sorted by sensor against order of time"
    return Target(words, f"one_sensor.{reader}.by_sensor.read", 0.1, f"one_sensor.{reader}.by_time.read")


SENSORS = 1_000  # a row a minute each, for a day
LAYOUTS = ("by_time", "by_sensor")
TABLE_READERS = {"duckdb": "DuckDB", "polars": "Polars", "datafusion": "deltalake", "pyarrow": "PyArrow"}

PUBLISHED = 2_000_000  # batches, each with a key: as many as a benchmark can enter
LEDGER_STEPS = {
    "promise": "to promise a batch",
    "known-key": "to look a key up",
    "move": "to move 50 batches into a segment",
    "backlog": "the backlog of a tick",
    "claim": "to claim 50 batches",
    "export": "to record their export",
    "finalize": "to finalize it",
    "drained": "to find the drained segment",
    "fold": "to fold its batches",
}

LARGE_FLUSH = 3_000_000  # rows
MEDIUM_FLUSH = 300_000

GROUPS = (
    Group(
        "One producer that waits for each receipt",
        (
            _waiting(10, "floor", 4),
            _waiting(1_000, "floor", 4),
            _waiting(10, "postgres", 0.7),
            _waiting(1_000, "postgres", 0.2),
            _waiting(10, "ours", 5, mine="http"),
        ),
    ),
    Group(
        "Eight processes that wait, one dataset",
        (
            _eight(10, "batches a second", "rate", 1),
            _eight(1_000, "batches a second", "rate", 3),
            _eight(10, "p99", "p99", 1, at_least=False),
            _eight(1_000, "p99", "p99", 1, at_least=False),
            _even(10),
            _even(1_000),
            Target(
                "10 rows, eight HTTP connections: batches a second, against Quack's clients",
                "eight_producers.10.http.rate",
                3,
                "eight_producers.10.quack.rate",
                at_least=True,
            ),
        ),
    ),
    Group(
        "Producers that do not wait (`submit`)",
        (
            _submitted(10, 2.5),
            _submitted(1_000, 3.5),
            _submitted(10, 2.5, "eight_submitting", "eight processes"),
            _cpu(10),
            _cpu(1_000),
        ),
    ),
    Group(
        "Many datasets in one process",
        (
            Target(
                "1,000 datasets: batches a second, against the older commit",
                "many_datasets.1000.ours.rate",
                8,
                "many_datasets.1000.older.rate",
                at_least=True,
            ),
            Target("1,000 datasets: threads of the process", "many_datasets.1000.ours.threads", 20),
            Target("1,000 datasets: memory of the process", "many_datasets.1000.ours.peak", 300),
            Target("1,000 datasets: until the first batch of each is durable", "many_datasets.1000.ours.first", 2),
        ),
    ),
    Group(
        "Flushes",
        (
            _flushed(MEDIUM_FLUSH, 1.5),
            _flushed(LARGE_FLUSH, 1.15),
            Target("3,000,000 rows of one day: memory of the process", f"flushes.{LARGE_FLUSH}x1.ours.peak", 600),
            Target(
                "p99 of `enqueue` during a flush of 3,000,000 rows, against that at rest",
                "beside_a_flush.10.flushing.p99",
                5,
                "beside_a_flush.10.resting.p99",
            ),
        ),
    ),
    Group("One sensor of many", tuple(_narrow(reader, name) for reader, name in TABLE_READERS.items())),
    Group("A ledger with a past", tuple(_unnoticed(step, words) for step, words in LEDGER_STEPS.items())),
    Group(
        "Operating",
        (
            Target("CPU of `timestore --version`", "upkeep.version.ours.seconds", 0.25),
            Target("CPU of `timestore status`", "upkeep.status.ours.seconds", 0.5),
            Target("backlog of 10,000 datasets that all wait", "upkeep.backlog.ours.seconds", 0.1),
            Target("recovery with 1 GB staged", "upkeep.recovery.ours.seconds", 5),
            Target("`verify` of 1,000 datasets", "upkeep.verify.ours.seconds", 10),
        ),
    ),
    Group(
        "Datasets due at one tick of Dagster's daemon",
        (
            Target("1,000 due datasets: until all are published", "dagster_runs.1000.shared.seconds", 90),
            Target("1,000 due datasets: the longest tick", "dagster_runs.1000.shared.tick", 5),
            Target("1,000 due datasets: runs at a time", "dagster_runs.1000.shared.runs", 2),
            Target(
                "1,000 due datasets: one run for each, against shared runs",
                "dagster_runs.1000.alone.seconds",
                20,
                "dagster_runs.1000.shared.seconds",
                at_least=True,
            ),
        ),
    ),
)

# Limits against large regressions: about three times the measured values, so that a loaded machine does not fail.
QUICK = (
    Group(
        "Loose limits of the quick benchmark",
        (
            _waiting(10, "floor", 15),
            _waiting(1_000, "floor", 15),
            Target(
                "1,000 rows: `enqueue` against `write_deltalake`",
                "one_producer.1000.ours.p50",
                0.8,
                "one_producer.1000.delta.p50",
            ),
        ),
    ),
)
