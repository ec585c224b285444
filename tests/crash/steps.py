"""Every step that changes something durable, and the function behind it. A new step is one more line."""

from __future__ import annotations

import errno
import os
import tempfile
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from typing import Any

from deltalake import DeltaTable

from timestore_pipeline.errors import DiskFull
from timestore_pipeline.flush import attach, claim, pipeline, settle
from timestore_pipeline.lake.log import DeltaLog
from timestore_pipeline.lake.maintenance import TableMaintenance
from timestore_pipeline.lake.table import LakeTable
from timestore_pipeline.maintain.rewrite import Rewriter
from timestore_pipeline.recovery import ledger_rebuild, shard_recovery
from timestore_pipeline.staging import quarantine, roll_up, salvage, segments
from timestore_pipeline.staging.area import StagingArea
from timestore_pipeline.staging.directory import StagingDirectory
from timestore_pipeline.staging.journal import Journal
from timestore_pipeline.staging.ledger.batches import Batches
from timestore_pipeline.staging.ledger.datasets import Datasets
from timestore_pipeline.staging.ledger.flush_stretches import FlushStretches
from timestore_pipeline.staging.ledger.flushes import Flushes
from timestore_pipeline.staging.ledger.incidents import Incidents
from timestore_pipeline.staging.ledger.journals import Journals
from timestore_pipeline.staging.ledger.published import Published
from timestore_pipeline.staging.ledger.quarantine_moves import Quarantine
from timestore_pipeline.staging.ledger.schema_changes import SchemaChanges
from timestore_pipeline.staging.ledger.segment_import import SegmentImport
from timestore_pipeline.staging.ledger.segment_rows import Segments
from timestore_pipeline.staging.liveness import ProcessIdentity

MOMENTS = ("before", "during", "after")


def no_space() -> Exception:
    """As the product's own doors say it."""
    return DiskFull("no space left, injected")


def system_error() -> Exception:
    """As the system says it, where no door translates it before the caller sees it."""
    return OSError(errno.ENOSPC, "No space left on device")


def disk_error() -> Exception:
    return OSError(errno.EIO, "Input/output error")


@dataclass(frozen=True)
class Step:
    name: str
    situation: str  # what is there already, see `matrix.SITUATIONS`
    owner: Any
    attribute: str
    error: Callable[[], Exception] = no_space
    call: int = 1  # the fault is at this call of the function
    moments: Sequence[str] = MOMENTS  # without "during" where the step changes no file: there is nothing to interrupt


