"""`make` leaves an environment alone that another worktree owns."""

from __future__ import annotations

import shutil
import subprocess
from pathlib import Path

import pytest

ROOT = Path(__file__).parents[1]


@pytest.fixture
def worktree(tmp_path: Path) -> Path:
    """Its `.venv` is a link to an environment that is older than its pins."""
    shared, worktree = tmp_path / "shared", tmp_path / "worktree"
    shared.mkdir()
    (shared / ".installed").touch()
    worktree.mkdir()
    (worktree / "scripts").mkdir()
    for name in ("Makefile", "pyproject.toml", "constraints.txt", "scripts/venv.sh"):
        shutil.copy(ROOT / name, worktree / name)
        (worktree / name).touch()
    (worktree / ".venv").symlink_to(shared)
    return worktree


@pytest.mark.parametrize("command", [["make", "venv"], ["scripts/venv.sh", ".venv"]])
def test_a_linked_environment_is_not_cleared(worktree: Path, command: list[str]) -> None:
    done = subprocess.run(command, cwd=worktree, capture_output=True, text=True, check=False)
    assert (done.returncode == 0) == (command[0] == "make"), done.stdout + done.stderr
    assert (worktree / ".venv" / ".installed").exists()
