"""Every example of docs/http-api.md runs against a server; the page and the OpenAPI document say what the code does."""

from __future__ import annotations

import os
import re
import shutil
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path

import pytest

from tests.http_api.serving import ROOT, Server, server
from timestore_pipeline import Settings
from timestore_pipeline.http_api.formats import FORMATS
from timestore_pipeline.http_api.limits import Limits
from timestore_pipeline.http_api.openapi import openapi_document
from timestore_pipeline.http_api.operations import OPERATIONS
from timestore_pipeline.http_api.problems import STATUSES
from timestore_pipeline.wiring import Timestore

PAGE = (ROOT / "docs" / "http-api.md").read_text()


@pytest.fixture(scope="module")
def running(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Server]:
    with server(tmp_path_factory.mktemp("home")) as running:
        yield running


def examples(language: str) -> list[str]:
    return re.findall(rf"^```{language}\n(.*?)^```", PAGE, re.MULTILINE | re.DOTALL)


def run(command: list[str], folder: Path, running: Server) -> None:
    environment = os.environ | {"STAGING_API": running.url}
    done = subprocess.run(command, cwd=folder, env=environment, capture_output=True, text=True, check=False)
    assert done.returncode == 0, (command, done.stdout, done.stderr)


def test_every_example_runs_in_the_order_of_the_page(running: Server, tmp_path: Path) -> None:
    if shutil.which("curl") is None:
        pytest.skip("needs curl")
    for script in re.findall(r"^```(?:sh|python)\n.*?^```", PAGE, re.MULTILINE | re.DOTALL):
        language, _, source = script.removeprefix("```").removesuffix("```").partition("\n")
        run(["bash", "-ec", source] if language == "sh" else [sys.executable, "-c", source], tmp_path, running)
    with Timestore(Settings.build(home=running.log.parent)) as store:
        assert store.status("weather").backlog.pending.rows == len(examples("python")) + 1


def test_the_page_names_every_format_path_and_status() -> None:
    for format_ in FORMATS:
        assert f"`{format_.types[0]}`" in PAGE
    for path in {operation.path.replace("{dataset}", "weather") for operation in OPERATIONS}:
        assert path in PAGE
    for _, status in STATUSES[:-1]:
        assert re.search(rf"^\| (\d+, )?{int(status)}\b", PAGE, re.MULTILINE), status


def test_every_operation_is_described_with_its_answers() -> None:
    paths = openapi_document(Limits(1000))["paths"]
    assert {(path, method.upper()) for path in paths for method in paths[path]} == {
        (operation.path, operation.method) for operation in OPERATIONS
    }
    assert all(len(methods) == 1 for methods in paths.values()), (
        "the Allow header of a 405 names the methods of one route"
    )
