"""Conservation inside the ledger: accepted = pending + in flight + published + quarantined + discarded.

Each side exists twice: as running totals, changed with every move, and as the rows that moved. Pure.
"""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import astuple

from timestore_pipeline.model.batch import BatchState, Volume
from timestore_pipeline.recovery.findings import Finding
from timestore_pipeline.staging.ledger.audit import LedgerTotals, Totals
from timestore_pipeline.staging.ledger.volumes import ACCEPTED

TOTALS_DIFFER = "totals_differ"

_MENDABLE = "`timestore verify --repair` recomputes the running totals from the batches"
_LOST = "batches were added or removed by other means: keep the directory, restore ledger.sqlite from a backup"


def counted_totals(totals: LedgerTotals) -> dict[str, Volume]:
    """Each state's volume, counted from the rows that moved.

    Published batches are pruned in time, so their flushes are counted instead; discarded batches may be pruned as well,
    so the larger of count and running total is used.
    """
    counted = {state.value: totals.counted.get(state, Volume()) for state in BatchState}
    kept = totals.kept.get(BatchState.DISCARDED, Volume())
    discarded = kept if _covers(kept, counted[BatchState.DISCARDED]) else counted[BatchState.DISCARDED]
    return counted | {BatchState.PUBLISHED: totals.flushed, BatchState.DISCARDED: discarded}


def total_findings(totals: LedgerTotals) -> Iterator[Finding]:
    """Every discrepancy, with its remedy."""
    hint = _LOST if mended(totals) is None else _MENDABLE
    for state, counted in counted_totals(totals).items():
        kept = totals.kept.get(state, Volume())
        if kept != counted:
            yield Finding(TOTALS_DIFFER, f"{state}: the running total is {_text(kept)}, counted {_text(counted)}", hint)
    accepted, states = _accepted(totals), _sum(totals.kept)
    if accepted != states:
        yield Finding(TOTALS_DIFFER, f"accepted {_text(accepted)}, but all states add up to {_text(states)}", hint)
    yield from _batch_findings(totals)


def mended(totals: LedgerTotals) -> Totals | None:
    """The corrected running totals; None when they are right, or when the batches may be wrong instead.

    The batches count as right only if another record agrees with them: the total ever accepted, or every other total.
    Otherwise the repair would hide a batch that is missing from the ledger.
    """
    counted = counted_totals(totals)
    whole = dict(counted) | {ACCEPTED: _sum(counted)}
    if any(_batch_findings(totals)) or _same(totals.kept, whole):
        return None
    only_accepted_differs = _same({**totals.kept, ACCEPTED: whole[ACCEPTED]}, whole)
    return whole if _accepted(totals) == whole[ACCEPTED] or only_accepted_differs else None


def _batch_findings(totals: LedgerTotals) -> Iterator[Finding]:
    in_flight = totals.counted.get(BatchState.IN_FLIGHT, Volume())
    if in_flight != totals.claimed:
        text = f"the flushes in flight claimed {_text(totals.claimed)}, the batches in flight are {_text(in_flight)}"
        yield Finding("claims_differ", text, _LOST)
    published = totals.counted.get(BatchState.PUBLISHED, Volume())
    if not _covers(totals.flushed, published):
        text = f"published batches are {_text(published)}, their flushes claimed {_text(totals.flushed)}"
        yield Finding("claims_differ", text, _LOST)


def _accepted(totals: LedgerTotals) -> Volume:
    return totals.kept.get(ACCEPTED, Volume())


def _sum(states: Totals) -> Volume:
    return sum((states.get(state, Volume()) for state in BatchState), Volume())


def _same(kept: Totals, whole: Totals) -> bool:
    return all(kept.get(state, Volume()) == volume for state, volume in whole.items())


def _covers(large: Volume, small: Volume) -> bool:
    return all(most >= least for most, least in zip(astuple(large), astuple(small), strict=True))


def _text(volume: Volume) -> str:
    return f"{volume.batches} batches of {volume.rows} rows and {volume.bytes} bytes"
