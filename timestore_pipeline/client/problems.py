"""What the server's answers mean: a receipt, or the very error that the library itself would have raised."""

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
_PLAINER: dict[type[TimestoreError], type[TimestoreError]] = {  # whose own fields no answer carries
    ShardConflict: Conflict,
    InvalidSettings: InvalidInput,
}


def receipt_of(document: Mapping[str, Any]) -> Receipt:
    """Raises `NotAcknowledged` for an answer that is none."""
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
    """`RetryLater` may be tried again, and so may `NotAcknowledged`: a proxy's or a server's own failure."""
    told = f"{document.get('detail') or 'the server gave no reason'} (HTTP {status})"
    common: dict[str, Any] = {"dataset": document.get("dataset"), "hint": str(document.get("hint") or "")}
    later: dict[str, Any] = {"retry_after": timedelta(seconds=retry_after)}
    kind = _KINDS.get(str(document.get("code")))
    if kind is SchemaConflict:
        columns = {name: str(document.get(name)) for name in ("column", "existing", "incoming")}
        return SchemaConflict(told, hint=common["hint"], **columns)
    if kind is GuardrailExceeded:
        return GuardrailExceeded(told, guardrail=str(document.get("guardrail")), **common, **later)
    if kind is not None and issubclass(kind, RetryLater):
        return kind(told, **common, **later)
    if kind is not None:
        return _PLAINER.get(kind, kind)(told, **common)
    return _unnamed(status, told, common, later)


def _unnamed(status: int, told: str, common: dict[str, Any], later: dict[str, Any]) -> TimestoreError:
    """Not from timestore, or from a newer one: the status must do."""
    if status in _LATER:
        return RetryLater(told, **common, **later)
    return NotAcknowledged(told, **common) if status >= 500 else InvalidInput(told, **common)


def _kinds(base: type[TimestoreError]) -> Iterator[type[TimestoreError]]:
    yield base
    for child in base.__subclasses__():
        yield from _kinds(child)


_KINDS = {kind.code: kind for kind in _kinds(TimestoreError)}
