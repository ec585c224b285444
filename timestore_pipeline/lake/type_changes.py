"""Type changes of columns as recorded in the log: how many, and with which leeway values were cast.

The record is in transaction identifiers, which outlive the commits. So every shard casts rows staged in the old type
as the published rows were cast, and a flush that was exported before the change cannot be published after it.
"""

from __future__ import annotations

from collections.abc import Sequence

import pyarrow as pa
import pyarrow.parquet as pq
from deltalake import DeltaTable
from pyarrow import fs

from timestore_pipeline.errors import RetryLater
from timestore_pipeline.lake.evolution import is_part
from timestore_pipeline.model.canonical import canonical_type
from timestore_pipeline.model.commit import RETYPED_APP_ID, retyped_app_id
from timestore_pipeline.model.lake import ExportedFile
from timestore_pipeline.model.recast import LEEWAYS, Leeway


def times_retyped(table: DeltaTable) -> int:
    """How often a column of the table changed its type."""
    return int(table.transaction_version(RETYPED_APP_ID) or 0)


def leeway_of(table: DeltaTable, column: str) -> Leeway | None:
    """The leeway of a column's last change of type; None = its type never changed."""
    when = {name: int(table.transaction_version(retyped_app_id(column, name)) or 0) for name in LEEWAYS}
    last = max(when, key=lambda name: when[name])
    return LEEWAYS[last] if when[last] else None


def check_types(table: DeltaTable, root: fs.FileSystem, files: Sequence[ExportedFile]) -> None:
    """Raise `RetryLater` when files were exported before one of their columns changed its type.

    All files of a flush have the same columns, so the first is enough.
    """
    if not files or not times_retyped(table):
        return
    published = {field.name: field.type for field in pa.schema(table.schema().to_arrow())}
    with root.open_input_file(files[0].path) as stream:
        exported = pq.read_schema(stream)
    for field in exported:
        wanted = published.get(field.name)
        if wanted is not None and not is_part(*(canonical_type(kind, field.name) for kind in (field.type, wanted))):
            raise RetryLater(
                f"column {field.name!r} has become {wanted} since the flush exported it as {field.type}",
                hint="the next flush casts the staged rows",
            )
