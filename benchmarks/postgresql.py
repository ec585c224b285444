"""A PostgreSQL server of the benchmark's own, in a new folder, on a free port of loopback, with its defaults."""

from __future__ import annotations

import os
import pwd
import shutil
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

from benchmarks.processes import Command, Failed, run, running
from demo.processes import free_port, listens
from demo.waiting import TookTooLong, wait_until

_DEBIAN = Path("/usr/lib/postgresql")  # Debian keeps one folder for each major version, none of them on the PATH
_START_SECONDS = 60.0


@contextmanager
def server(folder: Path) -> Iterator[str]:
    """Its address, for user postgres without a password; raises `Failed`."""
    programs, user = _programs(), _system_user()
    folder.mkdir(parents=True)
    if user is not None:
        shutil.chown(folder, user.pw_name)
    cluster, port, log = folder / "cluster", free_port(), folder.with_suffix(".log")
    run(_as(user, programs / "initdb", "-D", cluster, "-U", "postgres", "--auth=trust", "--no-instructions"), log)
    command = _as(user, programs / "postgres", "-D", cluster, "-p", port, "-h", "127.0.0.1", "-k", folder)
    with running(command, log):
        try:
            wait_until(lambda: listens(port), "PostgreSQL", _START_SECONDS)
        except TookTooLong as error:
            raise Failed(str(error)) from error
        yield f"postgresql://postgres@127.0.0.1:{port}/postgres"


def version() -> str:
    """Name and number, without the packager's."""
    _, name, number, *_ = run(Command((str(_programs() / "postgres"), "--version")), Path(os.devnull)).split()
    return f"{name.strip('()')} {number}"


def _programs() -> Path:
    found = sorted(_DEBIAN.glob("*/bin/postgres"), key=lambda path: int(path.parts[-3]))
    program = str(found[-1]) if found else shutil.which("postgres")
    if program is None:
        raise Failed("PostgreSQL is not installed; on Debian: apt-get install postgresql-15")
    return Path(program).parent


def _system_user() -> pwd.struct_passwd | None:
    """The server's user; None = the current one: PostgreSQL only refuses root."""
    if os.geteuid() != 0:
        return None
    users = {user.pw_name: user for user in pwd.getpwall()}
    return users.get("postgres") or users["nobody"]


def _as(user: pwd.struct_passwd | None, *command: object) -> Command:
    change = () if user is None else ("setpriv", f"--reuid={user.pw_uid}", f"--regid={user.pw_gid}", "--clear-groups")
    return Command((*change, *map(str, command)))
