from __future__ import annotations

import pytest

from tests.services.require import require, require_command


def test_a_missing_service_skips_on_a_laptop(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.delenv("CI", raising=False)
    with pytest.raises(pytest.skip.Exception, match="needs a moon: look up"):
        require("a moon", available=False, remedy="look up")


def test_a_missing_service_fails_in_ci(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("CI", "true")
    with pytest.raises(pytest.fail.Exception, match="needs a moon: look up"):
        require("a moon", available=False, remedy="look up")


def test_a_command_beside_this_python_is_found(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("PATH", "")
    assert require_command("lint-imports", remedy="pip install import-linter").is_file()
