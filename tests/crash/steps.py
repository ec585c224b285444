"""Every step that changes something durable, and the function behind it. A new step is one more line."""

from __future__ import annotations

import errno
import tempfile
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from typing import Any

from deltalake import DeltaTable

from timestore_pipeline.errors import DiskFull
from timestore_pipeline.flush import recovery, settle, staged_view
from timestore_pipeline.lake.log import DeltaLog
from timestore_pipeline.lake.table import LakeTable
from timestore_pipeline.lake.upkeep import TableUpkeep
from timestore_pipeline.maintain.rewrite import Rewriter
from timestore_pipeline.rebuild import ledger
from timestore_pipeline.staging import quarantine, salvage, segments
from timestore_pipeline.staging.area import StagingArea
from timestore_pipeline.staging.ledger.batches import Batches
from timestore_pipeline.staging.ledger.datasets import Datasets
from timestore_pipeline.staging.ledger.flushes import Flushes
from timestore_pipeline.staging.ledger.incidents import Incidents
from timestore_pipeline.staging.ledger.schema_changes import SchemaChanges
from timestore_pipeline.staging.ledger.segments import Segments
from timestore_pipeline.staging.ledger.setting_aside import SettingAside
from timestore_pipeline.staging.liveness import ProcessIdentity
from timestore_pipeline.staging.segments import OpenSegment

MOMENTS = ("before", "during", "after")


def no_space() -> Exception:
    """As the product's own doors say it."""
    return DiskFull("no space left, injected")


def system_error() -> Exception:
    """As the system says it, where no door translates it before the caller sees it."""
    return OSError(errno.ENOSPC, "No space left on device")


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
    Step("register segment", "nothing", Segments, "register"),
    Step("create segment", "nothing", OpenSegment, "__init__"),
    Step("insert and commit rows", "nothing", OpenSegment, "append"),
    Step("insert and commit more rows", "nothing", OpenSegment, "append", call=2),
    Step("ledger commit of a batch", "nothing", Batches, "record"),
    Step("seal (detach)", "nothing", OpenSegment, "seal"),
    Step("mark sealed", "nothing", Segments, "mark_sealed"),
    Step("claim", "nothing", Flushes, "claim"),
    Step("adopt claim", "claimed elsewhere", Flushes, "adopt"),
    Step("settle columns and layout", "nothing", SchemaChanges, "settle_for_table"),
    Step("table ensure", "nothing", LakeTable, "ensure"),
    Step("attach", "nothing", staged_view, "attach_sealed", moments=("before", "after")),
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
    Step("unlink", "nothing", segments, "remove", system_error),
    Step("forget segments", "nothing", Segments, "forget"),
    Step("take-over", "dead producer", Segments, "adopt"),
    Step("replay", "dead producer", segments, "replay"),
    Step("mark replayed sealed", "dead producer", Segments, "mark_sealed"),
    Step("burn", "dead after export", LakeTable, "burn"),
    Step("abort", "dead after export", Flushes, "abort"),
    Step("discard files", "dead after export", LakeTable, "discard", system_error),
    Step("settle", "dead after export", settle, "settle"),
    Step("abort a claim", "dead after claim", Flushes, "abort"),
    Step("finalize what was published", "dead after commit", Flushes, "finalize"),
    Step("unlink what was published", "dead after finalize", StagingArea, "remove_drained_segments"),
    Step("forget dead processes", "dead after export", ProcessIdentity, "forget_dead"),
    Step("recovery as a whole", "dead after export", recovery, "recover"),
    Step("abort, second recovery", "dead in recovery", Flushes, "abort"),
    Step("settle, second recovery", "dead in recovery", settle, "settle"),
    Step("recovery, second time", "dead in recovery", recovery, "recover"),
    Step("examine segment", "rotten segment", quarantine, "examine", moments=("before", "after")),
    Step("register copy", "rotten segment", Segments, "register"),
    Step("copy whole batches", "rotten segment", quarantine, "copy_whole"),
    Step("compare copy", "rotten segment", salvage, "_check_equal", moments=("before", "after")),
    Step("set segment aside", "rotten segment", SettingAside, "segment"),
    Step("move aside", "rotten segment", quarantine, "move_durably", system_error),
    Step("set batch aside", "poisonous batch", SettingAside, "batches"),
    Step("requeue", "set aside", Incidents, "requeue"),
    Step("move back", "set aside", quarantine, "move_durably", system_error),
    Step("discard", "given up", Incidents, "discard"),
    Step("unlink what is given up", "given up", segments, "remove", system_error),
    Step("forget what is given up", "given up", Segments, "forget"),
    Step("set ledger aside", "lost ledger", ledger, "_set_aside"),
    Step("salvage ledger", "lost ledger", ledger, "salvage"),
    Step("learn from files and log", "lost ledger", ledger, "reconcile"),
    Step("build anew", "lost ledger", ledger, "_build"),
    Step("install ledger", "lost ledger", ledger, "_install"),
    Step("finish rebuild", "lost ledger", ledger, "_finish"),
    Step("build anew, second time", "dead in a rebuild", ledger, "_build"),
    Step("install, second time", "dead in a rebuild", ledger, "_install"),
    Step("write compacted file", "fragmented", TableUpkeep, "write"),
    Step("replace files", "fragmented", TableUpkeep, "replace"),
    Step("write retyped file", "to be retyped", TableUpkeep, "write"),
    Step("prove retyped file", "to be retyped", Rewriter, "_compare", moments=("before", "after")),
    Step("commit a change of type", "to be retyped", TableUpkeep, "retype"),
    Step("learn a changed type", "to be retyped", Datasets, "learn"),
    Step("vacuum", "fragmented", TableUpkeep, "delete"),
    Step("trim log", "fragmented", DeltaLog, "trim", system_error),
)
