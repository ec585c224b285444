"""Writing what was rendered: each file whole or not at all, for whoever loads it may be looking right now.

A crash leaves the old file, or both; a temporary file that stays behind begins with a dot and ends in no suffix that
Prometheus or Grafana would load.
"""

from __future__ import annotations

import os
from collections.abc import Mapping
from pathlib import Path

from timestore_pipeline.errors import UnwritableOutput


def write_files(folder: Path, contents: Mapping[str, str]) -> list[Path]:
    """Write texts by file name, making the folder; raises `UnwritableOutput`."""
    try:
        folder.mkdir(parents=True, exist_ok=True)
        return [_replace(folder / name, text) for name, text in contents.items()]
    except OSError as error:
        raise UnwritableOutput(
            f"{error.filename or folder}: {error.strerror}", hint="name a folder that can be written"
        ) from error


def _replace(path: Path, text: str) -> Path:
    temporary = path.with_name(f".{path.name}.{os.getpid()}")
    try:
        temporary.write_text(text, encoding="utf-8")
        temporary.replace(path)
    finally:
        temporary.unlink(missing_ok=True)
    return path
