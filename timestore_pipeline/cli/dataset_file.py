"""`timestore datasets apply`, `export` and `schema`: all datasets as one file that a team keeps with its code."""

from __future__ import annotations

import json
import sys
from collections.abc import Sequence
from pathlib import Path
from typing import Annotated, Any

import typer

from timestore_pipeline.cli.output import AsJson, print_json, print_line, print_note
from timestore_pipeline.cli.session import open_store
from timestore_pipeline.cli.wording import count
from timestore_pipeline.errors import DatasetsRefused, UnreadableInput
from timestore_pipeline.ingest.datasets_yaml import datasets_document, datasets_text, file_schema, read_datasets
from timestore_pipeline.ingest.metadata import apply_datasets
from timestore_pipeline.model.metadata_edit import DatasetChange, KeyChange


def apply(
    file: Annotated[str, typer.Argument(metavar="FILE", help="A YAML file; '-' reads standard input.")],
    dry_run: Annotated[bool, typer.Option("--dry-run", help="Show what would change, and change nothing.")] = False,
    as_json: AsJson = False,
) -> None:
    """Set the metadata of all datasets that a YAML file names: all of it, or nothing.

    Datasets and keys that the file does not name stay as they are; null unsets a key.

    \b
    Example:
      timestore datasets apply datasets.yaml --dry-run
    """
    documents = read_datasets(_text(file), file)
    try:
        with open_store() as store:
            changes = apply_datasets(store.settings, store.area.ledger, documents, dry_run=dry_run)
    except DatasetsRefused as refused:
        for problem in () if as_json else refused.problems:
            print_note(f"{problem.dataset}: {problem} [{problem.code}]", "red")
            print_note(f"  hint: {problem.hint}")
        raise
    if as_json:
        print_json({"dry_run": dry_run, "datasets": [change.to_dict() for change in changes]})
    else:
        _show(changes, dry_run=dry_run)


def export(as_json: AsJson = False) -> None:
    """Print the metadata of all datasets as the YAML file that `apply` reads.

    \b
    Example:
      timestore datasets export > datasets.yaml
    """
    with open_store() as store:
        document = datasets_document(store.area.ledger.datasets.active())
    if as_json:
        print_json(document)
    else:
        print(datasets_text(document), end="")


def schema() -> None:
    """Print a JSON Schema of that file, with which editors complete and check it.

    \b
    Example:
      timestore datasets schema > datasets.schema.json
    """
    print(json.dumps(file_schema(), indent=2))


def _text(file: str) -> str:
    try:
        return sys.stdin.read() if file == "-" else Path(file).read_text(encoding="utf-8")
    except (OSError, UnicodeDecodeError) as error:
        raise UnreadableInput(f"{file} cannot be read: {error}", hint="give a YAML file in UTF-8") from None


def _show(changes: Sequence[DatasetChange], *, dry_run: bool) -> None:
    changed = [change for change in changes if change]
    for change in changed:
        print_line(f"{change.dataset} (new)" if change.new else change.dataset, "bold")
        width = max((len(key.key) for key in change.keys), default=0)
        for key in change.keys:
            _show_key(key, width)
    if not changed:
        print_line(f"nothing to change: {count(len(changes), 'dataset')} as the file says")
        return
    outcome = "would change; nothing was written" if dry_run else "changed"
    print_line(f"{len(changed)} of {count(len(changes), 'dataset')} {outcome}")


def _show_key(change: KeyChange, width: int) -> None:
    if change.before is None:
        sign, style, value = "+", "green", _value(change.after)
    elif change.after is None:
        sign, style, value = "-", "red", _value(change.before)
    else:
        sign, style, value = "~", "yellow", f"{_value(change.before)} -> {_value(change.after)}"
    print_line(f"  {sign} {change.key:<{width}}  {value}", style)


def _value(value: Any) -> str:
    return value if isinstance(value, str) else json.dumps(value, ensure_ascii=False)
