"""What waits in each dataset, and what it costs to look."""

from __future__ import annotations

from datetime import timedelta

import pytest

from tests.staging.journals import record, staged
from tests.staging.promises import START, batch, claimed, promise
from timestore_pipeline.errors import UnknownDataset
from timestore_pipeline.model.batch import Volume
from timestore_pipeline.model.flush import Trigger
from timestore_pipeline.staging.area import StagingArea
from timestore_pipeline.staging.ledger import Ledger
from timestore_pipeline.staging.ledger.backlogs import Surroundings


def test_a_backlog_knows_the_oldest_of_each_state_and_the_claim(ledger: Ledger) -> None:
    promise(ledger, "d", "s", batch("s", 1), batch("s", 2))
    ref = claimed(ledger)
    promise(ledger, "d", "t", batch("t", 3), batch("t", 4))
    backlog = ledger.backlogs.of("d", Surroundings(lambda _: 5, lambda *claim: claim == (ref, "flusher")))
    assert backlog.oldest_staged_at == START + timedelta(seconds=1)
    assert backlog.oldest_pending_at == START + timedelta(seconds=3)
    assert backlog.newest_pending_at == START + timedelta(seconds=4)
    assert (backlog.claim_trigger, backlog.claim_owner_alive) == (Trigger.ROWS, True)
    assert not ledger.backlogs.of("d", Surroundings(lambda _: 0, lambda *_: False)).claim_owner_alive
    assert backlog.disk_bytes == 5


def test_each_total_is_that_of_its_state(ledger: Ledger) -> None:
    promise(ledger, "d", "s", batch("s", 0, rows=1))
    claimed(ledger)
    promise(ledger, "d", "t", batch("t", 0, rows=2), batch("t", 1, rows=4))
    backlog = ledger.backlogs.of("d")
    amounts = (backlog.pending, backlog.in_flight, backlog.quarantined, backlog.accepted)
    assert amounts == (Volume(2, 6, 48), Volume(1, 1, 8), Volume(), Volume(3, 7, 56))


def test_backlogs_come_in_name_order_and_the_unknown_has_none(ledger: Ledger) -> None:
    for name in ("b", "a"):
        ledger.datasets.ensure(name)
    assert [backlog.dataset for backlog in ledger.backlogs.all()] == ["a", "b"]
    assert ledger.backlogs.of("a").oldest_pending_at is None
    with pytest.raises(UnknownDataset):
        ledger.backlogs.of("x")


@pytest.mark.parametrize("datasets", [1, 30])
def test_a_tick_costs_the_same_statements_however_many_datasets_wait(area: StagingArea, datasets: int) -> None:
    staged(area, *(record(5, dataset=f"d{number}", stream=f"s{number}") for number in range(datasets)))
    statements: list[str] = []
    with area.ledger.database.snapshot() as tx:
        tx.set_trace_callback(statements.append)
    statements.clear()
    assert len(area.waiting()) == datasets
    kinds = [statement.split()[0] for statement in statements]
    assert kinds == ["BEGIN", "SELECT", "SELECT", "COMMIT"]
