"""Each published flush is traced into the table's live files, through compactions by any shard.

The name of a flush's file, and the footer of a compacted one, identify the flushes of its rows. So tracing needs
neither the commits, which log cleanup removes, nor the files that were replaced. Pure.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass

from timestore_pipeline.lake.layout import Origins, compacted_by, written_by
from timestore_pipeline.model.flush import FlushState
from timestore_pipeline.model.lake import LiveFile
from timestore_pipeline.recovery.findings import RESTORE, Finding
from timestore_pipeline.staging.ledger.audit import FlushFacts
from timestore_pipeline.staging.ledger.flush_stretches import FlushStretch

_ENTER = "`timestore recover` enters the flush if this ledger is an older copy"


@dataclass(frozen=True, slots=True)
class TracedAudit:
    """One shard's flushes, and the origins of the rows in the table's files."""

    shard: str
    stretches: Sequence[FlushStretch]
    flushes: Sequence[FlushFacts]
    epochs: Mapping[int, FlushState]
    live: Mapping[str, LiveFile]
    origins: Mapping[str, Origins]  # of live files, by path
    complete: bool  # False = log cleanup has removed the oldest commits

    def problems(self) -> Iterator[Finding]:
        """Flushes with too few or too many rows in the table, and rows of flushes that the ledger did not publish."""
        if self.complete and not self.stretches and not any(map(compacted_by, self.live)):
            return  # the commits prove it already
        found = self._rows_by_epoch()
        for stretch in self.stretches:
            rows = sum(found.pop(epoch) for epoch in [epoch for epoch in found if epoch in stretch])
            epochs = f"epochs {stretch.first_epoch} to {stretch.last_epoch}"
            yield from self._differing(epochs, stretch.volume.rows, rows)
        for flush in self.flushes:
            rows = found.pop(flush.epoch, 0)
            if flush.state is FlushState.PUBLISHED:
                yield from self._differing(f"epoch {flush.epoch}", flush.rows, rows)
        for epoch, rows in found.items():
            if self._is_unknown(epoch):
                text = f"the table's files hold {rows} rows of epoch {epoch} of this shard"
                yield Finding("unknown_rows", f"{text}, which the ledger did not publish", _ENTER)

    def _rows_by_epoch(self) -> dict[int, int]:
        rows: dict[int, int] = {}
        for origins in self.origins.values():
            for epoch, amount in origins.of_shard(self.shard):
                rows[epoch] = rows.get(epoch, 0) + amount
        return rows

    def _differing(self, epochs: str, published: int, found: int) -> Iterator[Finding]:
        if found != published and not self._is_elsewhere(published, found):
            text = f"{epochs} published {published} rows, the table's files hold {found} of them"
            yield Finding("flush_not_traced", text, RESTORE)

    def _is_elsewhere(self, published: int, found: int) -> bool:
        """Rows may be in files of another tool, which do not record their origins."""
        return found < published and any((written_by(path) or compacted_by(path)) is None for path in self.live)

    def _is_unknown(self, epoch: int) -> bool:
        """A rebuilt ledger begins with the oldest commit that was left, so earlier epochs are not unknown."""
        state = self.epochs.get(epoch)
        return state is FlushState.ABORTED or (state is None and epoch > min(self.epochs, default=epoch))
