"""A target is judged by the median of its rounds' ratios, or said to be unmeasured and why."""

from __future__ import annotations

from pathlib import Path

from benchmarks.figures import Figure, Results, Verdict
from benchmarks.targets import Target

RATIO = Target("mine against theirs", "writes.10.ours.p50", 2, "writes.10.floor.p50")
RATE = Target("batches", "writes.10.ours.rate", 100, at_least=True)


def results(ours: tuple[float, ...], floor: tuple[float, ...]) -> Results:
    return Results({"writes.10.ours.p50": Figure(ours), "writes.10.floor.p50": Figure(floor)})


def test_ratios_are_taken_within_a_round() -> None:
    judged = results((1, 20, 3), (1, 10, 1)).judge(RATIO)
    assert judged.figure == Figure((1, 2, 3))
    assert judged.verdict is Verdict.MET


def test_a_median_beyond_the_limit_is_not_met() -> None:
    assert results((3, 3, 1), (1, 1, 1)).judge(RATIO).verdict is Verdict.NOT_MET


def test_a_least_value_is_met_from_the_limit_on() -> None:
    assert Results({"writes.10.ours.rate": Figure((100.0,))}).judge(RATE).verdict is Verdict.MET
    assert Results({"writes.10.ours.rate": Figure((99.0,))}).judge(RATE).verdict is Verdict.NOT_MET


def test_what_is_missing_is_named_with_its_reason() -> None:
    found = results((1,), (1,))
    found.give_up("writes.10.floor", "disk full")
    judged = found.judge(RATIO)
    assert (judged.verdict, judged.reason) == (Verdict.NOT_MEASURED, "disk full")


def test_the_reason_may_be_the_contender_s_or_the_part_s() -> None:
    assert Results(missing={"floor": "not installed"}).judge(RATIO).verdict is Verdict.NOT_MEASURED
    assert Results({"writes.10.ours.p50": Figure((1,))}, {"floor": "gone"}).judge(RATIO).reason == "gone"
    assert Results(missing={"writes": "given up"}).judge(RATIO).reason == "given up"
    assert Results().judge(RATIO).reason == "not part of this run"


def test_results_are_read_back_as_they_were_saved(tmp_path: Path) -> None:
    found = Results({"writes.10.ours.p50": Figure((1.5, 2))}, {"floor": "gone"}, {"machine": "2 cores"})
    found.save(tmp_path / "figures.json")
    assert Results.load(tmp_path / "figures.json") == found
