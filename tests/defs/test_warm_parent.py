"""A warm parent that cannot start is reported, and leaves no process."""

from __future__ import annotations

from pathlib import Path

import psutil
import pytest

from timestore_pipeline.defs.warm_runs import parent
from timestore_pipeline.defs.warm_runs.parent import ParentGone, WarmParent


@pytest.mark.parametrize(("command", "patience"), [("exit 1", 60.0), ("exec sleep 600", 0.2)])
def test_a_parent_that_ends_or_hangs_at_its_start_is_gone(
    command: str, patience: float, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    program = tmp_path / "python"
    program.write_text(f"#!/bin/sh\n{command}\n")
    program.chmod(0o755)
    before = psutil.Process().children()
    monkeypatch.setattr("sys.executable", str(program))
    monkeypatch.setattr(parent, "_START_PATIENCE", patience)
    with pytest.raises(ParentGone) as gone:
        WarmParent(lambda *_: None)
    assert not gone.value.asked
    _, alive = psutil.wait_procs([child for child in psutil.Process().children() if child not in before], 60)
    assert alive == []
