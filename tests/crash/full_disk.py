"""A process that runs out of space at a named place: `full_disk.py HOME staging|kept|ledger|inodes|lake|spool`.

It goes on, and prints what happened as JSON. Runs where `test_full_disk` has mounted small filesystems.
"""

from __future__ import annotations

import json
import os
import sys
from collections import Counter
from collections.abc import Callable
from contextlib import suppress
from dataclasses import dataclass, field
from pathlib import Path

import pyarrow as pa

from timestore_pipeline import Settings, StagingManager
from timestore_pipeline.errors import TimestoreError
from timestore_pipeline.model.flush import Trigger
from timestore_pipeline.recovery.shard_audit import verify
from timestore_pipeline.wiring import Timestore

PLACES = {
    "staging": "staging",
    "kept": "staging",
    "ledger": "staging",
    "inodes": "staging",
    "lake": "lake",
    "spool": "staging/spool",
}
_BALLAST = 8 * 1024 * 1024
_ROWS = 4_000  # of 100 B that cannot be compressed
_ROW_BYTES = 100
_INODES = 100  # of the disk where they are few
_INODES_LEFT = 3
_MOST_BATCHES = 400  # of 400 kB: more than fit
_MORE_THAN_MEMORY = 120  # of 400 kB: more than an export may hold, and less than the spool and that together
_LIMITS = {  # elsewhere there are none, and nothing is spilled
    "kept": {"staging_min_free_bytes": 64 * 1024 * 1024, "staging_segment_max_bytes": 4 * 1024 * 1024},
    "spool": {"export_memory_mb": 64, "staging_flush_max_bytes": 64 * 1024 * 1024},
}


@dataclass
class Account:
    acked: list[int] = field(default_factory=list)
    refused: Counter[str] = field(default_factory=Counter)  # error class -> how often
    flushes: Counter[str] = field(default_factory=Counter)  # what flushes came to while the disk was full
    due: str = ""  # why a flush is, before the first one
    refused_after_flush: int = 0
    dropped: float = 0
    published: int = 0
    exact: bool = False
    verified: bool = False


def batch(number: int) -> pa.Table:
    numbers = [number * _ROWS + i for i in range(_ROWS)]
    return pa.table({"n": numbers, "payload": [os.urandom(_ROW_BYTES) for _ in numbers]})


def stage(staging: StagingManager, account: Account, numbers: range) -> None:
    """Until the first refusal, and then two more: a full disk must not stop the process."""
    for number in numbers:
        try:
            staging.enqueue("d", batch(number), idempotency_key=str(number))
            account.acked.append(number)
        except TimestoreError as error:
            account.refused[type(error).__name__] += 1
            if account.refused.total() == 3:
                return


def flush(store: Timestore, dataset: str = "d") -> str:
    try:
        store.flush(dataset, Trigger.MANUAL, "run")
    except TimestoreError as error:
        return type(error).__name__
    return "published"


def fill(path: Path, most: int | None = None) -> Path:
    """Write until nothing more fits, or that many bytes."""
    with suppress(OSError), path.open("wb", buffering=0) as file:
        while most is None or file.tell() < most:
            file.write(b"x" * 4096)
    return path


def run_out_of_staging(home: Path, staging: StagingManager, store: Timestore, account: Account) -> Path:
    """Staged rows themselves fill the disk."""
    ballast = fill(home / "staging" / "ballast", _BALLAST)
    stage(staging, account, range(_MOST_BATCHES))
    account.flushes[flush(store)] += 1
    return ballast


def run_into_what_is_kept(home: Path, staging: StagingManager, store: Timestore, account: Account) -> Path:
    """Batches are refused while a flush still has room, and it needs no help."""
    ballast = fill(home / "staging" / "ballast", _BALLAST)
    numbers = iter(range(_MOST_BATCHES))
    while not (account.refused and "TIMESTORE_STAGING_MIN_FREE_BYTES" in account.due):
        number = next(numbers)
        stage(staging, account, range(number, number + 1))
        account.due = store.status("d").decision.reason
    account.flushes[flush(store)] += 1
    refused = account.refused.total()
    stage(staging, account, range(_MOST_BATCHES, _MOST_BATCHES + 5))
    account.refused_after_flush = account.refused.total() - refused
    return ballast


