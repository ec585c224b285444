"""Dagster's private modules: nothing announces their changes, so each release in which they are used is named here."""

from __future__ import annotations

import ast
from collections.abc import Iterator
from importlib import import_module

import dagster as dg
import pytest

from tests.docs.documents import ROOT

READ_IN = "1.13"  # before another is named, read what follows in its sources: meanings may change without a name's


def _private_names() -> Iterator[tuple[str, str, str]]:
    """File, module and name of each import."""
    for path in sorted((ROOT / "timestore_pipeline").rglob("*.py")):
        for node in ast.walk(ast.parse(path.read_text())):
            if isinstance(node, ast.ImportFrom) and (node.module or "").startswith("dagster._"):
                yield from ((path.name, str(node.module), alias.name) for alias in node.names)


def test_the_private_modules_were_read_in_the_installed_release() -> None:
    used = "\n".join(f"{file}: {module}.{name}" for file, module, name in _private_names())
    assert dg.__version__.rpartition(".")[0] == READ_IN, f"read in Dagster {dg.__version__}:\n{used}"


@pytest.mark.parametrize(("file", "module", "name"), list(_private_names()))
def test_every_private_name_exists(file: str, module: str, name: str) -> None:
    assert hasattr(import_module(module), name), file
