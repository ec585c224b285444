"""The environments of contenders, created once under `.bench`: packages, or an older commit."""

from __future__ import annotations

import subprocess
import sys
from pathlib import Path

from benchmarks.processes import ROOT, Failed

CACHE = ROOT / ".bench"  # git ignores it; `make clean` removes it

_PINS = Path(__file__).parent / "environments"


def interpreter(name: str) -> str:
    """The interpreter of a virtual environment with the packages of `environments/<name>.txt`; raises `Failed`."""
    pins = _PINS / f"{name}.txt"
    folder = CACHE / "environments" / name
    made_from = folder / "made-from.txt"
    python = folder / "bin" / "python"
    if not made_from.exists() or made_from.read_text() != pins.read_text():
        _call(sys.executable, "-m", "venv", "--clear", str(folder))
        _call(str(python), "-m", "pip", "install", "--quiet", "--disable-pip-version-check", "--requirement", str(pins))
        made_from.write_text(pins.read_text())
    return str(python)


def older(commit: str) -> Path:
    """A folder with the package as it was at a commit, and nothing else; raises `Failed`."""
    identity = _call("git", "-C", str(ROOT), "rev-parse", "--verify", f"{commit}^{{commit}}").strip()
    folder = CACHE / "commits" / identity
    if not folder.exists():
        folder.mkdir(parents=True)
        archive = folder / "archive.tar"
        _call("git", "-C", str(ROOT), "archive", "--output", str(archive), identity, "timestore_pipeline")
        _call("tar", "-x", "-f", str(archive), "-C", str(folder))
        archive.unlink()
    return folder


def _call(*command: str) -> str:
    done = subprocess.run(command, capture_output=True, text=True, check=False)
    if done.returncode:
        raise Failed(f"{' '.join(command[:4])} ...: {done.stderr.strip()[-300:]}")
    return done.stdout
