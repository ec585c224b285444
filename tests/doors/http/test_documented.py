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

from tests.doors.http.serving import ROOT, Server, server
from timestore_pipeline import Settings
from timestore_pipeline.doors.documents import dataset_document
from timestore_pipeline.doors.http.formats import FORMATS
from timestore_pipeline.doors.http.limits import Limits
from timestore_pipeline.doors.http.openapi import openapi_document
from timestore_pipeline.doors.http.operations import OPERATIONS
from timestore_pipeline.doors.http.parser import MOST_HEAD_BYTES, MOST_HEADERS
from timestore_pipeline.doors.http.problems import STATUSES
from timestore_pipeline.doors.http.schemas import components
from timestore_pipeline.model.canonical import LONGEST_NAME, MOST_FIELDS
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


def test_a_datasets_document_has_the_keys_that_the_openapi_document_gives_it(tmp_path: Path) -> None:
    with Timestore(Settings.build(home=tmp_path)) as store:
        document = dataset_document(store, store.set_metadata("weather", {"timeColumn": "at"}))
    described = components()["Dataset"]["properties"]
    assert document.keys() == described.keys()
    assert document["files"].keys() == described["files"]["properties"].keys()


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


def test_every_limit_is_documented_with_its_number() -> None:
    limits, mib = Limits(Settings.build(home=Path()).api_max_body_bytes), 1 << 20
    text = (ROOT / "docs" / "security.md").read_text()
    for row in (
        f"| connections | {limits.connections} |",
        f"| of them from one address | {limits.connections_of_one} |",
        f"| connections for probes, beyond | {limits.connections_for_probes} |",
        f"| a request's line and headers | {MOST_HEAD_BYTES >> 10} KiB, {MOST_HEADERS} headers |",
        f"| a TLS handshake | {limits.handshake_seconds:.0f} s |",
        f"| the end of TLS, until the client confirms it | {limits.farewell_seconds:.0f} s |",
        f"| time of a head | {limits.head_seconds:.0f} s |",
        f"| between two requests | {limits.keep_alive_seconds} s |",
        f"| between two pieces of a body | {limits.idle_seconds:.0f} s |",
        f"| time of a body | {limits.grace_seconds:.0f} s, and one more for each {limits.slowest_bytes >> 10} KiB |",
        f"| a client that does not read its answer | {limits.write_seconds:.0f} s |",
        f"| a body, as sent, unpacked, and as Arrow data | {limits.body_bytes // mib} MiB |",
        f"| columns of a batch and of a dataset, fields inside included | {MOST_FIELDS:,} |",
        f"| the name of a column or field | {LONGEST_NAME:,} bytes |",
        f"| metadata of a dataset | {limits.metadata_bytes >> 10} KiB |",
        f"| batches whose bodies have arrived | {limits.batches}, of them {limits.batches_of_one} from one address |",
        f"changes that wait for the ledger | {limits.questions}, of them {limits.questions_of_one} from one address |",
        f"with those that wait | {limits.flush_waits}, of them {limits.flush_waits_of_one} from one address |",
        f"| waiting for a flush | {limits.flush_wait_seconds:.0f} s |",
        f"| rows of short bodies in memory | {limits.short.room_bytes // mib} MiB |",
        f"{limits.short.body_bytes // mib} MiB unpacked and as Arrow data |",
        f"| waiting for a reader | {limits.queue_seconds:.0f} s |",
        f"| {limits.short_cpu_seconds:g} s for a short one, {limits.cpu_seconds:g} s for a long one |",
        f"| time of a reader for one body | {limits.parse_seconds:.0f} s |",
        f"| memory of a reader process | {limits.parser_memory_bytes >> 30} GiB |",
    ):
        assert row in text, row
