"""The same actions by another user."""

from __future__ import annotations

import os
from collections.abc import Callable
from multiprocessing.connection import Connection

from tests.recovery.rebuild.conftest import numbers
from tests.services.forked import FORKED
from timestore_pipeline import Settings, StagingManager
from timestore_pipeline.errors import TimestoreError
from timestore_pipeline.model.flush import Trigger
from timestore_pipeline.recovery.shard_recovery import recover
from timestore_pipeline.wiring import Timestore

OTHER_USER = 65534

Action = Callable[[Settings], object]


def as_other_user(action: Action, settings: Settings) -> str:
    """Class, message and hint of the typed error that a process of another user gets; '' = it succeeded."""
    answer, reply = FORKED.Pipe(duplex=False)
    process = FORKED.Process(target=_as_other_user, args=(action, settings, reply))
    process.start()
    reply.close()
    text = str(answer.recv())
    process.join()
    return text


def enqueue(settings: Settings) -> None:
    with StagingManager.open(settings) as staging:
        staging.enqueue("d", numbers(10))


def flush_now(settings: Settings) -> None:
    with Timestore(settings) as store:
        store.flush("d", Trigger.MANUAL, "run")


def recover_now(settings: Settings) -> None:
    with Timestore(settings) as store:
        recover(store.area, store.lake)


def recover_and_raise(settings: Settings) -> None:
    """Raises the error with which the system refused a journal that was left out."""
    with Timestore(settings) as store:
        for left in recover(store.area, store.lake).left_out:
            assert left.refused is not None, left.reason
            raise left.refused


def _as_other_user(action: Action, settings: Settings, reply: Connection) -> None:
    os.setgroups([])
    os.setgid(OTHER_USER)
    os.setuid(OTHER_USER)
    try:
        action(settings)
    except TimestoreError as error:
        reply.send(f"{type(error).__name__}: {error} {error.hint}")
    except BaseException as error:  # noqa: BLE001  # that would be the bug
        reply.send(f"UNTYPED {error!r}")
    else:
        reply.send("")
