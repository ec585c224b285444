"""The examples that a newcomer copies first, from the README, run as they are printed."""

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
    output_of([sys.executable, "-W", "error", "-c", source], tmp_path, environment)
    with Timestore(Settings.build(home=home)) as store:
        (status,) = store.statuses()
    assert (status.backlog.dataset, status.backlog.pending.batches) == ("weather", 2)


def test_the_terminal_example_publishes_its_rows(tmp_path: Path) -> None:
    (commands,) = re.findall(r"^```\n(export TIMESTORE_HOME.*?)^```", README.read_text(), re.MULTILINE | re.DOTALL)
    environment = environment_of(tmp_path)
    environment["PATH"] = f"{Path(sys.executable).parent}:{environment['PATH']}"
    output = output_of(["bash", "-euo", "pipefail", "-c", commands], tmp_path, environment)
    assert re.search(r"^trips +1,000 +0 +0 +1,000 +0 +0 +ok$", output, re.MULTILINE), output


def output_of(command: list[str], folder: Path, environment: dict[str, str]) -> str:
    done = subprocess.run(command, cwd=folder, env=environment, capture_output=True, text=True, check=False)
    assert done.returncode == 0, done.stderr
    return done.stdout
