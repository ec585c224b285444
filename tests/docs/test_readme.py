"""The example that a newcomer copies first, from the README, runs as it is printed."""

from __future__ import annotations

import re
import subprocess
import sys
from pathlib import Path

from tests.docs.documents import README
from tests.docs.test_producers import environment_of
from timestore_pipeline import Settings
from timestore_pipeline.wiring import Timestore


def test_the_python_example_stages_two_batches(tmp_path: Path) -> None:
    (source,) = re.findall(r"^```python\n(.*?)^```", README.read_text(), re.MULTILINE | re.DOTALL)
    home = tmp_path / "home"
    environment = environment_of(tmp_path) | {"TIMESTORE_HOME": str(home)}
    command = [sys.executable, "-W", "error", "-c", source]
    done = subprocess.run(command, cwd=tmp_path, env=environment, capture_output=True, text=True, check=False)
    assert done.returncode == 0, done.stderr
    with Timestore(Settings.build(home=home)) as store:
        (status,) = store.statuses()
    assert (status.backlog.dataset, status.backlog.pending.batches) == ("weather", 2)
