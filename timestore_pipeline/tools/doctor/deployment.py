"""The deployment that is looked at: its settings as far as they can be read, its directory, its ledger."""

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
    """`problems`: what is wrong with the environment; what cannot be read stands at its default in `settings`."""

    settings: Settings
    problems: Sequence[str] = ()

    @classmethod
    def from_env(cls) -> Deployment:
        return cls(*Settings.lenient())

    @property
    def directory(self) -> StagingDirectory:
        return StagingDirectory(self.settings.staging_directory)

    def ledger(self, look: Callable[[LedgerInspection], T]) -> T | None:
        """What `look` finds in the ledger; None when there is no ledger."""
        return inspect(self.directory.ledger, look) if self.directory.ledger.exists() else None

    def datasets(self) -> list[DatasetHealth]:
        """Those the ledger knows."""
        return self.ledger(LedgerInspection.datasets) or []
