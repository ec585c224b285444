"""What a victim lives through: what brings a situation about, and what the fault then happens to."""

from __future__ import annotations

from collections.abc import Callable, Iterable
from contextlib import suppress
from dataclasses import replace
from datetime import timedelta
from functools import partial
from pathlib import Path

from tests.crash import aside
from tests.crash.producers import BATCHES, attempt, die, opened, produce, settings
from tests.flush.dying import carry_on
from tests.staging.rolled import roll_up_in
from timestore_pipeline import StagingManager
from timestore_pipeline.errors import TimestoreError
from timestore_pipeline.flush.export_with_quarantine import ATTEMPTS_BEFORE_ISOLATION
from timestore_pipeline.maintain import dataset_maintenance
from timestore_pipeline.maintain.column_retype import RetypeRequest, retyping
from timestore_pipeline.model.flush import FlushRef, Trigger
from timestore_pipeline.recovery import shard_recovery
from timestore_pipeline.system import clock
from timestore_pipeline.wiring import Timestore, rebuild_if_lost

_PATIENCE = 60.0  # seconds, with the pauses that the background takes


def _life(home: Path, errors: list[str]) -> None:
    """A producer and a flush, from nothing to published."""
    with opened(home, StagingManager.open, errors) as staging, opened(home, Timestore, errors) as store:
        produce(home, staging, errors)
        attempt(errors, lambda: store.flush("d", Trigger.MANUAL, "victim"))


def _stage(home: Path, errors: list[str], numbers: Iterable[int] = range(BATCHES)) -> None:
    with opened(home, StagingManager.open, errors) as staging:
        produce(home, staging, errors, numbers)


def _stage_and_die(home: Path, errors: list[str]) -> None:
    """Leaves a journal that the ledger takes for an open one."""
    with opened(home, StagingManager.open, errors) as staging:
        produce(home, staging, errors)
        die()


def _stage_and_close(home: Path, errors: list[str]) -> None:
    _stage(home, errors)
    die()


def _stage_and_roll_up(home: Path, errors: list[str]) -> None:
    _stage(home, errors)
    roll_up_in(settings(home))
    die()


def _stage_in_many_journals(home: Path, errors: list[str]) -> None:
    """Every batch closes the journal of the one before, and the process rolls up what it has closed."""
    door = partial(StagingManager.open, settings(home, staging_segment_max_bytes=1))
    with attempt(errors, door) as staging, opened(home, Timestore, errors) as store:
        produce(home, staging, errors)
        wait_for_the_roller(store)
        attempt(errors, lambda: store.flush("d", Trigger.MANUAL, "victim"))


def wait_for_the_roller(store: Timestore) -> None:
    """Until nothing is left of the journals that were closed."""
    deadline = clock.monotonic() + _PATIENCE
    while any(journal.closed for journal in store.area.ledger.journals.all()):
        assert clock.monotonic() < deadline, "a closed journal is not rolled up"
        clock.sleep(0.01)


def _stage_by_the_hour(home: Path, errors: list[str]) -> None:
    """So many partitions that their files are written together."""
    with opened(home, Timestore, errors) as store:
        store.area.ledger.datasets.ensure("d")
        store.set_metadata("d", {"partition": {"granularity": "hour"}})
    _stage_and_die(home, errors)


def _stage_rotten(home: Path, errors: list[str]) -> None:
    _stage(home, errors)
    roll_up_in(settings(home))
    aside.rot(home)
    die()


def _stage_a_rotten_record(home: Path, errors: list[str]) -> None:
    _stage(home, errors)
    aside.rot_record(home)
    die()


def _stage_poisonous(home: Path, errors: list[str]) -> None:
    """And fail with it often enough for the next flush to ask which batch it is."""
    _stage(home, errors)
    roll_up_in(settings(home))
    aside.poison(home)
    with opened(home, Timestore, errors) as store:
        for _ in range(ATTEMPTS_BEFORE_ISOLATION):
            with suppress(TimestoreError):
                store.flush("d", Trigger.MANUAL, "failing")
    die()


def _stage_everywhere(home: Path, errors: list[str]) -> None:
    """A batch is published, one lies in a segment, one in a journal."""
    _stage(home, errors, [0])
    _flush(home, errors)
    _stage(home, errors, [1])
    roll_up_in(settings(home))
    _stage(home, errors, [2])


def _lose_all_of_the_ledger(home: Path, errors: list[str]) -> None:
    _stage_everywhere(home, errors)
    for path in settings(home).staging_directory.glob("ledger.sqlite*"):
        path.unlink()
    die()


