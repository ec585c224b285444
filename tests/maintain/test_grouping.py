"""Which files are compacted together."""

from __future__ import annotations

import pytest
from hypothesis import given
from hypothesis import strategies as st

from timestore_pipeline.lake.replacing import OwnFile
from timestore_pipeline.maintain.grouping import CompactionLimits, memory_bytes, plan
from timestore_pipeline.model.lake import PartitionKey

LIMITS = CompactionLimits(target_bytes=1000, min_files=3, sortable_bytes=10_000)


def file(name: int, size: int = 100, *, day: str | None = "2013-01-01", earliest: str = "", rows: int = 1) -> OwnFile:
    return OwnFile(f"part-{name:03}", rows, size, PartitionKey("partition_date", day), earliest)


def names(files: list[OwnFile], row_bytes: float | None = 1) -> list[list[str]]:
    return [[one.path for one in group.files] for group in plan(files, LIMITS, row_bytes)]


def test_small_files_of_a_partition_become_one() -> None:
    assert names([file(1), file(2), file(3)]) == [["part-001", "part-002", "part-003"]]


def test_files_of_different_partitions_stay_apart() -> None:
    days = ["2013-01-01", "2013-01-02", None]
    groups = plan([file(n, day=days[n % 3]) for n in range(9)], LIMITS, 1)
    assert [group.partition.value for group in groups] == [None, "2013-01-01", "2013-01-02"]


def test_fewer_files_than_are_worth_it_are_left() -> None:
    assert names([file(1), file(2)]) == []


def test_a_file_of_half_the_target_is_large_enough() -> None:
    assert names([file(1, 500), file(2), file(3), file(4)]) == [["part-002", "part-003", "part-004"]]


def test_no_group_is_larger_than_the_target() -> None:
    assert [len(group) for group in names([file(n, 300) for n in range(7)])] == [3, 3]


def test_neighbours_in_time_go_together() -> None:
    files = [file(n, 300, earliest=f"2013-01-01T{n * 5 % 6:02}") for n in range(6)]
    groups = plan(files, LIMITS, 1)
    assert [[one.earliest[-2:] for one in group.files] for group in groups] == [["00", "01", "02"], ["03", "04", "05"]]


def test_groups_are_limited_by_the_memory_of_a_sort() -> None:
    assert [len(group) for group in names([file(n, rows=10) for n in range(7)], row_bytes=333)] == [3, 3]


def test_without_a_known_width_a_memory_ratio_is_assumed() -> None:
    assert memory_bytes(file(1, 100), None) == 400


@given(st.lists(st.tuples(st.integers(1, 1200), st.sampled_from(["a", "b", None])), max_size=60))
def test_every_group_keeps_the_limits_and_no_file_is_in_two(files: list[tuple[int, str | None]]) -> None:
    groups = plan([file(n, size, day=day) for n, (size, day) in enumerate(files)], LIMITS, 1)
    taken = [one.path for group in groups for one in group.files]
    assert len(taken) == len(set(taken))
    for group in groups:
        assert group.bytes <= LIMITS.target_bytes
        assert len(group.files) >= LIMITS.min_files
        assert {one.partition for one in group.files} == {group.partition}


@pytest.mark.parametrize("size", [10, 250, 499])
def test_repeated_compaction_ends(size: int) -> None:
    sizes = [size] * 40
    for _ in range(10):
        groups = plan([file(n, one) for n, one in enumerate(sizes)], LIMITS, 1)
        if not groups:
            return
        taken = {one.path for group in groups for one in group.files}
        kept = [one for n, one in enumerate(sizes) if f"part-{n:03}" not in taken]
        sizes = kept + [group.bytes for group in groups]
    pytest.fail("files are put together for ever")
