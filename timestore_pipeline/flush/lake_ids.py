"""How a flush is named in the Delta log: the transaction identifier and the commit's own metadata."""

from __future__ import annotations

from typing import Any

from timestore_pipeline import clock
from timestore_pipeline.model.flush import Flush


def app_id(shard: str, dataset: str) -> str:
    """Delta's `txn.appId`; its `version` is the epoch. Shards publish into one table under names of their own."""
    return f"timestore/{shard}/{dataset}"


def claim_id(flush: Flush) -> str:
    """Tells the claim from every other, also from one of the same epoch that another ledger has made."""
    return f"{flush.run_id}/{clock.to_micros(flush.claimed_at)}"


def commit_info(shard: str, flush: Flush) -> dict[str, Any]:
    """What a published commit says about itself; `timestore verify` reads it back."""
    return {
        "shard": shard,
        "dataset": flush.dataset,
        "epoch": flush.epoch,
        "claim": claim_id(flush),
        "outcome": "published",
        "run_id": flush.run_id,
        "trigger": flush.trigger.value,
        "batches": flush.volume.batches,
        "rows": flush.volume.rows,
    }
