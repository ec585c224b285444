"""The examined deployment: its settings as far as they can be read, its directory, its ledger."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from typing import TypeVar

from timestore_pipeline.settings import Settings
from timestore_pipeline.staging.directory import StagingDirectory
from timestore_pipeline.staging.ledger.inspection import DatasetHealth, LedgerInspection, inspect

T = TypeVar("T")


@dataclass(frozen=True, slots=True)
class Deployment:
    """`problems`: of the environment; a variable that cannot be read has its default in `settings`."""

    settings: Settings
    problems: Sequence[str] = ()

    @classmethod
    def from_env(cls) -> Deployment:
        return cls(*Settings.lenient())

    @property
    def directory(self) -> StagingDirectory:
        return StagingDirectory(self.settings.staging_directory)

    def ledger(self, look: Callable[[LedgerInspection], T]) -> T | None:
        """The result of `look` on the ledger; None when there is no ledger."""
        return inspect(self.directory.ledger, look) if self.directory.ledger.exists() else None

    def datasets(self) -> list[DatasetHealth]:
        """The datasets in the ledger."""
        return self.ledger(LedgerInspection.datasets) or []
