"""What every test shares: how Hypothesis searches, that Ctrl-C interrupts, from where it forks, and readable tables."""

from __future__ import annotations

import os
import signal
import sys
from multiprocessing import forkserver

import pytest
from hypothesis import HealthCheck, settings

from tests.lake_reading import pytest_runtest_teardown

__all__ = ["pytest_runtest_teardown"]

# Examples open real files and commit them to disk, so one may take long on a shared machine; that is no failure.
settings.register_profile("default", deadline=None, suppress_health_check=[HealthCheck.too_slow])
# A red CI must be about the change, not about the seed of the day.
settings.register_profile("ci", settings.get_profile("default"), derandomize=True, print_blob=True)
settings.register_profile("search", settings.get_profile("default"), max_examples=2_000)  # HYPOTHESIS_PROFILE=search
settings.load_profile(os.environ.get("HYPOTHESIS_PROFILE") or ("ci" if os.environ.get("CI") else "default"))


def pytest_configure() -> None:
    """A shell starts background jobs with SIGINT ignored, and all that they start inherits it."""
    if signal.getsignal(signal.SIGINT) is signal.SIG_IGN:
        signal.signal(signal.SIGINT, signal.default_int_handler)


def pytest_collection_modifyitems(items: list[pytest.Item]) -> None:
    """What is marked `nightly` runs where the search is wide, as `make nightly` has it.

    The live deployment comes first: it is the longest wait, and one worker then has all of its tests.
    """
    items.sort(key=lambda item: "live" not in item.path.parts)
    if os.environ.get("HYPOTHESIS_PROFILE") != "search":
        for item in items:
            if item.get_closest_marker("nightly") is not None:
                item.add_marker(pytest.mark.skip(reason="runs every night: HYPOTHESIS_PROFILE=search"))


def pytest_collection_finish(session: pytest.Session) -> None:
    """Start the parent of forked processes now: from a test it would inherit variables that the test has set."""
    if "tests.services.forked" in sys.modules and not session.config.option.collectonly:
        forkserver.ensure_running()
