"""Every request that was kept is borne, and a few hundred others that are made from them."""

from __future__ import annotations

import itertools
import os
import random
from collections.abc import Iterator
from pathlib import Path

import pytest

from tests.attack.fuzzing import CORPUS, Failed, Fuzzer, check_unharmed
from tests.doors.http.serving import Server, server

REQUESTS = int(os.environ.get("TIMESTORE_TEST_REQUESTS", "300"))  # `make fuzz` sends for ten minutes


@pytest.fixture(scope="module")
def running(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Server]:
    with server(tmp_path_factory.mktemp("home"), "--quiet", api_max_body_bytes=4 << 20) as running:
        yield running


def test_every_kept_head(running: Server) -> None:
    for path in sorted((CORPUS / "heads").iterdir()):
        for seed in range(3):  # cut into packets in other places
            Fuzzer(running, 0).send_head(path.read_bytes(), random.Random(seed))
    check_unharmed(running)


def test_every_kept_body(running: Server) -> None:
    for path in sorted((CORPUS / "bodies").glob("*.bin")):
        kind = path.stem.partition("-")[2].removesuffix("-gzip").replace("-", "/", 1)
        Fuzzer(running, 0).send_body((path.name, kind, path.read_bytes(), path.stem.endswith("-gzip")))
    check_unharmed(running)


def test_requests_made_from_them(running: Server) -> None:
    for send in itertools.islice(Fuzzer(running, 20130101).head(), REQUESTS):
        send()
    check_unharmed(running)


def test_a_server_error_is_found_and_kept(tmp_path: Path) -> None:
    request = (CORPUS / "heads" / "metadata.http").read_bytes()
    with server(tmp_path, limits={"metadata_bytes": "a bug"}) as running:
        with pytest.raises(Failed, match="500"):
            Fuzzer(running, 0, kept=tmp_path).send_head(request, random.Random(1))
        with pytest.raises(AssertionError, match="http request failed"):
            check_unharmed(running)
    [kept] = (tmp_path / "heads").iterdir()
    assert kept.read_bytes() == request
