"""The load of a simulation: the numbers of producers, batches, rows and datasets, and the settings."""

from __future__ import annotations

import json
from dataclasses import asdict, dataclass
from datetime import datetime
from pathlib import Path
from typing import Any, Self

from timestore_pipeline.settings import Settings

SHARD = "simulation"


@dataclass(frozen=True, slots=True)
class Load:
    """`settings_in_force`: except for the places, as plain values; nothing outside `home` is touched.

    `batches`: of each producer, None = as many as it can send within `seconds`.
    """

    home: Path
    started_at: datetime
    settings_in_force: dict[str, Any]
    datasets: int = 3
    producers: int = 4
    rows: int = 1000  # of a batch
    batches: int | None = 50
    seconds: float = 10.0

    @classmethod
    def under(cls, settings: Settings, home: Path, started_at: datetime, **load: Any) -> Self:
        """home: absolute."""
        places = {"home": str(home), "staging_directory": str(home / "staging"), "lake_uri": str(home / "lake")}
        hidden = {"api_token", "pushgateway_url", "dagster_webserver_url"}  # a simulation must not call real services
        values = settings.model_dump(mode="json", exclude=hidden) | places | {"shard": SHARD}
        return cls(home, started_at, values, **load)

    @classmethod
    def from_json(cls, text: str) -> Self:
        document = json.loads(text)
        started_at = datetime.fromisoformat(document.pop("started_at"))
        return cls(home=Path(document.pop("home")), started_at=started_at, **document)

    def to_json(self) -> str:
        return json.dumps(asdict(self) | {"home": str(self.home), "started_at": self.started_at.isoformat()})

    @property
    def journals(self) -> Path:
        return self.home / "journals"

    @property
    def lake(self) -> Path:
        return self.home / "lake"

    def names(self) -> list[str]:
        """Names of the datasets."""
        return [f"simulation-{number}" for number in range(self.datasets)]

    def settings(self) -> Settings:
        nowhere = {"api_token": None, "pushgateway_url": None, "dagster_webserver_url": None}
        return Settings.build(**self.settings_in_force | nowhere)
