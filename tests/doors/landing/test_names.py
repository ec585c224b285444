"""What a file's name says, and that every name fits."""

from __future__ import annotations

import os
from datetime import UTC, datetime
from pathlib import PurePath

import pytest

from timestore_pipeline.doors.landing import names

INSTANT = datetime(2013, 1, 1, 5, 6, 7, 89, tzinfo=UTC)
CONTENT = "0123456789abcdef" * 4


@pytest.mark.parametrize("name", [".hidden", "_SUCCESS", "x.csv.tmp", "x.PART", "x.parquet.partial", "x.csv~"])
def test_unfinished_files_are_known_by_their_names(name: str) -> None:
    assert names.is_unfinished(name)


def test_a_file_in_hand_says_until_when_it_is_left_alone() -> None:
    assert names.dropped_as(names.in_hand("x~y.csv.gz", INSTANT)) == (INSTANT, "x~y.csv.gz", 0)
    assert names.dropped_as(names.in_hand("x~y.csv.gz", INSTANT, 2)) == (INSTANT, "x~y.csv.gz", 2)


def test_a_name_that_is_not_ours_says_nothing() -> None:
    assert names.dropped_as("x.csv") == (None, "x.csv", 0)
    assert names.content_of("x.csv") is None


@pytest.mark.parametrize(
    ("dropped", "archived"),
    [
        ("x.csv", "x.0123456789abcdef.csv"),
        ("a/b.c.ndjson.gz", "a/b.c.0123456789abcdef.ndjson.gz"),
        ("none", "none.0123456789abcdef"),
        # Names of files that were archived or rejected before, and mended since.
        ("x.fedcba9876543210.csv", "x.fedcba9876543210.0123456789abcdef.csv"),
        ("x.fedcba9876543210.csv.gz", "x.fedcba9876543210.0123456789abcdef.csv.gz"),
        ("x.fedcba9876543210", "x.fedcba9876543210.0123456789abcdef"),
        ("x.fedcba9876543210.gz", "x.fedcba9876543210.gz.0123456789abcdef"),
    ],
)
def test_an_archived_file_keeps_its_name_and_says_what_is_in_it(dropped: str, archived: str) -> None:
    found = names.archived(PurePath(dropped), CONTENT)
    assert str(found) == archived
    assert names.content_of(found.name) == names.beginning(CONTENT)


@pytest.mark.parametrize("stem", ["x" * 251, "é" * 125])
def test_the_longest_name_still_fits(stem: str) -> None:
    for name in (names.in_hand(stem + ".csv", INSTANT), names.archived(PurePath(stem + ".csv"), CONTENT).name):
        assert len(os.fsencode(name + names.REASON)) <= 255
        assert name.endswith(".csv")
