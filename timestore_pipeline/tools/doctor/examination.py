"""Runs checks so that none can prevent the others.

Each runs in a thread of its own with a deadline. A check that raises is a finding; one that hangs is abandoned.
"""

from __future__ import annotations

import queue
import threading
from collections.abc import Sequence

from timestore_pipeline.errors import TimestoreError
from timestore_pipeline.tools.doctor.finding import Check, Diagnosis, Finding, failed

PATIENCE = 20.0  # seconds for one check; a request to an unreachable object store fails after a few

_NO_REMEDY = "read the error; the other checks ran all the same"


def examine(checks: Sequence[Check], patience: float = PATIENCE) -> Diagnosis:
    """Run the checks one after the other; never raises."""
    return Diagnosis([(check.name, finding) for check in checks for finding in _run(check, patience)])


def _run(check: Check, patience: float) -> list[Finding]:
    outcome: queue.SimpleQueue[list[Finding]] = queue.SimpleQueue()
    threading.Thread(target=_look, args=(check, outcome), name=f"check-{check.name}", daemon=True).start()
    try:
        return outcome.get(timeout=patience)
    except queue.Empty:
        return [failed(f"no answer within {patience:g} s", "the disk or the service of this check hangs: look at it")]


def _look(check: Check, outcome: queue.SimpleQueue[list[Finding]]) -> None:
    try:
        outcome.put(list(check.look()))
    except TimestoreError as error:
        outcome.put([failed(f"{error} [{error.code}]", error.hint or _NO_REMEDY)])
    except Exception as error:  # noqa: BLE001  # any error is this check's finding
        outcome.put([failed(f"the check itself failed: {type(error).__name__}: {error}", _NO_REMEDY)])
