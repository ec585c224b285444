"""An operator's settings of a dataset: its name, its columns, its partitioning, its flush thresholds, its CSV."""

from __future__ import annotations

import json
import re
from collections.abc import Iterable, Mapping, Sequence
from enum import StrEnum
from typing import TYPE_CHECKING, Any, Self

from pydantic import Field, ValidationError, field_validator, model_validator

from timestore_pipeline.errors import InvalidData, InvalidDatasetName, InvalidMetadata, UnknownDataset
from timestore_pipeline.model.metadata_sections import CsvDialect, FlushOverrides, Section
from timestore_pipeline.model.unique_keys import KeyTwice, check_unique_keys

if TYPE_CHECKING:  # otherwise imported where types are declared: reading a backlog does not need it
    from pydantic_core import ErrorDetails

    from timestore_pipeline.model.declared import DeclaredType

BACKLOG_WARN = 20  # batches staged and not yet published, where a dataset has no level of its own
BACKLOG_PAGE = 50

_NAME = re.compile(r"[a-z0-9][a-z0-9._-]{0,119}")
_OWNER = re.compile(r"team:[A-Za-z0-9._-]+|[A-Za-z0-9._%+-]+@[A-Za-z0-9-]+(\.[A-Za-z0-9-]+)*\.[A-Za-z]{2,}")
_ASSET = re.compile(r"[^\s/]+(/[^\s/]+)*")
_PARTITION_KEYS = ("partitionBy", "partition_by")  # what other writers of tables call it
_OWN_ASSETS = ("timestore", "landing")  # first parts of this product's asset keys; their lineage is built in


def check_dataset_name(name: str) -> str:
    """Return `name`, or raise `InvalidDatasetName`.

    The rule keeps a name usable as a folder, as an object-store prefix and as a label without escaping.
    """
    if not is_dataset_name(name):
        raise InvalidDatasetName(
            f"{name!r} is not a dataset name",
            hint="use 1 to 120 of a-z, 0-9, '.', '_' and '-', starting with a letter or digit",
        )
    return name


def is_dataset_name(name: object) -> bool:
    """Whether a dataset can have that name."""
    return isinstance(name, str) and _NAME.fullmatch(name) is not None


def chosen_datasets(names: Sequence[str], known: Iterable[str]) -> list[str]:
    """The named datasets, or without a name all known ones in name order. Raises `UnknownDataset`."""
    everything = sorted(set(known))
    for name in names:
        if name not in everything:
            hint = f"known: {', '.join(everything) or 'none yet'}"
            raise UnknownDataset(f"there is no dataset {name!r}", dataset=name, hint=hint)
    return list(names) or everything


class Admits(StrEnum):
    """Which datasets take batches."""

    ANY = "any"  # the first batch makes a dataset
    DECLARED = "declared"  # only those in the ledger: declared by command, file, HTTP or code, or staged before


class Granularity(StrEnum):
    """The time span of one lake partition."""

    HOUR = "hour"
    DAY = "day"
    MONTH = "month"
    NONE = "none"


class Evolution(StrEnum):
    """Which schema changes a dataset accepts; a breaking change is refused under both."""

    ADDITIVE = "additive"
    STRICT = "strict"


class Undecided(StrEnum):
    """How a flush treats a dataset in which no row has a time yet."""

    PUBLISH = "publish"  # without partitions, and for good
    WAIT = "wait"  # nothing is published before a row has a time, or a time column is declared


class PartitionSpec(Section):
    granularity: Granularity = Granularity.DAY
    undecided: Undecided = Undecided.PUBLISH


class LocalTimestamps(StrEnum):
    """The treatment of timestamps without a time zone: publishing them needs a table feature that old readers lack."""

    FEATURE = "feature"  # published as they are; the table then needs `timestampNtz`
    REFUSE = "refuse"
    UTC = "utc"  # interpreted as UTC


class SubMicroseconds(StrEnum):
    """The treatment of times with more digits than microseconds."""

    REFUSE = "refuse"
    ROUND = "round"  # to the nearest microsecond, a half to the even one
    TRUNCATE = "truncate"  # to the microsecond before


class SchemaSpec(Section):
    evolution: Evolution = Evolution.ADDITIVE
    columns: dict[str, str] = Field(default={})  # name -> declared type; other columns get the type of the data
    local_timestamps: LocalTimestamps = LocalTimestamps.FEATURE
    sub_microseconds: SubMicroseconds = SubMicroseconds.REFUSE

    @field_validator("columns")
    @classmethod
    def _can_be_columns(cls, columns: dict[str, str]) -> dict[str, str]:
        from timestore_pipeline.model.canonical import check_column_names
        from timestore_pipeline.model.declared import parse_type

        try:
            check_column_names(columns)
        except InvalidData as error:
            raise ValueError(str(error)) from None
        for name, text in columns.items():
            try:
                parse_type(text)
            except ValueError as error:
                raise ValueError(f"column {name!r}: {error}") from None
        return columns

    @property
    def declared(self) -> dict[str, DeclaredType]:
        """Name -> declared type."""
        if not self.columns:
            return {}
        from timestore_pipeline.model.declared import parse_type

        return {name: parse_type(text) for name, text in self.columns.items()}


