"""Translates the server's answers into a receipt, or into the error that the library itself would have raised."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from datetime import UTC, datetime, timedelta
from http import HTTPStatus
from typing import Any, TypeVar

from timestore_pipeline import errors
from timestore_pipeline.errors import (
    Forbidden,
    GuardrailExceeded,
    InvalidInput,
    NotAcknowledged,
    RetryLater,
    SchemaConflict,
    TimestoreError,
)
from timestore_pipeline.model.batch import Receipt
from timestore_pipeline.system.legible import legible

T = TypeVar("T")

_LATER = 408, 429, 503, 507
_WHO_ANSWERS = "is this the address of timestore? The batch may be staged; send it again with the same idempotency key"
_INT64 = 2**63
_LONGEST_TEXT = 4_000  # characters of an error's text
_OWN: Mapping[type[TimestoreError], tuple[str, ...]] = {  # members that only these errors have
    SchemaConflict: ("column", "existing", "incoming"),
    GuardrailExceeded: ("guardrail",),
    Forbidden: ("token", "right"),
}


def receipt_of(document: Mapping[str, Any], dataset: str, rows: int) -> Receipt:
    """Raises `NotAcknowledged` for an answer that is no receipt, or one for another dataset or number of rows."""
    try:
        receipt = _receipt(document)
    except (KeyError, TypeError, ValueError, OverflowError) as error:
        raise NotAcknowledged("the server's answer is no receipt", hint=_WHO_ANSWERS) from error
    if (receipt.dataset, receipt.rows) != (dataset, rows):
        theirs, ours = f"{receipt.rows} rows of {receipt.dataset!r:.80}", f"{rows} rows of {dataset!r}"
        raise NotAcknowledged(f"the receipt is for {theirs}, but {ours} were sent", dataset=dataset, hint=_WHO_ANSWERS)
    return receipt


def _receipt(document: Mapping[str, Any]) -> Receipt:
    warnings = _typed(document.get("warnings", []), list)
    receipt = Receipt(
        batch_id=_typed(document["batch_id"], str),
        dataset=_typed(document["dataset"], str),
        rows=_typed(document["rows"], int),
        bytes=_typed(document["bytes"], int),
        staged_at=_instant(_typed(document["staged_at"], str)),
        duplicate=_typed(document["duplicate"], bool),
        decided=_decided(document.get("decided")),
        warnings=tuple(legible(_typed(warning, str)) for warning in warnings),
    )
    if (receipt.rows and not receipt.batch_id) or not receipt.batch_id.isprintable():
        raise ValueError("rows without a batch")
    if not 0 <= receipt.bytes < _INT64:
        raise ValueError("no number of bytes")
    return receipt


def _decided(given: object) -> Mapping[str, Any] | None:
    """An object of values and objects of values: to print a deeper one may exceed the stack."""
    if given is None:
        return None
    decided = _typed(given, dict)
    for member in decided.values():
        for value in member.values() if isinstance(member, dict) else [member]:
            if isinstance(value, (dict, list)):
                raise TypeError("decided")
    return decided


def _typed(value: object, kind: type[T]) -> T:
    """Only JSON's own type counts: `1.0`, `"1"` and `true` are no number of rows."""
    if type(value) is not kind:
        raise TypeError(f"not of type {kind.__name__}")
    return value


def _instant(text: str) -> datetime:
    instant = datetime.fromisoformat(text)
    if instant.tzinfo is None:
        raise ValueError("a time without its zone")
    return instant.astimezone(UTC)


@dataclass(frozen=True, slots=True)
class FlushAnswer:
    """What has become of a request to flush.

    Attributes:
        done: Nothing of what was asked for is left.
        outcomes: Of each dataset that had anything staged, as the HTTP API names them: `flushed`, `requested`,
            `in_flight`, `blocked`, and `nothing_staged` of a dataset that was named.
        reasons: Why each of them is not flushed yet, or would not be.
        sensor_late: No flush begins before the sensor ticks again.
        hint: What to do; empty when it is done.
    """

    done: bool
    outcomes: Mapping[str, str]
    reasons: Mapping[str, str]
    sensor_late: bool
    hint: str


def flush_answer_of(document: Mapping[str, Any]) -> FlushAnswer:
    """Raises `NotAcknowledged` for an answer that is none; the request may stand."""
    try:
        datasets = [_typed(entry, dict) for entry in _typed(document["datasets"], list)]
        return FlushAnswer(
            done=_typed(document["done"], bool),
            outcomes={_typed(one["dataset"], str): _typed(one["outcome"], str) for one in datasets},
            reasons={one["dataset"]: _typed(one["reason"], str) for one in datasets},
            sensor_late=_typed(document["sensor_late"], bool),
            hint=_typed(document["hint"], str),
        )
    except (KeyError, TypeError) as error:
        raise NotAcknowledged(
            "the server's answer does not say what was flushed", hint="is this the address of timestore?"
        ) from error


def error_of(status: int, document: Mapping[str, Any], retry_after: float) -> TimestoreError:
    """The error of an answer. `RetryLater` and `NotAcknowledged`, a proxy's or a server's failure, may be retried."""
    if status < HTTPStatus.MULTIPLE_CHOICES:  # it is no refusal, whatever the answer says
        return NotAcknowledged(f"the server's answer is no receipt (HTTP {status})", hint=_WHO_ANSWERS)
    message = f"{_text(document, 'detail') or 'the server gave no reason'} (HTTP {status})"
    common: dict[str, Any] = {"dataset": _text(document, "dataset") or None, "hint": _text(document, "hint")}
    later: dict[str, Any] = {"retry_after": timedelta(seconds=retry_after)}
    kind = _KINDS.get(_text(document, "code"))
    if kind is not None:
        own: dict[str, Any] = {name: _text(document, name) for name in _OWN.get(kind, ())}
        if kind is SchemaConflict:
            return SchemaConflict(message, hint=common["hint"], **own)
        return kind(message, **common, **own, **(later if issubclass(kind, RetryLater) else {}))
    # The answer is not from timestore, or from a newer release: only its status is known.
    if status in _LATER:
        return RetryLater(message, **common, **later)
    return NotAcknowledged(message, **common) if status >= 500 else InvalidInput(message, **common)


def _text(document: Mapping[str, Any], name: str) -> str:
    """Empty if the member is no text: to print a deeply nested one may exceed the stack."""
    value = document.get(name)
    return value[:_LONGEST_TEXT] if isinstance(value, str) else ""


def _plain(kind: type[TimestoreError]) -> type[TimestoreError]:
    """Its nearest base that needs no field which no answer carries."""
    return next(
        base for base in kind.__mro__ if base in (*_OWN, RetryLater, TimestoreError) or "__init__" not in vars(base)
    )


_KINDS = {
    kind.code: _plain(kind)
    for kind in vars(errors).values()
    if isinstance(kind, type) and issubclass(kind, TimestoreError)
}
