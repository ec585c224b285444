"""`timestore datasets`: metadata, and the thresholds that follow from it."""

from __future__ import annotations

import sys
from typing import Annotated

import typer

from timestore_pipeline.cli.arguments import Dataset
from timestore_pipeline.cli.dataset_file import apply, export, schema
from timestore_pipeline.cli.dataset_view import fields, row
from timestore_pipeline.cli.output import AsJson, print_fields, print_json, print_line, print_table, reporting
from timestore_pipeline.cli.retype import retype
from timestore_pipeline.cli.session import open_store
from timestore_pipeline.doors.documents import dataset_document
from timestore_pipeline.model.dataset import DatasetMetadata
from timestore_pipeline.model.metadata_edit import merged, without
from timestore_pipeline.staging.ledger.datasets import DatasetRecord
from timestore_pipeline.wiring import Timestore

_COLUMNS = ("dataset", "time column", "partition", "max rows", "max bytes", "max age", "paused", "epoch", "created")
_NUMBERS = ("max rows", "max bytes", "max age", "epoch")


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
      timestore datasets set weather staging.flush.maxRows=50000 timeColumn=time_hour
      timestore datasets set weather '{"partition": {"granularity": "hour"}}'
      timestore datasets show weather --json | timestore datasets set storms -
    """
    given = [sys.stdin.read() if change == "-" else change for change in changes]
    with open_store() as store:
        record = None if replace else store.area.ledger.datasets.find(dataset)
        document = merged(record.metadata if record else DatasetMetadata(), given)
        _show(store, store.set_metadata(dataset, document), as_json=as_json)


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
        metadata = store.area.ledger.datasets.get(dataset).metadata
        document = {} if keys is None else without(metadata, keys)
        _show(store, store.set_metadata(dataset, document), as_json=as_json)


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


app = typer.Typer(no_args_is_help=True, rich_markup_mode=None, help="Metadata and thresholds of datasets.")
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
