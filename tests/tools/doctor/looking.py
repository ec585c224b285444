"""What the doctor finds, by check."""

from __future__ import annotations

from pathlib import Path

from tests.cli.running import readings
from timestore_pipeline import Settings, StagingManager
from timestore_pipeline.tools.doctor.check_list import CHECKS
from timestore_pipeline.tools.doctor.examination import CheckFinding, Deployment, Status


def found(check: str) -> list[CheckFinding]:
    """Raises what the check raises."""
    return list(CHECKS[check](Deployment.from_env()))


def seen(check: str, status: Status) -> str:
    """The findings of that status, with their remedies."""
    return "\n".join(f"{finding.seen} -> {finding.remedy}" for finding in found(check) if finding.status is status)


def staged(home: Path, rows: int = 10) -> None:
    """A batch of the dataset `weather`, in a sealed segment."""
    with StagingManager.open(Settings.build(home=home)) as staging:
        staging.enqueue("weather", readings(rows))


def files(folder: Path) -> dict[str, int]:
    """Everything below a folder, with the instant of its last change."""
    return {str(path): path.stat().st_mtime_ns for path in [folder, *folder.rglob("*")] if path.exists()}
