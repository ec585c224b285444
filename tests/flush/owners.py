"""Producers that stage ten rows and keep their journal open, each a process; told a number, they stage ten more.

They keep it open for as long as a test takes: an idle one would close it after ten seconds.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator
from contextlib import ExitStack

import pytest

from tests.services.forked import Script, script
from timestore_pipeline import Settings

_OWNER = """
import sys
from datetime import timedelta
from timestore_pipeline import Settings, StagingManager
from timestore_pipeline.ingest import threads
from tests.flush.conftest import hourly
threads._IDLE = timedelta(hours=1)
with StagingManager.open(Settings.build(home=sys.argv[1])) as staging:
    staging.enqueue("d", hourly(10, int(sys.argv[2])))
    print("staged", flush=True)
    for line in sys.stdin:
        staging.enqueue("d", hourly(10, int(line)))
        print("staged", flush=True)
"""


@pytest.fixture
def start_owner(settings: Settings) -> Iterator[Callable[[int], Script]]:
    """Start processes that stage ten rows and keep their journal open."""
    with ExitStack() as owners:

        def start(first: int) -> Script:
            owner = owners.enter_context(script(_OWNER, settings.home, first))
            owner.wait_for_line("staged")
            return owner

        yield start
