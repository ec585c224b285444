"""A run that dies at any step of a file's way leaves nothing that the next run does not put right."""

from __future__ import annotations

import os
from collections.abc import Callable
from typing import Any

import pytest

from tests.doors.landing.dropping import drop, files, numbers, readings, take_in
from timestore_pipeline.doors.landing import intake
from timestore_pipeline.doors.landing.folder import LandingFolder
from timestore_pipeline.ingest.staging_loop import StagingLoop
from timestore_pipeline.settings import Settings
from timestore_pipeline.system.confined import Tree


class Died(BaseException):
    """What no handler in the product catches."""


STEPS: list[tuple[Any, str, str]] = [
    (LandingFolder, "take", "before"),
    (LandingFolder, "take", "after"),
    (intake, "content_digest", "after"),
    (intake, "check_rows", "after"),
    (StagingLoop, "_settle_oldest", "after"),
    (StagingLoop, "run", "after"),
    (LandingFolder, "archive", "before"),
    (os, "rename", "before"),
    (os, "rename", "after"),
    (os, "mkdir", "after"),
    (os, "fsync", "before"),
    (os, "fsync", "after"),
    (LandingFolder, "archive", "after"),
]


def dying(step: Callable[..., Any], when: str) -> Callable[..., Any]:
    def stand_in(*arguments: Any, **options: Any) -> Any:
        if when == "after":
            step(*arguments, **options)
        raise Died

    return stand_in


@pytest.mark.parametrize(
    ("owner", "name", "when"),
    STEPS,
    ids=[f"{when} {getattr(owner, '__name__', owner)}.{name}" for owner, name, when in STEPS],
)
def test_a_run_may_die_anywhere(
    settings: Settings, monkeypatch: pytest.MonkeyPatch, owner: Any, name: str, when: str
) -> None:
    take_in(settings)  # makes what a staging directory needs: the steps below are the file's
    drop(settings, "2013/a.parquet", readings(25_000))
    with monkeypatch.context() as patched:
        patched.setattr(owner, name, dying(getattr(owner, name), when))
        with pytest.raises(Died):
            take_in(settings)
    take_in(settings)
    assert numbers(settings) == list(range(25_000))
    assert (len(files(settings, "_archive")), files(settings, "_ingesting"), files(settings, "weather")) == (1, [], [])


@pytest.mark.parametrize("when", ["before", "after"])
def test_a_run_may_die_while_it_rejects_a_file(settings: Settings, monkeypatch: pytest.MonkeyPatch, when: str) -> None:
    drop(settings, "a.unknown", b"what is this")
    with monkeypatch.context() as patched:
        patched.setattr(Tree, "write", dying(Tree.write, when))
        patched.setattr(intake, "_PATIENCE", -intake.RETRY_AFTER)
        with pytest.raises(Died):
            take_in(settings)
        patched.undo()
        patched.setattr(intake, "_PATIENCE", -intake.RETRY_AFTER)
        [outcome] = take_in(settings)
    assert outcome.result.value == "rejected"
    assert len(files(settings, "_rejected")) == 2
