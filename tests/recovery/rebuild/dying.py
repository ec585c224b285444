"""Programs of processes that are killed at a named step."""

from __future__ import annotations

from pathlib import Path

from tests.services.dying import arm
from timestore_pipeline import Settings
from timestore_pipeline.recovery import ledger_rebuild, shard_recovery
from timestore_pipeline.wiring import Timestore, rebuild_if_lost, reconcile_restored


def rebuild_and_die(home: Path, step: str, moment: str) -> None:
    arm(ledger_rebuild, step, moment)
    rebuild_if_lost(Settings.build(home=home))


def learn_and_die(home: Path, owner: type, step: str, moment: str) -> None:
    arm(owner, step, moment)
    reconcile_restored(Settings.build(home=home))


def recover_and_end(home: Path) -> None:
    with Timestore(Settings.build(home=home)) as store:
        shard_recovery.recover(store.area, store.lake)
