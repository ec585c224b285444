"""Which files are compacted together. Pure: a list of files in, groups of them out, each of which becomes one file.

Only files of one partition, only small ones, and only where there are enough of them: a table with right-sized files
is not changed, nor is a file that was compacted once and is large enough. Neighbours in time go together, so that the
time ranges of the files overlap as little as the data allow.
"""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Sequence
from dataclasses import dataclass

from timestore_pipeline.lake.replacing import OwnFile
from timestore_pipeline.model.lake import PartitionKey

_SWELLING = 4  # assumed ratio of memory to file size, where it is unknown; measured 2 to 5 with zstd


@dataclass(frozen=True, slots=True)
class CompactionLimits:
    """Sizes of files and groups."""

    target_bytes: int  # of a group at most
    min_files: int  # a group of fewer is not worth a rewrite
    sortable_bytes: int  # of rows in memory that one sort can hold for certain

    @property
    def small_bytes(self) -> int:
        """A file below this is small: two of them fit into one file of the target size."""
        return self.target_bytes // 2


@dataclass(frozen=True, slots=True)
class FileGroup:
    """Files that become one."""

    partition: PartitionKey
    files: Sequence[OwnFile]

    @property
    def rows(self) -> int:
        return sum(file.rows for file in self.files)

    @property
    def bytes(self) -> int:
        return sum(file.bytes for file in self.files)


def plan(files: Iterable[OwnFile], limits: CompactionLimits, row_bytes: float | None) -> list[FileGroup]:
    """The groups, in the order of their partitions. row_bytes: of a row in memory, None = unknown."""
    groups = plan_all((file for file in files if file.bytes < limits.small_bytes), limits, row_bytes)
    return [group for group in groups if len(group.files) >= max(limits.min_files, 2)]


def plan_all(files: Iterable[OwnFile], limits: CompactionLimits, row_bytes: float | None) -> list[FileGroup]:
    """Groups of all the files, large ones alone, in the order of their partitions."""
    partitions: dict[PartitionKey, list[OwnFile]] = {}
    for file in files:
        partitions.setdefault(file.partition, []).append(file)
    found = sorted(partitions.items(), key=lambda item: item[0].value or "")
    return [FileGroup(key, some) for key, all_ in found for some in _filled(all_, limits, row_bytes)]


def memory_bytes(file: OwnFile, row_bytes: float | None) -> float:
    """Memory that the file's rows take in a sort; never less than the file itself."""
    return file.bytes * _SWELLING if row_bytes is None else max(file.rows * row_bytes, file.bytes)


def _filled(files: Sequence[OwnFile], limits: CompactionLimits, row_bytes: float | None) -> Iterator[list[OwnFile]]:
    some: list[OwnFile] = []
    size = needed = 0.0
    for file in sorted(files, key=lambda file: (file.earliest, file.path)):
        more = memory_bytes(file, row_bytes)
        if some and (size + file.bytes > limits.target_bytes or needed + more > limits.sortable_bytes):
            yield some
            some, size, needed = [], 0.0, 0.0
        some.append(file)
        size, needed = size + file.bytes, needed + more
    if some:
        yield some