class AlertOverrides(Section):
    """Backlog of one dataset at which alerts fire; None = the default, 0 = never.

    A dataset of many small batches is healthy far above the defaults. No series carries these levels: they are a
    choice, not a state.
    """

    backlog_warn: int | None = Field(default=None, ge=0, strict=True)  # batches
    backlog_page: int | None = Field(default=None, ge=0, strict=True)  # batches

    @property
    def contradict(self) -> bool:
        """Whether the page would fire before the warning, the defaults included."""
        warn = BACKLOG_WARN if self.backlog_warn is None else self.backlog_warn
        page = BACKLOG_PAGE if self.backlog_page is None else self.backlog_page
        return 0 < page < warn


class StagingSpec(Section):
    paused: bool | None = Field(default=None, strict=True)  # None = as `timestore pause` and `resume` left it
    flush: FlushOverrides = FlushOverrides()
    alerts: AlertOverrides = AlertOverrides()


class DatasetMetadata(Section):
    """The JSON object of `timestore datasets set`; camelCase and snake_case keys are both accepted."""

    description: str | None = None
    owners: tuple[str, ...] = ()  # e-mail addresses, or team:name; shown with the dataset, never written to
    upstream: tuple[str, ...] = ()  # keys, such as raw/readings, of assets elsewhere in Dagster that stage rows here
    time_column: str | None = Field(default=None, min_length=1)  # None = the first timestamp or date column
    partition: PartitionSpec = PartitionSpec()
    schema_: SchemaSpec = Field(default=SchemaSpec(), alias="schema")
    csv: CsvDialect = CsvDialect()
    staging: StagingSpec = StagingSpec()

    @field_validator("owners")
    @classmethod
    def _owner_can_be_shown(cls, owners: tuple[str, ...]) -> tuple[str, ...]:
        for owner in owners:
            if _OWNER.fullmatch(owner) is None:
                raise ValueError(f"{owner!r} is neither an e-mail address nor team:name")
        return owners

    @field_validator("upstream")
    @classmethod
    def _asset_can_be_upstream(cls, keys: tuple[str, ...]) -> tuple[str, ...]:
        for key in keys:
            if _ASSET.fullmatch(key) is None:
                raise ValueError(f"{key!r} is not an asset key such as raw/readings")
            if key.partition("/")[0] in _OWN_ASSETS:
                raise ValueError(f"{key!r} is this product's own asset: name the asset of yours that stages the rows")
        return tuple(dict.fromkeys(keys))

    @model_validator(mode="after")
    def _time_column_is_a_time(self) -> Self:
        declared = self.schema_.declared.get(self.time_column or "")
        if declared is not None and not declared.tells_time:
            text = self.schema_.columns[self.time_column or ""]
            raise ValueError(f"timeColumn {self.time_column!r} is declared as {text}, not as a timestamp or date")
        return self

    @property
    def waits_for_time(self) -> bool:
        """Whether flushes wait as long as the layout is open."""
        partition = self.partition
        return partition.undecided is Undecided.WAIT and partition.granularity is not Granularity.NONE

    @classmethod
    def parse(cls, document: str | Mapping[str, Any]) -> DatasetMetadata:
        """Read a JSON text or an object; raise `InvalidMetadata` that lists every offending key's path."""
        try:
            if isinstance(document, str):
                check_unique_keys(document)
                return cls.model_validate_json(document)
            return cls.model_validate(document)
        except KeyTwice as error:
            raise key_twice(error) from None
        except ValidationError as error:
            raise InvalidMetadata(
                "dataset metadata refused: " + "; ".join(map(_sentence, error.errors())),
                hint="see 'Dataset metadata' in docs/configuration.md",
            ) from error

    def to_json(self) -> str:
        """Canonical text: camelCase keys, only those that were set; columns in the order of their declaration."""
        return json.dumps(self.model_dump(mode="json", by_alias=True, exclude_unset=True))


def key_twice(error: KeyTwice) -> InvalidMetadata:
    return InvalidMetadata(
        f"dataset metadata refused: an object has the key {str(error)!r} twice", hint="write every key once"
    )


def _sentence(problem: ErrorDetails) -> str:
    place = ".".join(map(str, problem["loc"])) or "document"
    if problem["type"] != "extra_forbidden":
        return f"{place}: {problem['msg'].removeprefix('Value error, ')}"
    if problem["loc"][-1] in _PARTITION_KEYS:
        return f"{place}: tables are partitioned by time alone; use staging.flush.sortBy"
    from difflib import get_close_matches  # here: correct metadata do not need it

    document = DatasetMetadata.model_json_schema()
    known = {key for section in (document, *document["$defs"].values()) for key in section.get("properties", ())}
    nearest = get_close_matches(str(problem["loc"][-1]), known, n=1)
    return f"{place}: there is no such key" + (f"; {nearest[0]!r} is the nearest" if nearest else "")
