"""`timestore datasets`: metadata, and the thresholds that follow from it."""

from __future__ import annotations

import sys
from datetime import datetime
from typing import Annotated

import typer

from timestore_pipeline.cli.arguments import Dataset
from timestore_pipeline.cli.command_list import CommandList
from timestore_pipeline.cli.dataset_file import apply, export, schema
from timestore_pipeline.cli.output import (
    AsJson,
    print_fields,
    print_json,
    print_line,
    print_note,
    print_table,
    reporting,
)
from timestore_pipeline.cli.retype import retype
from timestore_pipeline.cli.session import open_store
from timestore_pipeline.cli.wording import duration, instant, limit
from timestore_pipeline.doors.documents import dataset_document, declared_in, layout_of
from timestore_pipeline.model.canonical import schema_local_paths, waiting_leaves
from timestore_pipeline.model.dataset import DatasetMetadata
from timestore_pipeline.model.declared import type_text
from timestore_pipeline.model.metadata_edit import changed_keys, document_of, merged, without
from timestore_pipeline.model.thresholds import FlushSettings, FlushThresholds
from timestore_pipeline.staging.ledger.dataset_record import DatasetRecord
from timestore_pipeline.wiring import Timestore

_COLUMNS = ("dataset", "time column", "partition", "max rows", "max bytes", "max age", "paused", "epoch", "created")
_NUMBERS = ("max rows", "max bytes", "max age", "epoch")

app = typer.Typer(
    cls=CommandList, no_args_is_help=True, rich_markup_mode=None, help="Metadata and thresholds of datasets."
)


def list_datasets(as_json: AsJson = False) -> None:
    """List all datasets with the thresholds in force.

    \b
    Example:
      timestore datasets list
    """
    with open_store() as store:
        records = store.area.ledger.datasets.active()
        if as_json:
            print_json({"datasets": [dataset_document(store, record) for record in records]})
        elif records:
            print_table(
                _COLUMNS,
                [row(store, record) for record in records],
                numbers=_NUMBERS,
                spare=("created", "time column"),
            )
        else:
            print_line("no datasets yet")


def show(dataset: Dataset, as_json: AsJson = False) -> None:
    """Show a dataset's metadata, its schema and the thresholds in force.

    \b
    Example:
      timestore datasets show weather --json
    """
    with open_store() as store:
        _show(store, store.area.ledger.datasets.get(dataset), as_json=as_json)


def set_metadata(
    dataset: Dataset,
    changes: Annotated[
        list[str], typer.Argument(metavar="JSON|KEY=VALUE", help="'-' reads a JSON object from standard input.")
    ],
    replace: Annotated[bool, typer.Option("--replace", help="Forget what was set before.")] = False,
    as_json: AsJson = False,
) -> None:
    """Set metadata: what is named changes, the rest stays.

    \b
    Examples:
      timestore datasets set weather staging.flush.maxRows=50000 timeColumn=measured_at
      timestore datasets set weather '{"partition": {"granularity": "hour"}}'
      timestore datasets show weather --json | timestore datasets set storms -
    """
    given = [sys.stdin.read() if change == "-" else change for change in changes]
    with open_store() as store:
        record = None if replace else store.area.ledger.datasets.find(dataset)
        document = merged(record.metadata if record else DatasetMetadata(), given)
        after = store.set_metadata(dataset, document)
        _warn_of_declared(store, after, record)
        _show(store, after, as_json=as_json)


def unset(
    dataset: Dataset,
    keys: Annotated[list[str] | None, typer.Argument(metavar="KEY")] = None,
    everything: Annotated[bool, typer.Option("--all", help="Unset all of it.")] = False,
    as_json: AsJson = False,
) -> None:
    """Remove keys from a dataset's metadata, so that the defaults hold again.

    \b
    Example:
      timestore datasets unset weather staging.flush.maxRows
    """
    if bool(keys) == everything:
        raise typer.BadParameter("name at least one key, or give --all, not both")
    with open_store() as store:
        record = store.area.ledger.datasets.get(dataset)
        document = {} if keys is None else without(record.metadata, keys)
        after = store.set_metadata(dataset, document)
        _warn_of_declared(store, after, record)
        _show(store, after, as_json=as_json)


