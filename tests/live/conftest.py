"""One deployment for every test here: it takes ten seconds of CPU to start."""

from __future__ import annotations

from collections.abc import Iterator

import pytest

from tests.live.instance import LiveInstance, live_instance


@pytest.fixture(scope="session")
def live(tmp_path_factory: pytest.TempPathFactory) -> Iterator[LiveInstance]:
    with live_instance(tmp_path_factory.mktemp("live") / "home") as started:
        yield started
