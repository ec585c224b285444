"""Configuration from the environment: every `TIMESTORE_*` variable, its default and its meaning.

This is the only module that reads the environment. Every problem is reported at once, each with its variable's name.
pydantic-settings would read it, too; importing that alone takes a tenth of a second of every start.
"""

from __future__ import annotations

import os
import re
from datetime import timedelta
from itertools import combinations
from pathlib import Path
from typing import Any, Literal, Self
from urllib.parse import unquote, urlsplit

from pydantic import BaseModel, ConfigDict, Field, SecretStr, ValidationError, field_validator, model_validator

from timestore_pipeline.errors import InvalidSettings
from timestore_pipeline.model.dataset import Admits
from timestore_pipeline.model.thresholds import FlushThresholds, GuardrailMode, Guardrails, ladder_problems

LogFormat = Literal["logfmt", "json"]
LogLevel = Literal["debug", "info", "warning", "error"]

LEAST_MEMORY_MB = 64  # of one export: DuckDB sorts with no less

_PREFIX = "TIMESTORE_"
_LONGEST_MS = 3_155_760_000_000  # 100 years; well within the range of Python's dates
_MOST_BYTES = 2**60  # 1 EiB; sums of larger values do not fit the ledger's 64 bits
_MOST_MB = _MOST_BYTES >> 20
_BYTE_LIMITS = ("staging_max_dataset_bytes", "staging_max_total_bytes", "staging_flush_max_bytes")
_LOCATIONS = ("home", "staging_directory", "lake_uri")  # derived from each other where they are empty
_OPTIONAL_PATHS = ("landing_directory", "api_tokens_file", "api_tls_certificate_file", "api_tls_key_file")
_USERINFO = re.compile(r"://[^\s'\"]*@")  # user and password of an address, masked in messages
_TOKEN = re.compile(r"[!-~]{1,4096}")
_NOT_IN_PATHS = re.compile(r"[?\\\x00-\x1f\x7f\ud800-\udfff]")  # DuckDB, Delta Lake or both misread them in a path
_WEB = re.compile(r"https?://[^\x00-\x1f\x7f]+", re.IGNORECASE)
_HARMLESS = re.compile(
    r"PATH|HOME|TMPDIR|VIRTUAL_ENV|LANG|LC_.*|TZ|TZDIR|(LD|DYLD)_LIBRARY_PATH"
    r"|PYTHON(PATH|HOME|USERBASE|UTF8|HASHSEED|PYCACHEPREFIX|DONTWRITEBYTECODE)"
)
_SHARD = re.compile(r"[A-Za-z0-9][A-Za-z0-9._-]{0,62}")


