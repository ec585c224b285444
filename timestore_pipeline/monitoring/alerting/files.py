"""Writes rendered files, each whole or not at all, because Prometheus or Grafana may read them at any moment.

A crash leaves the old file, and at most a temporary one without a suffix that Prometheus or Grafana would load.
"""

from __future__ import annotations

from collections.abc import Mapping
from pathlib import Path

from timestore_pipeline.errors import UnwritableOutput
from timestore_pipeline.system.durable import make_folder, replacing


def write_files(folder: Path, contents: Mapping[str, str]) -> list[Path]:
    """Write texts by file name, making the folder; raises `UnwritableOutput`."""
    try:
        make_folder(folder)
        return [_write(folder / name, text) for name, text in contents.items()]
    except OSError as error:
        blocked = error.filename2 or error.filename or folder
        raise UnwritableOutput(f"{blocked}: {error.strerror}", hint="name a folder that can be written") from error


def _write(path: Path, text: str) -> Path:
    with replacing(path) as temporary:
        temporary.write_text(text, encoding="utf-8")
    return path
