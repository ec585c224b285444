"""A 64 MB disk that is full, under the staging directory, the ledger, the lake and the spool in turn.

The process runs on, its callers get typed errors, drops are counted, and once there is space again everything that was
acknowledged is published without a restart.
"""

from __future__ import annotations

import json
import shutil
import subprocess
import sys
from pathlib import Path
from typing import Any

import pytest

from tests.crash.full_disk import PLACES
from tests.services.require import require

ROOT = Path(__file__).parents[2]
_NAMESPACE = ["unshare", "--map-root-user", "--mount", "sh", "-c"]


def run_out(home: Path, place: str) -> Any:
    """Run the program with a tmpfs at the place; the ledger's has journals and segments elsewhere."""
    full = home / PLACES[place]
    mounts = f'mount -t tmpfs -o size=64m tmpfs "{full}"'
    if place == "inodes":
        mounts = f'mount -t tmpfs -o nr_inodes=100 tmpfs "{full}"'
    if place == "ledger":
        mounts += f' && mkdir "{full}/journals" && mount -t tmpfs tmpfs "{full}/journals"'
        mounts += f' && mkdir "{full}/segments" && mount -t tmpfs tmpfs "{full}/segments"'
        mounts += f' && mkdir "{full}/segments/_aside" && ln -s segments/_aside "{full}/quarantine"'
    for folder in (home / "staging" / "spool", home / "lake"):
        folder.mkdir(parents=True)
    allowed = shutil.which("unshare") and subprocess.run([*_NAMESPACE, mounts], capture_output=True, check=False)
    available = bool(allowed) and allowed.returncode == 0  # type: ignore[union-attr]
    require("a mount namespace", available=available, remedy="allow user namespaces, or run as root")
    program = f'{mounts} && exec "{sys.executable}" -m tests.crash.full_disk "{home}" {place}'
    done = subprocess.run([*_NAMESPACE, program], cwd=ROOT, capture_output=True, text=True, check=False)
    assert done.returncode == 0, done.stderr
    return json.loads(done.stdout)


@pytest.mark.parametrize("place", PLACES)
def test_a_full_disk_is_survived_without_a_restart(tmp_path: Path, place: str) -> None:
    account = run_out(tmp_path / "home", place)
    assert account["exact"], account
    assert account["verified"], account
    refused = {error: count for error, count in account["refused"].items() if count}
    if place in ("staging", "ledger"):
        assert refused == {"DiskFull": 3}
        assert account["dropped"] == 3
    elif place == "kept":
        assert refused.keys() == {"DiskFull"}
        assert account["dropped"] == refused["DiskFull"]
        assert account["flushes"]["published"] == 1, account["flushes"]
        assert account["refused_after_flush"] == 0
    elif place == "inodes":
        assert refused == {}
        assert account["flushes"]["published"] == 11, account["flushes"]
    else:
        assert refused == {}
        assert account["flushes"].get("DiskFull") == 2, account["flushes"]
