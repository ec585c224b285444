"""A team's datasets in its own code location: checked when it is loaded, declared by its sensor, shown by commands."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path
from typing import Any

import dagster as dg
import pytest
from dagster.components.core.component_tree import ComponentTreeException
from dagster.components.testing import create_defs_folder_sandbox
from dagster.components.testing.utils import DefsFolderSandbox

from tests.cli.running import complaint, timestore_json
from tests.cli.running import timestore as command
from timestore_pipeline import StagingManager, TimestoreComponent
from timestore_pipeline.errors import InvalidMetadata
from timestore_pipeline.ingest.datasets_yaml import read_datasets
from timestore_pipeline.wiring import Timestore

# Dagster reads defs.yaml with a function that pydantic has given up, and marks places in it with classes of its beta.
pytestmark = [
    pytest.mark.filterwarnings("ignore:`parse_obj_as` is deprecated"),
    pytest.mark.filterwarnings("ignore:.* is currently in beta"),
]

FILE = "datasets:\n  weather: {owners: [team:meteorology], staging: {flush: {max_rows: 500}}}\n  storms:\n"


@pytest.fixture
def project() -> Iterator[DefsFolderSandbox]:
    with create_defs_folder_sandbox(project_name="team") as sandbox:
        yield sandbox


def scaffolded(project: DefsFolderSandbox, text: str) -> Path:
    """As by `dg scaffold defs timestore_pipeline.TimestoreComponent datasets`, and then edited."""
    folder = project.scaffold_component(component_cls=TimestoreComponent, defs_path="datasets")
    (folder / "datasets.yaml").write_text(text)
    return folder


def declare(project: DefsFolderSandbox) -> Any:
    """One tick of its sensor."""
    with project.build_all_defs() as definitions, dg.DagsterInstance.ephemeral() as instance:
        [sensor] = definitions.sensors or []
        assert isinstance(sensor, dg.SensorDefinition)
        return sensor.evaluate_tick(dg.build_sensor_context(instance)).skip_message


def test_what_is_scaffolded_loads(project: DefsFolderSandbox) -> None:
    folder = project.scaffold_component(component_cls=TimestoreComponent, defs_path="datasets")
    assert "type: timestore_pipeline.defs.component.TimestoreComponent" in (folder / "defs.yaml").read_text()
    assert list(read_datasets((folder / "datasets.yaml").read_text(), "it")) == ["example"]
    with project.build_all_defs() as definitions:
        assert [sensor.name for sensor in definitions.sensors or []] == ["declare_team_defs_datasets"]


def test_the_short_name_of_the_documents_is_the_component(project: DefsFolderSandbox) -> None:
    folder = scaffolded(project, FILE)
    (folder / "defs.yaml").write_text("type: timestore_pipeline.TimestoreComponent\n")
    assert declare(project) == "declared anew: weather, storms"


def test_loading_touches_no_ledger(project: DefsFolderSandbox, home: Path) -> None:
    scaffolded(project, FILE)
    with project.build_all_defs():
        assert not home.exists()


def test_the_sensor_declares_and_then_leaves_the_ledger_alone(project: DefsFolderSandbox, timestore: Timestore) -> None:
    scaffolded(project, FILE)
    assert declare(project) == "declared anew: weather, storms"
    assert timestore.flush_settings("weather").thresholds.max_rows == 500
    assert declare(project) == "2 datasets are as declared"


def test_a_declaration_wins_over_a_command_and_both_say_so(project: DefsFolderSandbox, timestore: Timestore) -> None:
    scaffolded(project, FILE)
    declare(project)
    noted = complaint("datasets", "set", "weather", "staging.flush.maxRows=7", "description=wet", code=0)
    assert "staging.flush.maxRows is declared in team.defs.datasets, which sets it again" in noted
    shown = timestore_json("datasets", "show", "weather")
    assert shown["declared_in"]["team.defs.datasets"]["keys"] == ["owners", "staging.flush.maxRows"]
    assert "team.defs.datasets (seen" in command("datasets", "show", "weather")
    assert declare(project) == "declared anew: weather"
    metadata = timestore.area.ledger.datasets.get("weather").metadata
    assert (metadata.staging.flush.max_rows, metadata.description) == (500, "wet")  # what it does not name stays


def test_a_removed_dataset_that_is_still_declared_comes_back(project: DefsFolderSandbox, timestore: Timestore) -> None:
    scaffolded(project, FILE)
    declare(project)
    timestore.area.ledger.datasets.remove("storms")
    assert declare(project) == "declared anew: storms"


@pytest.mark.parametrize(
    ("text", "named"),
    [
        ("datasets: {weather: {staging: {flush: {maxRow: 5}}}, wind: {owner: x}}", "- wind: "),
        ("datasets: {weather: {}, weather: {}}", "the key 'weather' is there twice"),
        ("weather: {}", "the one key 'datasets' at its top"),
    ],
)
def test_a_wrong_file_does_not_load_and_every_problem_is_named(
    project: DefsFolderSandbox, text: str, named: str
) -> None:
    scaffolded(project, text)
    with pytest.raises(ComponentTreeException) as caught, project.build_all_defs():
        pass
    assert named in str(caught.value.__cause__)


def test_a_file_that_is_not_there_is_named(project: DefsFolderSandbox) -> None:
    (scaffolded(project, FILE) / "datasets.yaml").unlink()
    with pytest.raises(ComponentTreeException) as caught, project.build_all_defs():
        pass
    assert "datasets.yaml cannot be read" in str(caught.value.__cause__)


def test_what_contradicts_the_ledger_fails_the_tick_and_changes_nothing(
    project: DefsFolderSandbox, staging: StagingManager, timestore: Timestore
) -> None:
    staging.enqueue("weather", [{"n": 1 << 60}])
    scaffolded(project, "datasets: {storms: {}, weather: {schema: {columns: {n: bool}}}}")
    with pytest.raises(InvalidMetadata) as caught:
        declare(project)
    assert "team.defs.datasets: 1 of 2 datasets are refused" in str(caught.value)
    assert "- weather: " in str(caught.value)
    assert timestore.area.ledger.datasets.find("storms") is None
