"""The real monitoring services start, answer and end with the test."""

from __future__ import annotations

from pathlib import Path

import pytest

from tests.services import prometheus
from tests.services.pushgateway import pushgateway
from tests.services.web import get

__all__ = ["pushgateway"]


@pytest.mark.service
def test_prometheus_scrapes_what_the_gateway_serves(pushgateway: str, tmp_path: Path) -> None:
    with prometheus.serving(tmp_path, prometheus.scrape("pushgateway", pushgateway)) as server:
        [(labels, value)] = server.query_until("up", lambda found: 1.0 in found.values()).items()
    assert (dict(labels)["job"], value) == ("pushgateway", 1.0)


@pytest.mark.service
def test_a_wrong_configuration_is_refused_in_promtools_words(tmp_path: Path) -> None:
    with pytest.raises(AssertionError, match="not a valid duration"):  # noqa: SIM117
        with prometheus.serving(tmp_path, {"global": {"scrape_interval": "now and then"}}):
            pass


@pytest.mark.service
def test_a_gateway_starts_empty(pushgateway: str) -> None:
    assert "timestore_" not in get(f"{pushgateway}/metrics")
