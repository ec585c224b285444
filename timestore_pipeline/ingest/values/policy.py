"""What a dataset says about how incoming values are taken, in the few words that reading and casting need."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field

from timestore_pipeline.model.dataset import DatasetMetadata, LocalTimestamps, SubMicroseconds
from timestore_pipeline.model.declared import DeclaredType


@dataclass(frozen=True, slots=True)
class ValuePolicy:
    """The defaults are those of a dataset without metadata."""

    local_timestamps: LocalTimestamps = LocalTimestamps.FEATURE
    sub_microseconds: SubMicroseconds = SubMicroseconds.REFUSE
    declared: Mapping[str, DeclaredType] = field(default_factory=dict)  # column -> declared type

    @classmethod
    def of(cls, metadata: DatasetMetadata) -> ValuePolicy:
        spec = metadata.schema_
        return cls(spec.local_timestamps, spec.sub_microseconds, spec.declared)


DEFAULT_POLICY = ValuePolicy()