class Settings(BaseModel):
    """All settings, immutable. Each is read from the variable `TIMESTORE_` and its name in capitals."""

    model_config = ConfigDict(frozen=True, extra="forbid", validate_default=True)

    home: Path = Path(".timestore")  # parent of the staging directory's and the lake's defaults
    staging_directory: Path = Path()  # segments and ledger; default <home>/staging
    lake_uri: str = ""  # a path, file:// or s3://bucket/prefix; default <home>/lake
    landing_directory: Path | None = None  # <dataset>/<files> to stage; None = there is no landing folder
    landing_settle_ms: int = Field(default=5_000, ge=0, le=_LONGEST_MS)  # age at which a file is staged
    datasets: Admits = Admits.ANY  # which of them take batches
    shard: str = "shard-0"  # names this staging directory among several that publish into the same tables

    staging_max_dataset_bytes: int = Field(default=536_870_912, ge=0, le=_MOST_BYTES)  # 512 MB on disk; 0 = off
    staging_max_total_bytes: int = Field(default=0, ge=0, le=_MOST_BYTES)  # on disk, whole directory; 0 = off
    staging_min_free_bytes: int = Field(default=67_108_864, ge=0, le=_MOST_BYTES)  # 64 MB kept free for flushes
    staging_max_pending: int = Field(default=64, ge=1)  # batches waiting in memory, per dataset and process
    staging_guardrail_mode: GuardrailMode = GuardrailMode.SOFT

    staging_flush_max_rows: int = Field(default=1_000_000, ge=0)  # 0 = off
    staging_flush_max_bytes: int = Field(default=134_217_728, ge=0, le=_MOST_BYTES)  # 128 MB of Arrow data; 0 = off
    staging_flush_max_age_ms: int = Field(default=60_000, ge=0, le=_LONGEST_MS)  # 0 = off; the pager fires at 120 s

    staging_segment_max_bytes: int = Field(default=67_108_864, ge=1)  # 64 MB of Arrow data; of a journal, too
    idempotency_retention_days: float = Field(default=7.0, gt=0, le=36_525)  # keys and provenance of published batches
    export_memory_mb: int = Field(default=512, ge=LEAST_MEMORY_MB, le=_MOST_MB)  # DuckDB's, of a run's exports together
    maintain_target_file_bytes: int = Field(default=134_217_728, ge=1_048_576, le=_MOST_BYTES)  # of a compacted file
    maintain_min_files: int = Field(default=5, ge=2)  # small files of a partition that are worth a rewrite
    maintain_retention_days: float = Field(default=7.0, ge=0, le=36_525)  # of replaced files, for readers at work
    maintain_log_retention_days: float = Field(default=30.0, ge=0, le=36_525)  # of the Delta log's commits
    run_max_datasets: int = Field(default=250, ge=1)  # in one run: starting a run costs as much as fifty small flushes
    run_log_retention_days: float = Field(default=30.0, ge=0, le=36_525)  # of finished runs' event logs; 0 = kept
    run_threads: int = Field(default=2, ge=1, le=64)  # flushes at work at once in a run; they share export_memory_mb
    run_max_bytes: int = Field(default=1_073_741_824, ge=1)  # 1 GiB of Arrow data in one run, or a single dataset

    log_format: LogFormat = "logfmt"
    log_level: LogLevel = "info"

    pushgateway_url: str | None = None  # None = nothing is pushed
    metrics_push_interval_ms: int = Field(default=10_000, ge=0, le=_LONGEST_MS)  # between pushes, unless a flush ended
    dagster_webserver_url: str | None = None  # reloaded for new datasets; None = by an operator
    api_token: SecretStr | None = None  # bearer token of the HTTP API, with every right
    api_tokens_file: Path | None = None  # named tokens with their rights; without either token loopback only
    api_tls_certificate_file: Path | None = None  # PEM, with its chain; None = plain HTTP
    api_tls_key_file: Path | None = None  # PEM; None = the key is in the certificate's file
    api_max_body_bytes: int = Field(default=67_108_864, ge=1)  # 64 MiB as sent, unpacked, and as Arrow data

    def __init__(self, **values: Any) -> None:
        super().__init__(**_environment() | values)

    @classmethod
    def from_env(cls, **overrides: Any) -> Self:
        """Read the environment.

        Args:
            overrides: Settings by name, such as `home="/data/timestore"`, which take precedence over the environment.

        Raises:
            InvalidSettings: Names every variable that is wrong, and limits that contradict each other.
        """
        return cls.build(**overrides)

    @classmethod
    def lenient(cls) -> tuple[Self, tuple[str, ...]]:
        """The valid part of the environment and every problem with it, for diagnosis.

        An invalid variable has its default, and byte limits that contradict each other are off.
        """
        try:
            return cls.from_env(), ()
        except InvalidSettings as refused:
            wrong = _wrong_fields(refused.__cause__)
            defaults: dict[str, Any] = {name: cls.model_fields[name].default for name in wrong}
            defaults |= dict.fromkeys(wrong.intersection(_LOCATIONS), "")
            try:
                return cls(**defaults), refused.problems
            except ValidationError:
                return cls(**defaults | dict.fromkeys(_BYTE_LIMITS, 0)), refused.problems

    @classmethod
    def build(cls, **values: Any) -> Self:
        """`Settings(**values)` with pydantic's errors turned into one `InvalidSettings`."""
        try:
            return cls(**values)
        except ValidationError as error:
            raise InvalidSettings(cls._problems(values, error)) from error

    @classmethod
    def _problems(cls, values: dict[str, Any], error: ValidationError) -> list[str]:
        """Problems of single fields, and of the valid limits together, which pydantic checks only if all are valid."""
        problems = [_problem(problem) for problem in error.errors()]
        if wrong := _wrong_fields(error):
            known = {name: value for name, value in values.items() if name in cls.model_fields}
            harmless = {name: 0 if name in _BYTE_LIMITS else field.default for name, field in cls.model_fields.items()}
            try:
                cls(**known | {name: harmless[name] for name in wrong & harmless.keys()})
            except ValidationError as further:
                problems += [_problem(problem) for problem in further.errors()]
        return problems

    @field_validator("*", mode="before")
    @classmethod
    def _number_is_plain(cls, value: Any, info: Any) -> Any:
        is_number = cls.model_fields[info.field_name].annotation in (int, float)
        if is_number and isinstance(value, str) and "_" in value:  # pydantic reads 1_0 as ten
            raise ValueError("a number has no '_'")
        return value

    @field_validator("api_token")
    @classmethod
    def _token_fits_a_header(cls, token: SecretStr | None) -> SecretStr | None:
        if token is not None and _TOKEN.fullmatch(token.get_secret_value()) is None:
            raise ValueError("a token is 1 to 4096 printable ASCII characters without blanks")
        return token

    @field_validator("pushgateway_url", "dagster_webserver_url")
    @classmethod
    def _address_is_of_the_web(cls, url: str | None) -> str | None:
        if url is not None and _WEB.fullmatch(url) is None:  # urllib would open file:// and ftp://, too
            raise ValueError("an address begins with http:// or https://, and holds no line end")
        return url

    @field_validator("shard")
    @classmethod
    def _shard_is_a_name(cls, shard: str) -> str:
        if _SHARD.fullmatch(shard) is None:
            raise ValueError(f"{shard!r} is not a name: 1 to 63 letters, digits, '.', '_' and '-'")
        return shard

    @field_validator("home", "staging_directory", *_OPTIONAL_PATHS)
    @classmethod
    def _path_is_absolute(cls, path: Path | None) -> Path | None:
        if path is not None and not path.is_absolute():
            raise ValueError("there is no such user")  # only a ~user that cannot be expanded comes here relative
        return path

    @field_validator("staging_directory", "lake_uri")
    @classmethod
    def _every_part_can_open_it(cls, place: Path | str) -> Path | str:
        if (wrong := _NOT_IN_PATHS.search(str(_local_folder(str(place)) or ""))) is not None:
            raise ValueError(f"files below a folder with {wrong[0]!r} in its name cannot be opened; choose another")
        return place

    @field_validator("lake_uri")
    @classmethod
    def _lake_scheme_is_known(cls, uri: str) -> str:
        url = urlsplit(uri)
        if url.scheme == "s3" and {"@", ":"} & set(url.netloc):  # no bucket's name holds either
            raise ValueError("credentials belong into AWS_ACCESS_KEY_ID and AWS_SECRET_ACCESS_KEY")
        folder = url.scheme == "file" and url.netloc in ("", "localhost") and url.path.startswith("/")
        bucket = url.scheme == "s3" and url.netloc != ""
        if not (Path(uri).is_absolute() or ((folder or bucket) and uri.startswith(f"{url.scheme}://"))):
            raise ValueError(f"{uri!r} is neither a path nor file:///folder nor s3://bucket/prefix")
        return uri

    @model_validator(mode="before")
    @classmethod
    def _fill_locations(cls, values: dict[str, Any]) -> dict[str, Any]:
        home = _absolute(values.get("home") or ".timestore")
        parent = home if isinstance(home, Path) else Path()
        staging = _absolute(values.get("staging_directory") or parent / "staging")
        located = {"home": home, "staging_directory": staging, "lake_uri": _lake_uri(values, parent)}
        return values | located | {name: _absolute(values[name]) for name in _OPTIONAL_PATHS if values.get(name)}

    @model_validator(mode="after")
    def _limits_form_a_ladder(self) -> Self:
        problems = list(ladder_problems(self.thresholds, self.guardrails))
        if problems:
            raise ValueError("; ".join(problems))
        return self

    @model_validator(mode="after")
    def _folders_lie_apart(self) -> Self:
        """Landing files are moved and staged files are unlinked: the three folders must not overlap."""
        given = [(field, getattr(self, field)) for field in ("landing_directory", "staging_directory", "lake_uri")]
        folders = [(f"{variable(field)}={place}", _local_folder(str(place))) for field, place in given if place]
        for (one, here), (other, there) in combinations(folders, 2):
            if here and there and _nested(here, there):
                raise ValueError(f"{one} and {other} overlap; give each its own folder")
        return self

    @property
    def thresholds(self) -> FlushThresholds:
        """The global defaults; a dataset's metadata may override each."""
        return FlushThresholds(
            max_rows=self.staging_flush_max_rows,
            max_bytes=self.staging_flush_max_bytes,
            max_age=timedelta(milliseconds=self.staging_flush_max_age_ms),
        )

    @property
    def guardrails(self) -> Guardrails:
        return Guardrails(
            dataset_bytes=self.staging_max_dataset_bytes,
            total_bytes=self.staging_max_total_bytes,
            mode=self.staging_guardrail_mode,
            free_bytes=self.staging_min_free_bytes,
        )

    @property
    def one_export_mb(self) -> int:
        """Memory of an export beside as many others as a run has threads."""
        return max(self.export_memory_mb // self.run_threads, LEAST_MEMORY_MB)

    @property
    def lake_folder(self) -> Path | None:
        """None = the lake is a bucket."""
        return _local_folder(self.lake_uri)

    @property
    def idempotency_retention(self) -> timedelta:
        return timedelta(days=self.idempotency_retention_days)

    @property
    def landing_settle(self) -> timedelta:
        return timedelta(milliseconds=self.landing_settle_ms)

    @property
    def metrics_push_interval(self) -> timedelta:
        return timedelta(milliseconds=self.metrics_push_interval_ms)


def _environment() -> dict[str, str]:
    """Values by field; names match in upper and lower case, and an empty variable counts as unset."""
    given = {name.upper(): value for name, value in os.environ.items() if value}
    return {field: given[variable(field)] for field in Settings.model_fields if variable(field) in given}


def storage_options() -> dict[str, str]:
    """Credentials and endpoint of the lake's object store: the `AWS_*` variables that every such tool reads."""
    return {name: value for name, value in os.environ.items() if name.startswith("AWS_")}


def unknown_variables() -> dict[str, str]:
    """Variables with the prefix that no setting has -> the remedy: a misspelt limit is not in force."""
    known = [variable(field) for field in Settings.model_fields]
    unknown = sorted(name for name in os.environ if name.upper().startswith(_PREFIX) and name.upper() not in known)
    return {name: _remedy(name, known) for name in unknown}


def relative_locations() -> list[str]:
    """Variables whose folder counts from the working directory, so that two processes may mean two of them."""
    given = _environment()
    places = {name: given.get(name, "") for name in ("staging_directory", "lake_uri")}
    if not all(places.values()):
        places["home"] = given.get("home", str(Settings.model_fields["home"].default))
    relative = [name for name, place in places.items() if place and place[0] not in "/~" and "://" not in place]
    return [variable(name) for name in relative]


def _remedy(name: str, known: list[str]) -> str:
    from difflib import get_close_matches  # here: a correct environment does not need it

    near = get_close_matches(name.upper(), known, n=1)
    return f"unset it; did you mean {near[0]}?" if near else "unset it"


def harmless_environment() -> dict[str, str]:
    """For processes that parse untrusted data: what Python needs to start and to find its packages, and no secret."""
    return {name: value for name, value in os.environ.items() if _HARMLESS.fullmatch(name)}


def dagster_home() -> Path | None:
    """The folder of Dagster's instance; None = the environment does not name it."""
    home = os.environ.get("DAGSTER_HOME")
    return Path(home).expanduser() if home else None


def variable(field: str) -> str:
    """The environment variable that sets a field."""
    return (_PREFIX + field).upper()


def _absolute(path: Any) -> Any:
    """The absolute path; a value that is not a path is returned unchanged, for the field's own check to report."""
    try:
        return Path(path).expanduser().absolute()
    except (TypeError, RuntimeError):
        return path


def _local_folder(uri: str) -> Path | None:
    """The folder of a path or of a file:// address; None = not on this machine."""
    if "://" not in uri:
        return Path(uri)
    return Path(unquote(urlsplit(uri).path)) if uri.startswith("file://") else None


def _nested(one: Path, other: Path) -> bool:
    """Whether one folder contains the other, links resolved."""
    try:
        one, other = one.resolve(), other.resolve()
    except (OSError, RuntimeError):  # a circular link, which fails with a clear error when it is opened
        return False
    return one.is_relative_to(other) or other.is_relative_to(one)


def _lake_uri(values: dict[str, Any], home: Path) -> str:
    uri = str(values.get("lake_uri") or home / "lake")
    return uri if "://" in uri else str(_absolute(uri))


def _wrong_fields(error: BaseException | None) -> set[str]:
    problems = error.errors() if isinstance(error, ValidationError) else []
    return {str(problem["loc"][0]) for problem in problems if problem["loc"]}


def _problem(problem: Any) -> str:
    if not problem["loc"]:
        return str(problem["msg"]).removeprefix("Value error, ")
    name = variable(str(problem["loc"][0]))
    value = "***" if problem["loc"][0] == "api_token" else repr(problem["input"])
    return _USERINFO.sub("://***@", f"{name}={value}: {str(problem['msg']).removeprefix('Value error, ')}")
