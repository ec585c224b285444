"""Requests made from the OpenAPI document, allowed and forbidden ones: answers are as described, none is 5xx."""

from __future__ import annotations

import os
import subprocess
import sys
from pathlib import Path

from tests.doors.http.serving import ROOT, server

_CHECKS = (
    "not_a_server_error,status_code_conformance,content_type_conformance,response_headers_conformance,"
    "response_schema_conformance,unsupported_method"
)
_HOOKS = Path(__file__).with_name("schemathesis_hooks.py")


def examples() -> str:
    """Of each operation: few in the suite, more on demand."""
    return os.environ.get("TIMESTORE_TEST_EXAMPLES", "20")


def test_the_server_does_what_its_description_says(tmp_path: Path) -> None:
    with server(tmp_path, "--quiet", limits={"flush_wait_seconds": 0.5}) as running:
        done = subprocess.run(
            [
                str(Path(sys.executable).with_name("st")),
                "run",
                f"{running.url}/openapi.json",
                *("--checks", _CHECKS, "--max-examples", examples(), "--seed", "1", "--phases", "coverage,fuzzing"),
                *("--suppress-health-check", "all", "--continue-on-failure", "--no-shrink", "--request-timeout", "60"),
            ],
            cwd=tmp_path,
            env=os.environ | {"SCHEMATHESIS_HOOKS": str(_HOOKS), "NO_COLOR": "1", "PYTHONPATH": str(ROOT)},
            capture_output=True,
            text=True,
            check=False,
        )
        assert done.returncode == 0, done.stdout[-6000:] + done.stderr[-2000:]
        assert running.process.is_running()
