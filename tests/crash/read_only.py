"""A process whose filesystem turns read-only under it and back: `read_only.py HOME staging|lake`.

Prints what it was told as JSON: place, errors of each attempt, and what was published after the way back. Runs where
`test_read_only` has mounted filesystems of its own, and needs to be root there.
"""

from __future__ import annotations

import json
import subprocess
import sys
from collections.abc import Callable
from pathlib import Path

from tests.flush.conftest import hourly, published
from timestore_pipeline import Settings, StagingManager
from timestore_pipeline.errors import TimestoreError
from timestore_pipeline.model.flush import Trigger
from timestore_pipeline.recovery.shard_audit import verify
from timestore_pipeline.recovery.shard_recovery import recover
from timestore_pipeline.wiring import Timestore

ROWS = 10


def remount(place: Path, mode: str) -> None:
    subprocess.run(["mount", "-o", f"remount,{mode}", str(place)], check=True)


def told(action: Callable[[], object]) -> dict[str, str]:
    """What a caller is told; empty when it worked."""
    try:
        action()
    except TimestoreError as error:
        return {"type": type(error).__name__, "message": str(error), "hint": error.hint or ""}
    return {}


def enqueue(settings: Settings, number: int) -> None:
    with StagingManager.open(settings) as staging:
        staging.enqueue("d", hourly(ROWS, number * ROWS), idempotency_key=str(number))


def flush(settings: Settings) -> None:
    with Timestore(settings) as store:
        store.flush("d", Trigger.MANUAL, "run")


def main() -> None:
    home, place = Path(sys.argv[1]), sys.argv[2]
    settings = Settings.build(home=home)
    enqueue(settings, 0)
    remount(home / place, "ro")  # with nothing of it open: a filesystem in use can be made so by the kernel only
    refused = {"enqueue": told(lambda: enqueue(settings, 1)), "flush": told(lambda: flush(settings))}
    remount(home / place, "rw")
    enqueue(settings, 1)
    with Timestore(settings) as store:
        recover(store.area, store.lake)
        while store.area.backlog("d").queued.batches:
            store.flush("d", Trigger.MANUAL, "run")
        aside = [path.name for path in (home / "staging").glob("quarantine/*")]
        sys.stdout.write(json.dumps([refused, published(store), aside, verify(store.area, store.lake).ok]))


if __name__ == "__main__":
    main()
