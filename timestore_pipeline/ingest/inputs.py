"""Several files for one dataset: all are looked into before anything is staged, each is read by what is known then."""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from timestore_pipeline.ingest.formats.reading import Reading
from timestore_pipeline.ingest.formats.sources import Source, open_source
from timestore_pipeline.ingest.manager import StagingManager
from timestore_pipeline.ingest.values.notes import Note


@dataclass
class Inputs:
    """said: what was said of the CSV for this call, see `Reading.with_csv`."""

    staging: StagingManager
    dataset: str
    said: Mapping[str, Any]
    reading: Reading
    sources: list[Source]

    @classmethod
    def opened(cls, staging: StagingManager, dataset: str, files: Sequence[Path], said: Mapping[str, Any]) -> Inputs:
        """Raises what `open_source` raises, and `InvalidMetadata` for a dialect that cannot be."""
        reading = staging.reading(dataset).with_csv(said)
        keep = len(files) == 1
        return cls(staging, dataset, said, reading, [open_source(path, reading, keep=keep) for path in files])

    def as_known_now(self) -> Iterator[Source]:
        """Each file when its turn comes; one before it may have settled columns that it has, too."""
        for place, source in enumerate(self.sources):
            now = self.staging.reading(self.dataset).with_csv(self.said)
            if now != self.reading:
                self.sources[place] = open_source(source.path, now, keep=len(self.sources) == 1)
            yield self.sources[place]

    @property
    def notes(self) -> list[Note]:
        """On all of them, each once."""
        return list(dict.fromkeys(note for source in self.sources for note in source.notes))