def remove(dataset: Dataset, as_json: AsJson = False) -> None:
    """Take a dataset that is not used any more out of status, lists and metrics.

    Refused while anything of it is staged or set aside. Its table in the lake stays as it is, and so do its books; the
    next batch, or `datasets set`, brings it back with its counters where they were.

    \b
    Example:
      timestore datasets remove weather
    """
    with open_store() as store:
        store.area.ledger.datasets.remove(dataset)
        uri = store.lake.table(dataset).uri
    if as_json:
        print_json({"dataset": dataset, "removed": True, "table": uri})
    else:
        print_line(f"{dataset}: removed; its table stays at {uri}")


app.command("list")(reporting(list_datasets))
app.command("show")(reporting(show))
app.command("set")(reporting(set_metadata))
app.command("unset")(reporting(unset))
app.command("retype")(reporting(retype))
app.command("remove")(reporting(remove))
app.command("apply")(reporting(apply))
app.command("export")(reporting(export))
app.command("schema")(reporting(schema))


def _show(store: Timestore, record: DatasetRecord, *, as_json: bool) -> None:
    if as_json:
        print_json(dataset_document(store, record))
        return
    print_fields(fields(store, record).items())


def _warn_of_declared(store: Timestore, after: DatasetRecord, before: DatasetRecord | None) -> None:
    """A command changes such a key until the code location's next look at it, within half a minute."""
    known = DatasetMetadata() if before is None else before.metadata
    changed = {change.key for change in changed_keys(document_of(known), document_of(after.metadata))}
    for source, _, keys in declared_in(store, after):
        if lost := [key for key in keys if key in changed]:
            print_note(f"{after.name}: {', '.join(lost)} is declared in {source}, which sets it again; change it there")


def row(store: Timestore, record: DatasetRecord) -> tuple[str, ...]:
    limits = store.flush_settings(record.name).thresholds
    layout = (record.time_column or "-", str(record.granularity or "-"))
    amounts = (limit(limits.max_rows), limit(limits.max_bytes), _age(limits))
    paused = "yes" if record.paused else "no"
    return (record.name, *layout, *amounts, paused, str(record.last_epoch), instant(record.created_at))


def fields(store: Timestore, record: DatasetRecord) -> dict[str, str]:
    """Name -> text, in the order in which they are printed."""
    settings = store.flush_settings(record.name)
    limits = settings.thresholds
    declared = record.metadata.schema_.columns
    waiting = [] if record.schema is None else waiting_leaves(record.schema)
    settled = store.area.ledger.schema_changes.settled_as_text(record.name)
    shown = {
        "dataset": record.name,
        "metadata": record.metadata.to_json(),
        "thresholds": f"rows {limit(limits.max_rows)}, bytes {limit(limits.max_bytes)}, age {_age(limits)}",
        "files": _files(settings, record.time_column),
        "time column": record.time_column or "-",
        "partition": str(record.granularity or "-"),
        "layout": layout_of(record),
        "columns": ", ".join(f"{column.name} {type_text(column.type)}" for column in record.schema or ()) or "-",
        "declared": ", ".join(f"{name} {text}" for name, text in declared.items()) or "-",
        "type waits": ", ".join(waiting) or "-",
        "paused": "yes" if record.paused else "no",
        "last epoch": str(record.last_epoch),
        "created": instant(record.created_at),
    }
    if places := declared_in(store, record):
        shown["declared in"] = "; ".join(_place(*one) for one in places)
    if local := [] if record.schema is None else schema_local_paths(record.schema):
        shown["readers need"] = f"the table feature timestampNtz, for times without a zone: {', '.join(local)}"
    if settled:
        shown["published as text"] = f"{', '.join(settled)}: only empty until then; see `timestore datasets retype`"
    return shown


def _place(source: str, at: datetime, keys: list[str]) -> str:
    return f"{source} (seen {instant(at)}): {', '.join(keys) or 'its name only'}"


def _files(settings: FlushSettings, time_column: str | None) -> str:
    parquet = settings.parquet
    codec = f"{parquet.compression} {parquet.compression_level}" if parquet.compression_level else parquet.compression
    order = ", ".join(dict.fromkeys([*settings.sort_by, *filter(None, [time_column])])) or "arrival"
    return f"{codec}, row groups of {parquet.row_group_size:,} rows, sorted by {order}"


def _age(limits: FlushThresholds) -> str:
    return duration(limits.max_age) if limits.max_age else "off"
