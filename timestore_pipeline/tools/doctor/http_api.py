"""The files of `timestore serve`, as a starting server would read them; a running one keeps the last good version."""

from __future__ import annotations

from collections.abc import Iterator

from timestore_pipeline.doors.access.gate import Gate
from timestore_pipeline.tools.doctor.examination import CheckFinding, Deployment, ok


def http_api(deployment: Deployment) -> Iterator[CheckFinding]:
    """Raises `ServerFileRefused`, which names every wrong line."""
    gate = Gate.of(deployment.settings)
    if gate.is_open:
        yield ok("no token is set: `timestore serve` answers this machine only")
    else:
        yield ok(f"tokens of `timestore serve`: {', '.join(token.name for token in gate.tokens)}")
