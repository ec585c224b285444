"""Counters and histograms that survive every process."""

from __future__ import annotations

import pytest

from timestore_pipeline.staging.ledger import Ledger
from timestore_pipeline.staging.ledger.counters import FLUSH_DURATION_BUCKETS, observe_duration


def test_a_counter_adds_up_per_dataset_and_labels(ledger: Ledger) -> None:
    for name in ("a", "b"):
        ledger.datasets.ensure(name)
    ledger.counters.add("a", "dropped", {"reason": "x", "by": "y"}, 1)
    ledger.counters.add("a", "dropped", {"by": "y", "reason": "x"}, 2)
    ledger.counters.add("b", "dropped", {}, 5)
    found = {(c.dataset, c.series, tuple(sorted(c.labels.items()))): c.value for c in ledger.counters.all()}
    assert found == {("a", "dropped", (("by", "y"), ("reason", "x"))): 3, ("b", "dropped", ()): 5}


def test_what_arrives_for_a_new_dataset_and_is_refused_is_counted(ledger: Ledger) -> None:
    ledger.counters.add("x", "s", {}, 1)
    assert ledger.datasets.names() == ["x"]
    assert [(counter.dataset, counter.value) for counter in ledger.counters.all()] == [("x", 1)]


@pytest.mark.parametrize(("seconds", "buckets"), [(0.0, 12), (0.1, 12), (0.11, 11), (600.0, 1), (1e9, 0)])
def test_a_duration_counts_in_every_bucket_it_fits_in(ledger: Ledger, seconds: float, buckets: int) -> None:
    ledger.datasets.ensure("d")
    with ledger.database.transaction() as tx:
        observe_duration(tx, 1, "success", seconds)
    values = {(c.series, c.labels.get("le")): c.value for c in ledger.counters.all()}
    assert values["flush_duration_seconds_count", None] == 1
    assert values["flush_duration_seconds_sum", None] == seconds
    assert sum(values["flush_duration_seconds_bucket", str(bound)] for bound in FLUSH_DURATION_BUCKETS) == buckets


def test_work_on_a_table_is_counted_and_brings_no_dataset_back(ledger: Ledger) -> None:
    ledger.datasets.ensure("d")
    ledger.datasets.remove("d")
    ledger.counters.add_to_table("d", {"compactions_total": 1, "compacted_rows_total": 5})
    ledger.counters.add_to_table("elsewhere", {"compactions_total": 1})
    assert {(c.dataset, c.series): c.value for c in ledger.counters.all()} == {
        ("d", "compactions_total"): 1,
        ("d", "compacted_rows_total"): 5,
    }
    assert (ledger.datasets.names(active=True), ledger.datasets.names()) == ([], ["d"])