STEPS = (
    Step("register journal", "nothing", Journals, "register"),
    Step("begin journal", "nothing", Journal, "__init__"),
    Step("append to the journal", "nothing", Journal, "append"),
    Step("append more to the journal", "nothing", Journal, "append", call=2),
    Step("write a record", "nothing", os, "writev", system_error, call=2),  # the first call writes the journal's line
    Step("write another record", "nothing", os, "writev", system_error, call=3),
    Step("flush a record", "nothing", os, "fdatasync", disk_error, call=2),
    Step("flush the promise", "nothing", os, "fdatasync", disk_error, call=3),
    Step("flush another record", "nothing", os, "fdatasync", disk_error, call=4),
    Step("flush another promise", "nothing", os, "fdatasync", disk_error, call=5),
    Step("ledger promise", "nothing", Batches, "promise"),
    Step("another ledger promise", "nothing", Batches, "promise", call=2),
    Step("roll up", "recovered producer", shard_recovery, "roll_up"),
    Step("register segment", "recovered producer", Segments, "register"),
    Step("write segment", "recovered producer", roll_up, "write_segment"),
    Step("move batches", "recovered producer", Journals, "move"),
    Step("close journal", "nothing", Journals, "close"),
    Step("claim", "nothing", Flushes, "claim"),
    Step("adopt claim", "claimed elsewhere", Flushes, "adopt"),
    Step("settle columns and layout", "nothing", SchemaChanges, "settle_for_table"),
    Step("table ensure", "nothing", LakeTable, "ensure"),
    Step("read records", "nothing", attach, "attach_records", moments=("before", "after")),
    Step("attach", "segment", attach, "attach_sealed", moments=("before", "after")),
    Step("make spill folder", "nothing", tempfile, "mkdtemp", system_error),
    Step("export, first file", "nothing", LakeTable, "write"),
    Step("export, last file", "nothing", LakeTable, "write", call=4),
    Step("export, many files", "many partitions", LakeTable, "write_many"),
    Step("record export", "nothing", Flushes, "record_export"),
    Step("delta commit", "nothing", DeltaTable, "create_write_transaction", system_error),
    Step("log fsync", "nothing", DeltaLog, "make_durable", system_error, call=2),
    Step("checkpoint", "nothing", DeltaTable, "create_checkpoint", system_error),
    Step("checkpoint fsync", "nothing", DeltaLog, "make_checkpoint_durable", system_error),
    Step("publish", "nothing", LakeTable, "publish"),
    Step("finalize", "nothing", Flushes, "finalize"),
    Step("unlink", "segment", segments, "remove", system_error),
    Step("fold published batches", "nothing", Published, "fold"),
    Step("prune published batches", "nothing", Published, "prune", moments=("before", "after")),
    Step("forget segments", "segment", Segments, "forget"),
    Step("remove idle journals", "dead producer", pipeline, "remove_idle_journals"),
    Step("flush the journals' folder", "dead producer", StagingDirectory, "sync_journals", disk_error),
    Step("forget journals", "dead producer", Journals, "forget"),
    Step("move batches of a closed journal", "recovered journal", Journals, "move"),
    Step("remove closed journals", "closed journal", pipeline, "remove_idle_journals"),
    Step("forget closed journals", "closed journal", Journals, "forget"),
    Step("close a full journal", "many journals", Journals, "close"),
    Step("roll up in the background", "many journals", roll_up, "roll_up"),
    Step("write segment in the background", "many journals", roll_up, "write_segment"),
    Step("move batches in the background", "many journals", Journals, "move"),
    Step("remove journals in the background", "many journals", roll_up, "remove_idle_journals"),
    Step("forget journals in the background", "many journals", Journals, "forget"),
    Step("unlink an unfinished segment", "dead in a roll-up", segments, "remove", system_error),
    Step("forget an unfinished segment", "dead in a roll-up", Segments, "forget"),
    Step("burn", "dead after export", LakeTable, "burn"),
    Step("abort", "dead after export", Flushes, "abort"),
    Step("discard files", "dead after export", LakeTable, "discard", system_error),
    Step("settle", "dead after export", settle, "settle"),
    Step("abort a claim", "dead after claim", Flushes, "abort"),
    Step("finalize what was published", "dead after commit", Flushes, "finalize"),
    Step("remove journals of what was published", "dead after finalize", claim, "remove_idle_journals"),
    Step("unlink what was published", "finalized segment", StagingArea, "remove_drained_segments"),
    Step("forget dead processes", "dead after export", ProcessIdentity, "forget_dead"),
    Step("recovery as a whole", "dead after export", shard_recovery, "recover"),
    Step("abort, second recovery", "dead in recovery", Flushes, "abort"),
    Step("settle, second recovery", "dead in recovery", settle, "settle"),
    Step("recovery, second time", "dead in recovery", shard_recovery, "recover"),
    Step("examine segment", "rotten segment", quarantine, "examine", moments=("before", "after")),
    Step("register copy", "rotten segment", Segments, "register"),
    Step("copy whole batches", "rotten segment", quarantine, "copy_whole"),
    Step("compare copy", "rotten segment", salvage, "_check_equal", moments=("before", "after")),
    Step("set segment aside", "rotten segment", Quarantine, "segment"),
    Step("move aside", "rotten segment", quarantine, "move_durably", system_error),
    Step("set batch aside", "poisonous batch", Quarantine, "batches"),
    Step("set record aside", "rotten record", Quarantine, "claimed_records"),
    Step("set record aside in a roll-up", "recovered rot", Quarantine, "journaled"),
    Step("requeue a record", "record set aside", Incidents, "requeue"),
    Step("discard a record", "record given up", Incidents, "discard"),
    Step("requeue", "set aside", Incidents, "requeue"),
    Step("move back", "set aside", quarantine, "move_durably", system_error),
    Step("discard", "given up", Incidents, "discard"),
    Step("unlink what is given up", "given up", segments, "remove", system_error),
    Step("forget what is given up", "given up", Segments, "forget"),
    Step("set ledger aside", "lost ledger", ledger_rebuild, "_set_aside"),
    Step("salvage ledger", "lost ledger", ledger_rebuild, "salvage"),
    Step("learn from files and log", "lost ledger", ledger_rebuild, "reconcile"),
    Step("enter a segment", "no ledger", SegmentImport, "segment"),
    Step("enter records", "no ledger", SegmentImport, "records"),
    Step("list found journals", "no ledger", Journals, "list_found"),
    Step("build anew", "lost ledger", ledger_rebuild, "_build"),
    Step("install ledger", "lost ledger", ledger_rebuild, "_install"),
    Step("finish rebuild", "lost ledger", ledger_rebuild, "_finish"),
    Step("build anew, second time", "dead in a rebuild", ledger_rebuild, "_build"),
    Step("install, second time", "dead in a rebuild", ledger_rebuild, "_install"),
    Step("write compacted file", "fragmented", TableMaintenance, "write"),
    Step("replace files", "fragmented", TableMaintenance, "replace"),
    Step("write retyped file", "to be retyped", TableMaintenance, "write"),
    Step("prove retyped file", "to be retyped", Rewriter, "_compare", moments=("before", "after")),
    Step("commit a change of type", "to be retyped", TableMaintenance, "retype"),
    Step("learn a changed type", "to be retyped", Datasets, "learn"),
    Step("vacuum", "fragmented", TableMaintenance, "delete"),
    Step("fold old flushes", "fragmented", FlushStretches, "fold"),
    Step("trim log", "fragmented", DeltaLog, "trim", system_error),
)
