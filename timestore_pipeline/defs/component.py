"""`timestore_pipeline.TimestoreComponent`: a team's datasets, declared by a file in its own code location.

Loading checks the file and touches no ledger, so that `dg check defs` runs anywhere. A sensor of the same location
brings the ledger to what the file says, and does it again when a command has changed something: declarations win.
"""

import re
from collections.abc import Mapping
from pathlib import Path

import dagster as dg
import yaml
from dagster.components.component_scaffolding import scaffold_component
from dagster.components.scaffold.scaffold import NoParams

from timestore_pipeline.errors import DatasetsRefused, InvalidMetadata, TimestoreError, UnreadableInput
from timestore_pipeline.ingest.datasets_yaml import read_datasets
from timestore_pipeline.ingest.metadata import check_datasets, declare_datasets
from timestore_pipeline.model.metadata_edit import Document
from timestore_pipeline.settings import Settings
from timestore_pipeline.wiring import Timestore

EVERY_SECONDS = 30
_EXAMPLE = {"datasets": {"example": {"description": "What its rows are.", "owners": ["team:ours"]}}}


class _Scaffolder(dg.Scaffolder[NoParams]):
    """Writes `defs.yaml`, and beside it a file of datasets to begin with."""

    def scaffold(self, request: dg.ScaffoldRequest[NoParams]) -> None:
        scaffold_component(request, {"file": "datasets.yaml"})
        file = request.target_path / "datasets.yaml"
        if not file.exists():
            file.write_text(yaml.safe_dump(_EXAMPLE, sort_keys=False), encoding="utf-8")


@dg.scaffold_with(_Scaffolder)
class TimestoreComponent(dg.Component, dg.Model, dg.Resolvable):
    """Datasets of the timestore on this host, as `timestore datasets apply` reads them.

    Attributes:
        file: The file of datasets, beside `defs.yaml`.
    """

    file: str = "datasets.yaml"

    def build_defs(self, context: dg.ComponentLoadContext) -> dg.Definitions:
        """Raises `InvalidMetadata` that names every problem of the file, and `UnreadableInput` when it is not there."""
        folder = context.path if context.path.is_dir() else context.path.parent
        said = _checked(folder / self.file)
        source = ".".join([context.defs_module_name, *folder.relative_to(context.defs_module_path).parts])
        return dg.Definitions(sensors=[declaring_sensor(source, said)])


def declaring_sensor(source: str, said: Mapping[str, Document]) -> dg.SensorDefinition:
    """source: the component's place, as `timestore datasets show` names it."""

    @dg.sensor(
        name=f"declare_{re.sub('[^A-Za-z0-9_]', '_', source)}",
        default_status=dg.DefaultSensorStatus.RUNNING,
        minimum_interval_seconds=EVERY_SECONDS,
        description=f"Keeps {len(said)} datasets as {source} declares them.",
    )
    def declare(_context: dg.SensorEvaluationContext) -> dg.SkipReason:
        settings = Settings.from_env()
        try:
            with Timestore(settings) as timestore:
                changed = declare_datasets(settings, timestore.area.ledger, source, said)
        except DatasetsRefused as refused:
            raise _all_of(refused, source) from None
        names = ", ".join(change.dataset for change in changed)
        return dg.SkipReason(f"declared anew: {names}" if changed else f"{len(said)} datasets are as declared")

    return declare


def _checked(file: Path) -> dict[str, Document]:
    try:
        text = file.read_text(encoding="utf-8")
    except (OSError, UnicodeDecodeError) as error:
        raise UnreadableInput(f"{file} cannot be read: {error}", hint="write it, or name another in `file`") from None
    said = read_datasets(text, str(file))
    try:
        check_datasets(Settings.from_env(), said)
    except DatasetsRefused as refused:
        raise _all_of(refused, str(file)) from None
    return said


def _all_of(refused: DatasetsRefused, source: str) -> TimestoreError:
    """Dagster shows the message of an error only."""
    listed = "".join(f"\n- {problem.dataset}: {problem} [{problem.hint}]" for problem in refused.problems)
    return InvalidMetadata(f"{source}: {refused}{listed}", hint=refused.hint)
