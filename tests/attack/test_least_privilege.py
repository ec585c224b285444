"""A process that parses hostile bytes has nothing to steal, nobody to send it to, and little to use up."""

from __future__ import annotations

import ctypes
import os
import resource
import sys
from pathlib import Path

import psutil
import pyarrow as pa
import pyarrow.parquet as pq
import pytest

from tests.doors.http.serving import post, server, stream, table
from tests.doors.landing.dropping import readings
from timestore_pipeline.errors import InvalidSettings, UnreadableInput
from timestore_pipeline.ingest import trial
from timestore_pipeline.ingest.trial import Trial
from timestore_pipeline.settings import Settings
from timestore_pipeline.system import unprivileged
from timestore_pipeline.tools.doctor.examination import Deployment, Status
from timestore_pipeline.tools.doctor.host import permissions

TOKEN = "hush-hush-hush-hush"
SECRETS = {"AWS_SECRET_ACCESS_KEY": TOKEN, "PGPASSWORD": TOKEN, "TIMESTORE_API_TOKEN": TOKEN}

pytestmark = pytest.mark.skipif(sys.platform != "linux", reason="it looks into /proc")


def may_have_a_network_of_its_own() -> bool:
    """Tried in a child: a system, or a container, may deny it."""
    if (child := os.fork()) == 0:
        flags = 0x40000000 if os.geteuid() == 0 else 0x50000000
        os._exit(int(ctypes.CDLL(None).unshare(flags) != 0))
    return os.waitpid(child, 0)[1] == 0


def check(pid: int, file_bytes: int) -> None:
    process = psutil.Process(pid)
    assert process.environ().keys() & SECRETS.keys() == set()
    assert TOKEN not in " ".join([*process.environ().values(), *process.cmdline()])
    assert "NoNewPrivs:\t1" in Path(f"/proc/{pid}/status").read_text()
    assert process.rlimit(resource.RLIMIT_FSIZE) == (file_bytes, file_bytes)
    assert process.rlimit(resource.RLIMIT_NOFILE)[1] <= 64
    assert process.rlimit(resource.RLIMIT_CORE) == (0, 0)
    assert 0 < process.rlimit(resource.RLIMIT_DATA)[1] < 4 << 30
    if may_have_a_network_of_its_own():
        assert network(pid) != network(os.getpid())


def network(pid: int) -> str:
    return str(Path(f"/proc/{pid}/ns/net").readlink())


def test_readers_of_http_bodies(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    for name, value in SECRETS.items():
        monkeypatch.setenv(name, value)
    with server(tmp_path) as running, running.client(headers={"authorization": f"Bearer {TOKEN}"}) as client:
        assert post(client, stream(table(1))).status_code == 201
        assert post(client, stream(table(50_000))).status_code == 201  # by a reader for long bodies
        readers = running.readers()
        assert len(readers) > 2
        for reader in readers:
            check(reader.pid, reader.rlimit(resource.RLIMIT_FSIZE)[0])
            assert 0 < reader.rlimit(resource.RLIMIT_FSIZE)[0] < 1 << 30


def test_the_trial_of_landing_files(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    for name, value in SECRETS.items():
        monkeypatch.setenv(name, value)
    path = tmp_path / "a.parquet"
    pq.write_table(readings(3), path)
    with Trial() as trying:
        trying.check(path, lambda: None)
        assert trying._process is not None
        check(trying._process.pid, file_bytes=0)


def test_a_file_that_the_trial_may_not_open_is_not_read(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """As may happen where rights come from a capability, which its own user namespace takes away."""

    def denied(*_: object) -> None:
        raise UnreadableInput("it cannot be read") from PermissionError()

    monkeypatch.setattr(trial, "open_source", denied)
    assert "may not be opened" in trial._tried(tmp_path)


def test_nothing_is_left_of_a_trial(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("tempfile.tempdir", str(tmp_path))
    path = tmp_path / "a.arrow"
    with pa.OSFile(str(path), "wb") as file, pa.ipc.new_file(file, readings(3).schema) as writer:
        writer.write_table(readings(3))
    before = psutil.Process().num_fds()
    with Trial() as trying:
        trying.check(path, lambda: None)
        trying.check(path, lambda: None)
    assert [found.name for found in tmp_path.iterdir()] == ["a.arrow"]
    assert psutil.Process().num_fds() == before


def test_a_module_is_started_by_its_name() -> None:
    assert unprivileged.command("m", "1")[-3:] == ["timestore_pipeline.system.unprivileged", "m", "1"]


@pytest.mark.parametrize("name", ["pushgateway_url", "dagster_webserver_url"])
@pytest.mark.parametrize(
    "address", ["file:///etc/passwd", "ftp://host/", "gopher://host", "host:9091", "http://", "http://a\nb"]
)
def test_addresses_are_of_the_web(name: str, address: str) -> None:
    with pytest.raises(InvalidSettings, match=f"TIMESTORE_{name.upper()}.*http:// or https://"):
        Settings.build(**{name: address})


@pytest.mark.parametrize(("mode", "seen"), [(0o770, "the group"), (0o750, "the group"), (0o755, "every user")])
def test_doctor_warns_of_others_who_may_look_into_the_staging_directory(
    settings: Settings, mode: int, seen: str
) -> None:
    settings.staging_directory.mkdir()
    settings.staging_directory.chmod(mode)
    [told] = [finding for finding in permissions(Deployment(settings, ())) if finding.status is Status.WARNING]
    assert seen in told.seen


def test_doctor_says_nothing_of_a_private_one(settings: Settings) -> None:
    settings.staging_directory.mkdir(mode=0o700)
    assert all(finding.status is Status.OK for finding in permissions(Deployment(settings, ())))
