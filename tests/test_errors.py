"""The error classes: stable codes, one remedy each."""

from __future__ import annotations

import asyncio
import json
from collections.abc import Iterator
from datetime import timedelta

import pytest
from starlette.requests import Request

from timestore_pipeline import errors
from timestore_pipeline.doors.http.problems import of_error
from timestore_pipeline.doors.landing.reports import reason_text
from timestore_pipeline.errors import (
    GuardrailExceeded,
    InvalidSettings,
    RetryLater,
    SchemaConflict,
    TimestoreError,
    error_document,
)
from timestore_pipeline.ingest.staging_loop import StagedTally

_REMEDIES = (
    errors.RetryLater,
    errors.InvalidInput,
    errors.Conflict,
    errors.Corrupted,
    errors.OutcomeUnknown,
)


def _all(base: type[TimestoreError] = TimestoreError) -> Iterator[type[TimestoreError]]:
    for error in base.__subclasses__():
        if error.__module__ == errors.__name__:
            yield error
            yield from _all(error)


@pytest.mark.parametrize("error", list(_all()), ids=lambda error: error.__name__)
def test_each_error_has_a_code_of_its_own_and_exactly_one_remedy(error: type[TimestoreError]) -> None:
    assert [other for other in _all() if other.code == error.code] == [error]
    assert sum(issubclass(error, remedy) for remedy in _REMEDIES) == 1
    assert error.__doc__


def test_an_error_has_a_message_a_dataset_and_a_hint() -> None:
    error = RetryLater("it is busy", dataset="weather", hint="wait")
    assert (str(error), error.dataset, error.hint) == ("it is busy", "weather", "wait")
    assert error.retry_after == timedelta(seconds=1)


def test_an_error_about_a_guardrail_names_it() -> None:
    error = GuardrailExceeded(
        "full", guardrail="total_bytes", dataset="weather", hint="flush", retry_after=timedelta(seconds=5)
    )
    assert (error.guardrail, error.retry_after) == ("total_bytes", timedelta(seconds=5))


def test_an_error_about_a_column_carries_both_types() -> None:
    error = SchemaConflict("no", column="v", existing="int64", incoming="string")
    assert (error.column, error.existing, error.incoming) == ("v", "int64", "string")


def test_an_error_about_settings_lists_every_problem() -> None:
    error = InvalidSettings(["A=1: no", "B=2: no"])
    assert str(error) == "configuration refused: A=1: no; B=2: no"


def test_an_error_reads_the_same_in_every_json_answer() -> None:
    error = RetryLater("it is busy", dataset="weather", hint="wait")
    document = {"code": "retry_later", "message": "it is busy", "dataset": "weather", "hint": "wait"}
    assert (error.to_dict(), error_document(error), error_document(None)) == (document, document, None)
    assert json.loads(reason_text("a.csv", "0" * 64, error, StagedTally())).items() >= document.items()
    response = asyncio.run(of_error(Request({"type": "http"}), error))
    document["detail"] = document.pop("message")
    assert json.loads(bytes(response.body)).items() >= document.items()
