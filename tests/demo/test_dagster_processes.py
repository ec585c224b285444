from __future__ import annotations

from pathlib import Path

import pytest

from demo.dagster_processes import stored_in
from demo.environment import REPOSITORY


def test_everything_the_repositorys_dagster_keeps_is_kept_in_the_demos_home(tmp_path: Path) -> None:
    config = (REPOSITORY / "dagster.yaml").read_text()
    stored = stored_in(tmp_path, config)
    assert stored.count(str(tmp_path)) == config.count("base_dir") == 3


def test_a_dagster_yaml_that_stores_elsewhere_is_refused(tmp_path: Path) -> None:
    with pytest.raises(ValueError, match="would write into the repository"):
        stored_in(tmp_path, "storage: {}")
