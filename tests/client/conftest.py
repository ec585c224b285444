"""A server that the tests of a module share; they keep to datasets of their own."""

from __future__ import annotations

import os
from collections.abc import Iterator

import pytest

from tests.doors.http.serving import Server, server


@pytest.fixture(autouse=True)
def _own_home(monkeypatch: pytest.MonkeyPatch) -> None:
    """The servers get theirs as an argument."""
    for name in [name for name in os.environ if name.startswith("TIMESTORE_") and "_TEST_" not in name]:
        monkeypatch.delenv(name)


@pytest.fixture(scope="module")
def shared(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Server]:
    with server(tmp_path_factory.mktemp("home"), api_token="open-sesame", api_max_body_bytes=100_000) as running:
        yield running
