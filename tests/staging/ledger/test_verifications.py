"""What the last verifications found: kept per result and depth, and never taken back by one that could not look."""

from __future__ import annotations

import pytest

from timestore_pipeline.staging.ledger import Ledger


def noted(ledger: Ledger, series: str) -> dict[str, float]:
    """Label -> number, of the dataset `d`."""
    return {"".join(c.labels.values()): c.value for c in ledger.counters.all() if c.series == series}


def test_a_sound_dataset_has_no_problems(ledger: Ledger) -> None:
    ledger.datasets.ensure("d")
    ledger.verifications.record({"d": 0}, deep=False)
    assert noted(ledger, "verify_problems") == {"quick": 0}
    assert noted(ledger, "verified_timestamp_seconds").keys() == {"ok"}


def test_a_verification_that_could_not_look_leaves_the_problems_and_the_instants_of_the_others(ledger: Ledger) -> None:
    ledger.datasets.ensure("d")
    ledger.verifications.record({"d": 2}, deep=False)
    before = noted(ledger, "verified_timestamp_seconds")
    ledger.verifications.record({"d": None}, deep=False)
    after = noted(ledger, "verified_timestamp_seconds")
    assert noted(ledger, "verify_problems") == {"quick": 2}
    assert after.keys() == {"problems", "unknown"}
    assert after["problems"] == before["problems"]


def test_nothing_but_a_deep_verification_takes_back_what_a_deep_one_found(ledger: Ledger) -> None:
    ledger.datasets.ensure("d")
    ledger.verifications.record({"d": 1}, deep=True)
    ledger.verifications.record({"d": 0}, deep=False)
    assert noted(ledger, "verify_problems") == {"quick": 0, "deep": 1}
    ledger.verifications.record({"d": 0}, deep=True)
    assert noted(ledger, "verify_problems") == {"quick": 0, "deep": 0}


@pytest.mark.parametrize("found", [0, 1, None])
def test_a_verification_brings_no_dataset_back_and_makes_none(ledger: Ledger, found: int | None) -> None:
    ledger.datasets.ensure("d")
    ledger.datasets.remove("d")
    ledger.verifications.record({"d": found, "elsewhere": found}, deep=True)
    assert (ledger.datasets.names(active=True), ledger.datasets.names()) == ([], ["d"])
    assert noted(ledger, "verified_timestamp_seconds")
