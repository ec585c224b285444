"""`--json` is a contract: one document with these keys, from every command that has it; none may go without notice."""

from __future__ import annotations

import json
from pathlib import Path

import pytest

from tests.cli.running import staged, timestore
from tests.cli.test_output import COMMANDS

_DATASET = {"dataset", "metadata", "thresholds", "time_column", "granularity", "schema", "paused", "last_epoch"}
_EXPLAINED = {"dataset", "due", "trigger", "reason", "due_at", "when", "sensor_late", "binding", "limits", "in_flight",
              "last_flush", "failures", "retry_at", "paused", "incidents"}  # fmt: skip
_RECOVERED = {"rebuilt", "entered_flushes", "adopted_segments", "adopted_batches", "settled", "rolled_up", "left_out",
              "adopted_journals", "errors"}  # fmt: skip
_STAGED = {"dataset", "batches", "rows", "bytes", "duplicates", "seconds"}

# Arguments, and keys that the document has; more may come, none may go. In this order, on one directory.
DOCUMENTS: dict[str, tuple[str, set[str]]] = {
    "ingest": ("weather weather.parquet", _STAGED),
    "status": ("", {"shard", "datasets"}),
    "explain": ("weather", _EXPLAINED),
    "flush": ("weather", {"requested", "in_flight", "nothing_staged", "sensor_late"}),
    "query": ("SELECT", set()),  # an array of rows, or the error that every command may give
    "drain": ("weather", {"drained", "quarantined_batches", "flushes"}),
    "pause": ("weather", {"dataset", "paused"}),
    "resume": ("weather", {"dataset", "paused"}),
    "flushes": ("weather", {"flushes"}),
    "verify": ("", {"ok", "shard", "datasets"}),
    "recover": ("", _RECOVERED),
    "maintain": ("", {"ok", "shard", "dry_run", "datasets"}),
    "doctor": ("", {"ok", "checks"}),
    "tokens new": ("grafana --may read", {"name", "token", "line"}),
    "tokens list": ("", {"tokens"}),
    "datasets list": ("", {"datasets"}),
    "datasets show": ("weather", _DATASET),
    "datasets set": ("weather description=x", _DATASET),
    "datasets unset": ("weather description", _DATASET),
    "datasets export": ("", {"datasets"}),
    "quarantine list": ("", {"incidents"}),
    "landing status": ("", {"landing", "datasets", "strangers"}),
    "landing ingest": ("", set()),
    "legacy audit": ("", {"ok", "datasets"}),
    "monitoring render": ("rules", {"shard", "files"}),
}
# They answer in a format of their own, serve, or take long; or need something that only their own tests have.
ELSEWHERE = {
    "metrics", "serve", "crashtest", "simulate", "advise", "landing replay", "legacy import", "datasets remove",
    "datasets retype", "datasets apply", "datasets schema", "quarantine show", "quarantine requeue",
    "quarantine discard",
}  # fmt: skip


def test_every_command_is_here_or_has_tests_of_its_own() -> None:
    assert set(COMMANDS) == DOCUMENTS.keys() | ELSEWHERE


def test_every_document_has_its_keys(home: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.chdir(home)
    (home / "landing").mkdir()
    monkeypatch.setenv("TIMESTORE_LANDING_DIRECTORY", str(home / "landing"))
    staged(home)
    missing = {name: keys - _document(name, arguments) for name, (arguments, keys) in DOCUMENTS.items()}
    assert {name: keys for name, keys in missing.items() if keys} == {}


def _document(name: str, arguments: str) -> set[str]:
    """The keys of the one document on standard output."""
    answer = timestore(*name.split(), *arguments.split(), "--json", code=1 if name == "query" else 0)
    return set(json.loads(answer))
