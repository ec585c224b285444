"""A server that many tests share, and a home for those that need one of their own."""

from __future__ import annotations

import os
from collections.abc import Iterator
from pathlib import Path

import httpx
import pytest

from tests.doors.http.serving import Server, server


@pytest.fixture(autouse=True)
def _no_settings(monkeypatch: pytest.MonkeyPatch) -> None:
    for name in os.environ:
        if name.startswith("TIMESTORE_") and not name.startswith("TIMESTORE_TEST_"):
            monkeypatch.delenv(name)


@pytest.fixture
def home(tmp_path: Path) -> Path:
    return tmp_path


@pytest.fixture(scope="module")
def shared(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Server]:
    """One server for the tests of a module; they keep to datasets of their own."""
    with server(tmp_path_factory.mktemp("home"), api_max_body_bytes=1 << 20) as running:
        yield running


@pytest.fixture
def client(shared: Server) -> Iterator[httpx.Client]:
    with shared.client() as client:
        yield client
