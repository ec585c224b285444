"""The layers hold, and importing the library does nothing a caller could notice."""

from __future__ import annotations

import json
import subprocess
import sys
import tomllib
from collections import Counter
from pathlib import Path

import pytest

ROOT = Path(__file__).parents[1]

# Runs in a fresh interpreter: imports all modules that producers can have, and reports what that did to the process.
IMPORT_EVERYTHING = """
import importlib, json, os, pkgutil, sys, threading

EXTRAS = {"timestore_pipeline.definitions", "timestore_pipeline.defs", "timestore_pipeline.doors.http"}
written, connected = [], []

def watch(event, arguments):
    if event == "open" and isinstance(arguments[2], int) and arguments[2] & (os.O_WRONLY | os.O_RDWR | os.O_CREAT):
        written.append(str(arguments[0]))
    if event in ("sqlite3.connect", "socket.connect", "subprocess.Popen"):
        connected.append(event)

import timestore_pipeline
names = [m.name for m in pkgutil.walk_packages(timestore_pipeline.__path__, "timestore_pipeline.", onerror=print)
         if not any(m.name == side or m.name.startswith(side + ".") for side in EXTRAS)
         and not m.name.endswith("__main__")]
sys.addaudithook(watch)
for name in names:
    importlib.import_module(name)
print(json.dumps({
    "modules": names, "written": written, "connected": connected,
    "threads": [t.name for t in threading.enumerate()],
    "frameworks": sorted({"dagster", "starlette", "uvicorn"} & set(sys.modules)),
}))
"""


@pytest.fixture(scope="module")
def imported(tmp_path_factory: pytest.TempPathFactory) -> dict[str, list[str]]:
    folder = tmp_path_factory.mktemp("import")
    command = [sys.executable, "-B", "-c", IMPORT_EVERYTHING]
    environment = {"PYTHONPATH": str(ROOT), "HOME": str(folder), "PATH": ""}
    done = subprocess.run(command, cwd=folder, env=environment, capture_output=True, text=True, check=False)
    assert done.returncode == 0, done.stderr
    report: dict[str, list[str]] = json.loads(done.stdout)
    return report | {"files": [str(path) for path in folder.rglob("*")]}


def test_the_layers_hold() -> None:
    command = [str(Path(sys.executable).with_name("lint-imports")), "--no-cache"]
    done = subprocess.run(command, cwd=ROOT, capture_output=True, text=True, check=False)
    assert done.returncode == 0, done.stdout + done.stderr


def test_the_layers_are_drawn_as_they_are_held() -> None:
    contract = tomllib.loads((ROOT / "pyproject.toml").read_text())["tool"]["importlinter"]["contracts"][0]
    drawn = (ROOT / "docs" / "architecture.md").read_text().split("## Layers")[1].split("```")[1]
    names = [line.split("  ")[0] for line in drawn.strip().splitlines()]  # the rest of a line is a remark
    assert names == [layer for layer in contract["layers"] if layer != "__main__"]


def test_no_two_modules_have_the_same_name() -> None:
    names = Counter(path.stem for path in (ROOT / "timestore_pipeline").rglob("*.py"))
    assert [name for name, times in names.items() if times > 1 and not name.startswith("_")] == []


def test_importing_covers_the_library(imported: dict[str, list[str]]) -> None:
    assert {"timestore_pipeline.system.clock", "timestore_pipeline.model.thresholds"} <= set(imported["modules"])


def test_importing_opens_nothing_for_writing(imported: dict[str, list[str]]) -> None:
    assert imported["written"] == []
    assert imported["files"] == []


def test_importing_connects_to_nothing_and_starts_no_process(imported: dict[str, list[str]]) -> None:
    assert imported["connected"] == []


def test_importing_starts_no_thread(imported: dict[str, list[str]]) -> None:
    assert imported["threads"] == ["MainThread"]


def test_importing_the_library_brings_in_neither_dagster_nor_a_web_framework(imported: dict[str, list[str]]) -> None:
    assert imported["frameworks"] == []
