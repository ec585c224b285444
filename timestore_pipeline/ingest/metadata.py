"""Metadata as an operator or a producer states them, checked against the limits in force; one dataset's, or a file's.

Keys that a file does not name stay, and so do datasets that it does not name; `null` unsets a key.
"""

from __future__ import annotations

from collections.abc import Mapping
from datetime import timedelta
from typing import Any

from timestore_pipeline.errors import DatasetsRefused, InvalidMetadata, TimestoreError
from timestore_pipeline.model.dataset import BACKLOG_PAGE, BACKLOG_WARN, DatasetMetadata
from timestore_pipeline.model.metadata_edit import DatasetChange, Document, changed_keys, declared_on_top, document_of
from timestore_pipeline.model.thresholds import ladder_problems
from timestore_pipeline.settings import Settings
from timestore_pipeline.staging.ledger import Ledger
from timestore_pipeline.system import clock

NOTED_AGAIN = timedelta(hours=1)  # so that `show` says which code locations still declare


def checked_metadata(settings: Settings, dataset: str, document: str | Mapping[str, Any]) -> DatasetMetadata:
    """Raises `InvalidMetadata`, also for limits that contradict each other."""
    metadata = DatasetMetadata.parse(document)
    if metadata.staging.alerts.contradict:
        raise InvalidMetadata(
            f"staging.alerts of dataset {dataset!r}: backlogWarn lies above backlogPage",
            dataset=dataset,
            hint=f"set both; unset they are {BACKLOG_WARN} and {BACKLOG_PAGE} batches",
        )
    thresholds = settings.thresholds.overridden(metadata.staging.flush)
    if problems := list(ladder_problems(thresholds, settings.guardrails)):
        raise InvalidMetadata(
            f"staging.flush.maxBytes of dataset {dataset!r}: {'; '.join(problems)}",
            dataset=dataset,
            hint="choose a flush threshold below the guardrail",
        )
    return metadata


def apply_datasets(
    settings: Settings, ledger: Ledger, documents: Mapping[str, Document], *, dry_run: bool = False
) -> list[DatasetChange]:
    """What changes, by dataset, in the order of the file: all of it or nothing.

    Raises `DatasetsRefused`, with the problems of all datasets.
    """
    declared = ledger.declarations.apply(
        list(documents), lambda name, before: _after(settings, name, before, documents[name]), dry_run=dry_run
    )
    return [
        DatasetChange(one.dataset, one.new, tuple(changed_keys(document_of(one.before), document_of(one.after))))
        for one in declared
    ]


def declare_datasets(
    settings: Settings, ledger: Ledger, source: str, documents: Mapping[str, Document]
) -> list[DatasetChange]:
    """The same for what a code location declares, which the ledger then knows; takes no lock while nothing changes."""
    changes = [] if _holds(settings, ledger, documents) else apply_datasets(settings, ledger, documents)
    noted = ledger.declarations.noted().get(source)
    if noted is None or noted.datasets != documents or noted.at + NOTED_AGAIN < clock.now():
        ledger.declarations.note(source, documents)
    return [change for change in changes if change]


def check_datasets(settings: Settings, documents: Mapping[str, Document]) -> None:
    """Raises `DatasetsRefused` for what contradicts itself or the limits in force, whatever the ledger holds."""
    problems = list[TimestoreError]()
    for name, document in documents.items():
        try:
            _after(settings, name, DatasetMetadata(), document)
        except TimestoreError as error:
            error.dataset = name
            problems.append(error)
    if problems:
        raise DatasetsRefused(problems, of=len(documents))


def _after(settings: Settings, name: str, before: DatasetMetadata, document: Document) -> DatasetMetadata:
    """The same object when nothing changes."""
    after = checked_metadata(settings, name, declared_on_top(before, document))
    return after if list(changed_keys(document_of(before), document_of(after))) else before


def _holds(settings: Settings, ledger: Ledger, documents: Mapping[str, Document]) -> bool:
    known, active = ledger.datasets.all_metadata(), set(ledger.datasets.names(active=True))
    return all(
        name in active and _after(settings, name, known[name], documents[name]) is known[name] for name in documents
    )
