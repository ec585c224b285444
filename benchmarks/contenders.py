"""The contenders: what each writes, how durable that is, and how its workers are started.

`start` starts the servers that a contender's workers need, once for all parts, and gives a function from the name of a
part to a worker's command. It raises `Failed` with the reason why the contender cannot take part on this machine.
"""

from __future__ import annotations

import secrets
from collections.abc import Callable, Iterator, Mapping
from contextlib import AbstractContextManager, contextmanager
from dataclasses import dataclass
from pathlib import Path

from benchmarks import postgresql
from benchmarks.environment import interpreter, older
from benchmarks.processes import Command, Failed, first_line, python, running, worker
from demo.processes import free_port

Workers = Callable[[str], Command]  # of a part; workers of one part share what they write to
Start = Callable[[Path], AbstractContextManager[Workers]]  # given a folder that does not exist yet

_DUCKDB = "duckdb-1.5.5"
_NO_GUARDRAIL = {"TIMESTORE_STAGING_MAX_DATASET_BYTES": "0"}  # the benchmark stages faster than anything flushes


@dataclass(frozen=True, slots=True)
class Contender:
    title: str
    durable: str  # the guarantee of a write that has returned
    start: Start


def _in_folder(module: str) -> Start:
    """A library: its workers write below a folder, and no process serves them."""

    @contextmanager
    def start(folder: Path) -> Iterator[Workers]:
        yield lambda part: python(f"benchmarks.workers.{module}", folder / part)

    return start


def _older(commit: str) -> Start:
    @contextmanager
    def start(folder: Path) -> Iterator[Workers]:
        if not commit:
            raise Failed("no --against COMMIT was given")
        package = older(commit)
        yield lambda part: python("benchmarks.workers.ours", folder / part, first=package)

    return start


def _served(module: str) -> Start:
    @contextmanager
    def start(folder: Path) -> Iterator[Workers]:
        serve = python("timestore_pipeline", "serve", "--port", "0", "--quiet")
        environment = {**serve.environment, **_NO_GUARDRAIL, "TIMESTORE_HOME": str(folder)}
        log = folder.with_suffix(".log")
        with running(Command(serve.arguments, environment), log) as process:
            url = first_line(process, log).split()[-1]
            yield lambda _part: python(f"benchmarks.workers.{module}", url)

    return start


@contextmanager
def _postgres(folder: Path) -> Iterator[Workers]:
    with postgresql.server(folder) as uri:
        yield lambda _part: python("benchmarks.workers.postgres", uri)


@contextmanager
def _quack(folder: Path) -> Iterator[Workers]:
    own, port, token = interpreter(_DUCKDB), free_port(), secrets.token_hex(16)
    folder.mkdir(parents=True)
    serve = python("benchmarks.workers.quack_server", folder / "rows.duckdb", port, token, interpreter=own)
    with worker(serve, folder.with_suffix(".log")) as server:
        server.ask("serve")
        yield lambda _part: python("benchmarks.workers.quack", port, token, interpreter=own)


@contextmanager
def _ducklake(folder: Path) -> Iterator[Workers]:
    own = interpreter(_DUCKDB)
    yield lambda part: python("benchmarks.workers.ducklake", folder / part, interpreter=own)


def contenders(against: str = "") -> Mapping[str, Contender]:
    """By the name that figures have. `against`: an older commit; empty = none."""
    return {
        "floor": Contender(
            "append and `fdatasync`",
            "the bytes, in a file that nothing reads: the floor, which no durable write can do without",
            _in_folder("floor"),
        ),
        "ours": Contender(
            "timestore, in process", "rows and their entry in the ledger, published exactly once", _in_folder("ours")
        ),
        "older": Contender("timestore, an older commit", "the same", _older(against)),
        "http": Contender(
            "timestore over HTTP, connection kept alive",
            "the same: journal and ledger are flushed to disk before the answer",
            _served("http_door"),
        ),
        "client": Contender("timestore over HTTP, its Python client", "the same", _served("http_client")),
        "postgres": Contender(
            "PostgreSQL, ADBC", "rows in a table, by `fsync` of its log; server's defaults", _postgres
        ),
        "quack": Contender("Quack (DuckDB 1.5.5)", "rows in a table, by DuckDB's log", _quack),
        "ducklake": Contender("DuckLake, rows inlined in DuckDB", "rows in the catalogue, by DuckDB's log", _ducklake),
        "delta": Contender("`write_deltalake`", "not flushed to disk: a power loss may lose it", _in_folder("delta")),
    }