def _lose_the_ledger(home: Path, errors: list[str]) -> None:
    """A page of it is overwritten."""
    _stage_everywhere(home, errors)
    ledger = settings(home).staging_directory / "ledger.sqlite"
    content = bytearray(ledger.read_bytes())
    middle = len(content) // 8192 * 4096
    content[middle : middle + 4096] = b"\xff" * 4096
    ledger.write_bytes(content)
    die()


def _flush_and_die(home: Path, errors: list[str]) -> None:
    _flush(home, errors)
    die()


def _decide(decision: str, home: Path, errors: list[str]) -> None:
    with opened(home, Timestore, errors) as store:
        attempt(errors, lambda: aside.decide(store, decision))


def _publish_bit_by_bit(home: Path, errors: list[str]) -> None:
    """A flush for each batch leaves small files."""
    for number in range(BATCHES):
        _stage(home, errors, [number])
        _flush(home, errors)
    die()


def _publish_and_stage(home: Path, errors: list[str]) -> None:
    """All but one batch are published, and the last lies in a dead producer's journal."""
    for numbers in (range(BATCHES - 1), range(BATCHES - 1, BATCHES)):
        with opened(home, StagingManager.open, errors) as staging:
            produce(home, staging, errors, numbers)
            if numbers.start:
                die()
        _flush(home, errors)


def _maintain(home: Path, errors: list[str]) -> None:
    with opened(home, Timestore, errors) as store:
        attempt(errors, lambda: maintained(store))


def maintained(store: Timestore) -> None:
    """With nothing kept for anybody; raises the first thing that could not be done."""
    options = store.maintain_options(min_files=2, retention=timedelta(0))
    options = replace(options, log_retention=timedelta(0), key_retention=timedelta(0))
    for done in dataset_maintenance.maintain(store.area, store.lake, ["d"], options):
        if done.errors:
            raise done.errors[0]


def _retype(home: Path, errors: list[str]) -> None:
    with opened(home, Timestore, errors) as store:
        attempt(errors, lambda: retyped(store))


def retyped(store: Timestore) -> None:
    """Row numbers become doubles; a second run only adopts the type into the ledger."""
    request, options = RetypeRequest("d", "n", "double"), store.maintain_options()
    with retyping(store.area, store.lake, request, options) as work:
        work.carry_out(work.examine(_no_progress), _no_progress)


def _no_progress(_dataset: str, _done: int, _of: int) -> None:
    """Shows nothing."""


def _rebuild(home: Path, errors: list[str]) -> None:
    """As `timestore recover` does."""
    attempt(errors, lambda: rebuild_if_lost(settings(home)))
    _recover(home, errors)


def _flush(home: Path, errors: list[str]) -> None:
    with opened(home, Timestore, errors) as store:
        attempt(errors, lambda: store.flush("d", Trigger.MANUAL, "victim"))


def _carry_on(home: Path, errors: list[str]) -> None:
    """As a run's next op does in a process of its own."""
    with opened(home, Timestore, errors) as store:
        (flush,) = store.area.ledger.flushes.in_flight()
        try:
            carry_on(store, FlushRef(flush.dataset, flush.epoch))
        except TimestoreError as error:
            errors.append(f"{type(error).__name__}: {error}")


def _recover(home: Path, errors: list[str]) -> None:
    with opened(home, Timestore, errors) as store:
        attempt(errors, lambda: _recovered(store))


def _recovered(store: Timestore) -> None:
    found = shard_recovery.recover(store.area, store.lake)
    if found.errors:
        raise found.errors[0]


SCENARIOS: dict[str, Callable[[Path, list[str]], None]] = {
    "life": _life,
    "stage and die": _stage_and_die,
    "stage and close": _stage_and_close,
    "stage and roll up": _stage_and_roll_up,
    "stage in many journals": _stage_in_many_journals,
    "flush": _flush,
    "carry on": _carry_on,
    "recover": _recover,
    "stage by the hour": _stage_by_the_hour,
    "stage rotten": _stage_rotten,
    "stage a rotten record": _stage_a_rotten_record,
    "stage poisonous": _stage_poisonous,
    "flush and die": _flush_and_die,
    "requeue": partial(_decide, "requeue"),
    "discard": partial(_decide, "discard"),
    "lose the ledger": _lose_the_ledger,
    "lose all of the ledger": _lose_all_of_the_ledger,
    "rebuild": _rebuild,
    "publish bit by bit": _publish_bit_by_bit,
    "publish and stage": _publish_and_stage,
    "maintain": _maintain,
    "retype": _retype,
}
