"""Bring the ledger to what a file of datasets says, or say what would change.

Keys that the file does not name stay, and so do datasets that it does not name; `null` unsets a key.
"""

from __future__ import annotations

from collections.abc import Mapping

from timestore_pipeline.ingest.metadata import checked_metadata
from timestore_pipeline.model.dataset import DatasetMetadata
from timestore_pipeline.model.metadata_edit import DatasetChange, Document, changed_keys, declared_on_top, document_of
from timestore_pipeline.settings import Settings
from timestore_pipeline.staging.ledger import Ledger


def apply_datasets(
    settings: Settings, ledger: Ledger, said: Mapping[str, Document], *, dry_run: bool = False
) -> list[DatasetChange]:
    """What changes, by dataset, in the order of the file: all of it or nothing.

    Raises `DatasetsRefused`, with the problems of all datasets.
    """

    def changing(name: str, before: DatasetMetadata) -> DatasetMetadata:
        after = checked_metadata(settings, name, declared_on_top(before, said[name]))
        return after if list(changed_keys(document_of(before), document_of(after))) else before

    declared = ledger.declarations.apply(list(said), changing, dry_run=dry_run)
    return [
        DatasetChange(one.dataset, one.new, tuple(changed_keys(document_of(one.before), document_of(one.after))))
        for one in declared
    ]
