"""Materializations that no flush stored: *Report materialization* on a dataset's page stores one, without a row.

Dagster cannot take that button from an asset. So `books_balance` fails while the newest materialization is such an
event: every one of ours names an epoch. One query for all datasets of a tick.
"""

from collections.abc import Sequence
from dataclasses import replace

import dagster as dg

from timestore_pipeline.defs.checks import BOOKS_BALANCE, Verdict


def with_reported(instance: dg.DagsterInstance, verdicts: Sequence[Verdict]) -> list[Verdict]:
    """The verdicts, less trusting where the newest materialization of the dataset was reported by hand."""
    keys = {verdict.key.asset_key for verdict in verdicts if verdict.check == BOOKS_BALANCE}
    latest = instance.get_latest_materialization_events(keys) if keys else {}
    newest = {key: None if entry is None else entry.asset_materialization for key, entry in latest.items()}
    return [_checked(verdict, newest.get(verdict.key.asset_key)) for verdict in verdicts]


def _checked(verdict: Verdict, newest: dg.AssetMaterialization | None) -> Verdict:
    if verdict.check != BOOKS_BALANCE or newest is None or "epoch" in newest.metadata:
        return verdict
    problems = verdict.numbers["problems"]
    assert isinstance(problems, int)
    where = "" if newest.partition is None else f", of partition {newest.partition},"
    text = (
        f"- the newest materialization{where} was reported by hand, and no flush has published it [`timestore flushes"
        f" {verdict.dataset}` lists what was published; the check passes again after the next flush]"
    )
    return replace(
        verdict,
        passed=False,
        text=text if verdict.passed else f"{verdict.text}\n{text}",
        numbers={**verdict.numbers, "problems": problems + 1},
    )