def run_out_of_ledger(home: Path, staging: StagingManager, store: Timestore, account: Account) -> Path:
    """Journals and segments lie on another filesystem: only the ledger is out of space."""
    stage(staging, account, range(5))
    ballast = fill(home / "staging" / "ballast")
    stage(staging, account, range(5, _MOST_BATCHES))
    account.flushes[flush(store)] += 1
    return ballast


def run_out_of_inodes(home: Path, staging: StagingManager, store: Timestore, account: Account) -> Path:
    """There are bytes, and names for a few more files: fewer than there are datasets to be flushed."""
    others = [f"other-{number}" for number in range(10)]
    stage(staging, account, range(5))
    for name in others:
        staging.enqueue(name, batch(0))
    ballast = home / "staging" / "ballast"
    taken = [home / "staging" / f"ballast-{number}" for number in range(_INODES)]
    with suppress(OSError):
        for path in (ballast, *taken):
            path.touch()
    for path in [path for path in taken if path.exists()][:_INODES_LEFT]:
        path.unlink()
    account.flushes.update(flush(store, name) for name in ("d", *others))
    for path in taken:
        path.unlink(missing_ok=True)
    return ballast


def run_out_of_lake(home: Path, staging: StagingManager, store: Timestore, account: Account) -> Path:
    stage(staging, account, range(20))
    ballast = fill(home / "lake" / "ballast")
    account.flushes[flush(store)] += 1
    account.flushes[flush(store)] += 1
    stage(staging, account, range(20, 25))
    return ballast


def run_out_of_spool(home: Path, staging: StagingManager, store: Timestore, account: Account) -> Path:
    """The export has more to sort than memory for it, and nowhere to put the rest."""
    stage(staging, account, range(_MORE_THAN_MEMORY))
    ballast = fill(home / "staging" / "spool" / "ballast")
    account.flushes[flush(store)] += 1
    account.flushes[flush(store)] += 1
    stage(staging, account, range(_MORE_THAN_MEMORY, _MORE_THAN_MEMORY + 5))
    return ballast


_RUNS: dict[str, Callable[[Path, StagingManager, Timestore, Account], Path]] = {
    "staging": run_out_of_staging,
    "kept": run_into_what_is_kept,
    "ledger": run_out_of_ledger,
    "inodes": run_out_of_inodes,
    "lake": run_out_of_lake,
    "spool": run_out_of_spool,
}


def main() -> None:
    home, place = Path(sys.argv[1]), sys.argv[2]
    limits = {"staging_max_total_bytes": 0, "staging_max_dataset_bytes": 0, "staging_flush_max_bytes": 0}
    limits |= {"staging_min_free_bytes": 0}
    settings = Settings.build(home=home, **limits | _LIMITS.get(place, {}))
    account = Account()
    with StagingManager.open(settings) as staging, Timestore(settings) as store:
        ballast = _RUNS[place](home, staging, store, account)
        ballast.unlink()
        conclude(staging, store, account)
    sys.stdout.write(json.dumps(vars(account) | {"acked": len(account.acked)}))


def conclude(staging: StagingManager, store: Timestore, account: Account) -> None:
    """Space is back, the process is the same: one batch more, then everything acknowledged is published."""
    account.refused["after"] = 0
    last = max(account.acked, default=0) + 1_000
    staging.enqueue("d", batch(last))
    account.acked.append(last)
    for _ in range(20):
        if not store.area.backlog("d").queued.batches:
            break
        account.flushes["after: " + flush(store)] += 1
    rows = store.lake.table("d").to_arrow_dataset().to_table(columns=["n"])["n"].to_pylist()
    account.published = len(rows)
    account.exact = sorted(rows) == sorted(n * _ROWS + i for n in account.acked for i in range(_ROWS))
    staging._tally.write()
    counters = store.area.ledger.counters.all()
    account.dropped = sum(c.value for c in counters if c.series == "dropped_batches_total")
    account.verified = verify(store.area, store.lake).ok


if __name__ == "__main__":
    main()
