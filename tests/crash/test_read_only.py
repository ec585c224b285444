"""A filesystem that the kernel has made read-only, as it does after an error of the disk, and that is mended again.

Callers get a typed error that names what cannot be written and what to do; the process goes on without a restart.
"""

from __future__ import annotations

import json
import os
import shutil
import subprocess
import sys
from pathlib import Path
from typing import Any

import pytest

from tests.services.require import require

ROOT = Path(__file__).parents[2]
_NAMESPACE = ["unshare", "--map-root-user", "--mount", "sh", "-c"]


def lived_through(home: Path, place: str) -> Any:
    (home / place).mkdir(parents=True)
    mount = f'mount -t tmpfs tmpfs "{home / place}"'
    probe = [*_NAMESPACE, f"{mount} && mount -o remount,ro '{home / place}'"]
    allowed = shutil.which("unshare") and subprocess.run(probe, capture_output=True, check=False).returncode == 0
    if not allowed and os.geteuid() != 0:
        pytest.skip("needs root or user namespaces, to mount a read-only filesystem")
    require("a mount namespace", available=bool(allowed), remedy="run on Linux, with util-linux")
    program = f'{mount} && exec "{sys.executable}" -m tests.crash.read_only "{home}" {place}'
    done = subprocess.run([*_NAMESPACE, program], cwd=ROOT, capture_output=True, text=True, check=False)
    assert done.returncode == 0, done.stderr
    return json.loads(done.stdout)


@pytest.mark.parametrize(("place", "refused"), [("staging", ["enqueue", "flush"]), ("lake", ["flush"])])
def test_a_read_only_filesystem_is_named_and_survived_without_a_restart(
    tmp_path: Path, place: str, refused: list[str]
) -> None:
    home = tmp_path / "home"
    told, published, aside, sound = lived_through(home, place)
    assert sorted(name for name, error in told.items() if error) == refused
    for name in refused:
        assert str(home / place) in told[name]["message"], told
        assert told[name]["hint"], told
    assert (published, aside, sound) == (list(range(20)), [], True)
