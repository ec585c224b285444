"""Translates the server's answers into a receipt, or into the error that the library itself would have raised."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from datetime import datetime, timedelta
from typing import Any

from timestore_pipeline.errors import (
    Conflict,
    GuardrailExceeded,
    InvalidInput,
    InvalidSettings,
    NotAcknowledged,
    RetryLater,
    SchemaConflict,
    ShardConflict,
    TimestoreError,
)
from timestore_pipeline.model.batch import Receipt

_LATER = 408, 429, 503, 507
_PLAINER: dict[type[TimestoreError], type[TimestoreError]] = {  # for classes whose fields no answer carries
    ShardConflict: Conflict,
    InvalidSettings: InvalidInput,
}


def receipt_of(document: Mapping[str, Any]) -> Receipt:
    """Raises `NotAcknowledged` for an answer that is no receipt."""
    try:
        return Receipt(
            batch_id=str(document["batch_id"]),
            dataset=str(document["dataset"]),
            rows=int(document["rows"]),
            bytes=int(document["bytes"]),
            staged_at=datetime.fromisoformat(document["staged_at"]),
            duplicate=bool(document["duplicate"]),
            decided=document.get("decided"),
            warnings=tuple(map(str, document.get("warnings", ()))),
        )
    except (KeyError, TypeError, ValueError) as error:
        raise NotAcknowledged("the server's answer is no receipt", hint="is this the address of timestore?") from error


def error_of(status: int, document: Mapping[str, Any], retry_after: float) -> TimestoreError:
    """The error of an answer. `RetryLater` and `NotAcknowledged`, a proxy's or a server's failure, may be retried."""
    message = f"{document.get('detail') or 'the server gave no reason'} (HTTP {status})"
    common: dict[str, Any] = {"dataset": document.get("dataset"), "hint": str(document.get("hint") or "")}
    later: dict[str, Any] = {"retry_after": timedelta(seconds=retry_after)}
    kind = _KINDS.get(str(document.get("code")))
    if kind is SchemaConflict:
        columns = {name: str(document.get(name)) for name in ("column", "existing", "incoming")}
        return SchemaConflict(message, hint=common["hint"], **columns)
    if kind is GuardrailExceeded:
        return GuardrailExceeded(message, guardrail=str(document.get("guardrail")), **common, **later)
    if kind is not None and issubclass(kind, RetryLater):
        return kind(message, **common, **later)
    if kind is not None:
        return _PLAINER.get(kind, kind)(message, **common)
    # The answer is not from timestore, or from a newer release: only its status is known.
    if status in _LATER:
        return RetryLater(message, **common, **later)
    return NotAcknowledged(message, **common) if status >= 500 else InvalidInput(message, **common)


def _kinds(base: type[TimestoreError]) -> Iterator[type[TimestoreError]]:
    yield base
    for child in base.__subclasses__():
        yield from _kinds(child)


_KINDS = {kind.code: kind for kind in _kinds(TimestoreError)}
