"""A gateway has two seconds to answer, which on a busy machine even a healthy one may need."""

from __future__ import annotations

import pytest

from timestore_pipeline.monitoring.telemetry import push


@pytest.fixture(autouse=True)
def patient_push(monkeypatch: pytest.MonkeyPatch) -> None:
    """For pushes of this process; what is about a gateway that does not answer sets a deadline of its own."""
    monkeypatch.setattr(push, "DEADLINE", 60.0)
