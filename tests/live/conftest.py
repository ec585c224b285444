"""One deployment for every test here: it takes ten seconds of CPU to start, and some more for as long as it stands."""

from __future__ import annotations

from contextlib import ExitStack
from pathlib import Path

import pytest

from tests.live.instance import LiveInstance, live_instance


class _Deployment:
    """Started for the first test that asks, ended when the next test does not."""

    def __init__(self) -> None:
        self._running: LiveInstance | None = None
        self._end = ExitStack()

    def started(self, home: Path) -> LiveInstance:
        if self._running is None:
            self._running = self._end.enter_context(live_instance(home))
        return self._running

    def end(self) -> None:
        self._running = None
        self._end.close()


_deployment = _Deployment()


@pytest.fixture
def live(tmp_path: Path) -> LiveInstance:
    return _deployment.started(tmp_path / "home")


@pytest.hookimpl(trylast=True)
def pytest_runtest_teardown(nextitem: pytest.Item | None) -> None:
    """A session's fixture would tick beside all the tests that come after."""
    if "live" not in getattr(nextitem, "fixturenames", ()):
        _deployment.end()


def pytest_sessionfinish() -> None:
    """Also when the next test never comes: after a failure under `-x`, or Ctrl-C."""
    _deployment.end()
