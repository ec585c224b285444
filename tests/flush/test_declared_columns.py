"""A declared column has its type whatever comes first, and the values that were staged before as they were sent."""

from __future__ import annotations

from datetime import UTC, datetime
from decimal import Decimal
from typing import Any

import pyarrow as pa
import pytest

from timestore_pipeline import Settings, StagingManager
from timestore_pipeline.errors import InvalidMetadata, SchemaConflict
from timestore_pipeline.model.flush import Trigger
from timestore_pipeline.wiring import Timestore

AT = datetime(2026, 1, 1, tzinfo=UTC)


def declared(type_: str) -> dict[str, Any]:
    return {"schema": {"columns": {"v": type_}}}


def stage(settings: Settings, *values: Any, document: dict[str, Any] | None = None) -> None:
    """document: metadata that the producer sets first."""
    with StagingManager.open(settings) as manager:
        if document is not None:
            manager.set_metadata("d", document)
        manager.enqueue("d", [{"at": AT, "v": value} for value in values])


def published(settings: Settings) -> pa.ChunkedArray:
    with Timestore(settings) as store:
        store.flush("d", Trigger.MANUAL, "run")
        assert store.area.ledger.incidents.all("d") == []
        return store.lake.table("d").to_arrow_dataset().to_table()["v"]


@pytest.mark.parametrize(
    ("type_", "first", "then", "expected"),
    [
        ("double", 14, 14.5, [14.0, 14.5]),
        ("string", 14, "K12", ["14", "K12"]),
        ("string", True, Decimal("1.50"), ["true", "1.50"]),
        ("decimal(38,2)", 14, Decimal("0.25"), [Decimal("14.00"), Decimal("0.25")]),
        ("list<double>", [], [1], [[], [1.0]]),
        ("struct<a: string>", {"a": 1}, {"a": "x", "b": 1}, [{"a": "1", "b": None}, {"a": "x", "b": 1}]),
    ],
)
@pytest.mark.parametrize("late", [False, True], ids=["before", "after-the-first-batch"])
def test_a_declared_column_holds_what_comes_as_it_was_sent(
    settings: Settings, type_: str, first: Any, then: Any, expected: list[Any], late: bool
) -> None:
    stage(settings, first, document=None if late else declared(type_))
    stage(settings, then, document=declared(type_) if late else None)
    assert sorted(published(settings).to_pylist(), key=str) == sorted(expected, key=str)


def test_a_declared_column_of_nothing_but_nulls_is_a_column(settings: Settings) -> None:
    with StagingManager.open(settings) as manager:
        manager.set_metadata("d", declared("list<double>"))
        manager.enqueue("d", [{"v": None}])
    stage(settings, None, [1])
    found = published(settings)
    assert sorted(found.to_pylist(), key=str) == [None, None, [1.0]]  # by their spelling


@pytest.mark.parametrize(
    ("known", "type_"),
    [("x", "double"), (14.5, "int64"), (2**53 + 1, "double"), (0.5, "string"), ({"a": 1}, "int64"), (AT, "string")],
)
def test_a_declaration_that_staged_values_might_not_survive_is_refused(
    settings: Settings, known: Any, type_: str
) -> None:
    stage(settings, known)
    with Timestore(settings) as store:
        before = store.area.ledger.datasets.get("d")
        with pytest.raises(SchemaConflict, match=r"'v' is .* in the declaration") as refused:
            store.set_metadata("d", declared(type_))
        assert "timestore flush d --now" in refused.value.hint
        assert store.area.ledger.datasets.get("d") == before


def test_a_declaration_that_published_rows_contradict_names_the_command_that_changes_them(settings: Settings) -> None:
    stage(settings, 14)
    published(settings)
    with Timestore(settings) as store:
        with pytest.raises(SchemaConflict) as refused:
            store.set_metadata("d", declared("double"))
        assert refused.value.hint == "`timestore datasets retype d v double`"
        store.set_metadata("d", declared("int64"))


def test_a_producer_that_runs_hears_of_a_declaration_before_its_next_batch(settings: Settings) -> None:
    with StagingManager.open(settings) as manager, Timestore(settings) as store:
        manager.enqueue("d", [{"at": AT, "v": 14}])
        manager.enqueue("d", [{"at": AT, "v": 15}])
        store.set_metadata("d", declared("string"))
        manager.enqueue("d", [{"at": AT, "v": 16}])
        manager.enqueue("d", [{"at": AT, "v": "17"}])
    assert sorted(published(settings).to_pylist()) == ["14", "15", "16", "17"]


def test_what_contradicts_itself_is_refused(settings: Settings) -> None:
    stage(settings, 1)
    with Timestore(settings) as store:
        with pytest.raises(InvalidMetadata, match="'at' is declared as double, not as a timestamp"):
            store.set_metadata("d", {"time_column": "at", "schema": {"columns": {"at": "double"}}})
        with pytest.raises(InvalidMetadata, match="has that column as 'v'"):
            store.set_metadata("d", {"schema": {"columns": {"V": "double"}}})
        with pytest.raises(InvalidMetadata, match="there is no type 'doubel'"):
            store.set_metadata("d", declared("doubel"))
