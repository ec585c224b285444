"""The verdict: the producers' acknowledgements compared with the tables' files, row by row.

Nothing here uses the product. The tables are read from their log's JSON with plain DuckDB, and once more through
deltalake, as other readers do.
"""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path

import duckdb
from deltalake import DeltaTable

from timestore_pipeline.tools.crashtest.lake_files import PlainLog
from timestore_pipeline.tools.crashtest.producer_journal import Sent, Story
from timestore_pipeline.tools.crashtest.schedule import DATASETS, checksum_sql, digest


@dataclass(frozen=True, slots=True)
class Found:
    """One batch as it is in a table."""

    producer: int
    number: int
    dataset: str
    rows: int
    distinct: int
    of: int  # the number of rows that each of its rows carries
    sound: bool  # every row's checksum is that of its values
    digest: str  # of the checksums, each once, in order


@dataclass(slots=True)
class OracleVerdict:
    """Rows, and a sentence for each batch that is not as it should be."""

    acked_batches: int = 0
    acked_rows: int = 0
    in_doubt: int = 0  # batches without a key whose producer was killed before it got the answer
    in_doubt_published: int = 0
    published_batches: int = 0
    published_rows: int = 0
    lost: int = 0
    duplicated: int = 0
    unverifiable: int = 0
    findings: list[str] = field(default_factory=list)

    @property
    def ok(self) -> bool:
        return not (self.lost or self.duplicated or self.unverifiable or self.findings)


def judge(lake: Path, stories: Mapping[int, Story], datasets: Iterable[str] = DATASETS) -> OracleVerdict:
    """Compare every batch that was sent with every batch that is published in these tables."""
    names = list(datasets)
    verdict = OracleVerdict()
    sent = {(batch.producer, batch.number): batch for story in stories.values() for batch in story.sent.values()}
    for found in published(lake, names):
        verdict.published_batches += 1
        verdict.published_rows += found.rows
        _judge_found(verdict, found, sent.pop((found.producer, found.number), None))
    for batch in sent.values():
        _judge_absent(verdict, batch)
    verdict.findings += [text for story in stories.values() for text in story.complaints]
    verdict.findings += _second_opinion(lake, names, verdict.published_rows)
    return verdict


def published(lake: Path, datasets: Iterable[str] = DATASETS) -> Iterator[Found]:
    """Every batch of every table."""
    for dataset in datasets:
        if live := _log(lake / dataset).live:
            yield from _batches(dataset, sorted(map(str, live)))


def leftovers(lake: Path, datasets: Iterable[str] = DATASETS) -> Iterator[str]:
    """Files in the tables' folders that their newest version does not name: after maintenance there are none."""
    for dataset in datasets:
        found = {path for path in (lake / dataset).rglob("*.parquet") if path.parent.name != "_delta_log"}
        yield from (f"{path} is left over" for path in sorted(found - _log(lake / dataset).live))


def _log(table: Path) -> PlainLog:
    """Read to its end."""
    log = PlainLog(table)
    for _ in log.advance():
        continue
    return log


def _judge_found(verdict: OracleVerdict, found: Found, sent: Sent | None) -> None:
    name = f"batch {found.producer}/{found.number} of {found.dataset}"
    if sent is None:
        verdict.unverifiable += found.rows
        verdict.findings.append(f"{name}: {found.rows} rows are published that no producer sent, or it is there twice")
        return
    _count_sent(verdict, sent, is_published=True)
    if found.rows > found.distinct:
        verdict.duplicated += found.rows - found.distinct
        verdict.findings.append(f"{name}: {found.rows - found.distinct} of {found.rows} rows are duplicates")
    if found.distinct < sent.rows:
        verdict.lost += sent.rows - found.distinct
        verdict.findings.append(f"{name}: {sent.rows - found.distinct} of {sent.rows} rows are lost")
    elif _is_altered(found, sent):
        verdict.unverifiable += found.rows
        verdict.findings.append(f"{name}: its content is not what was sent")


def _is_altered(found: Found, sent: Sent) -> bool:
    as_sent = (sent.dataset, sent.rows, sent.rows, sent.digest)
    return not found.sound or (found.dataset, found.of, found.distinct, found.digest) != as_sent


def _judge_absent(verdict: OracleVerdict, sent: Sent) -> None:
    _count_sent(verdict, sent, is_published=False)
    if sent.acked:
        verdict.lost += sent.rows
        verdict.findings.append(
            f"batch {sent.producer}/{sent.number} of {sent.dataset}: acknowledged, and all of its {sent.rows} rows"
            " are lost"
        )


def _count_sent(verdict: OracleVerdict, sent: Sent, *, is_published: bool) -> None:
    if sent.acked:
        verdict.acked_batches += 1
        verdict.acked_rows += sent.rows
    else:
        verdict.in_doubt += 1
        verdict.in_doubt_published += is_published


def _batches(dataset: str, files: Sequence[str]) -> Iterator[Found]:
    """Row by row: DuckDB computes each row's checksum anew from its values."""
    with duckdb.connect(":memory:") as connection:
        connection.execute("SET TimeZone = 'UTC'")
        connection.execute("SET enable_progress_bar = false")  # under `python -m` it would show up in the report
        relation = "read_parquet($files, union_by_name = true, hive_partitioning = false)"
        described = connection.execute(f"DESCRIBE SELECT * FROM {relation}", {"files": files}).fetchall()
        rows = connection.execute(
            f'SELECT producer, batch, count(*), count(DISTINCT "row"), max("of"),'
            f" bool_and(checksum IS NOT NULL AND checksum = {checksum_sql([name for name, *_ in described])}),"
            " list(DISTINCT {'row': \"row\", 'checksum': checksum})"
            f" FROM {relation} GROUP BY producer, batch",
            {"files": files},
        )
        while some := rows.fetchmany(1000):
            yield from (_found(dataset, *row) for row in some)


def _found(
    dataset: str,
    producer: int,
    number: int,
    rows: int,
    distinct: int,
    of: int,
    sound: bool,
    content: Sequence[Mapping[str, object]],
) -> Found:
    pairs = sorted((int(str(row["row"])), str(row["checksum"])) for row in content)
    return Found(producer, number, dataset, rows, distinct, of, sound, digest([checksum for _, checksum in pairs]))


def _second_opinion(lake: Path, datasets: Iterable[str], expected: int) -> Iterator[str]:
    """deltalake must see the same number of rows."""
    tables = [DeltaTable(lake / name) for name in datasets if (lake / name / "_delta_log").exists()]
    seen = sum(table.to_pyarrow_dataset().count_rows() for table in tables)
    if seen != expected:
        yield f"deltalake reads {seen} rows, the tables' files hold {expected}"
