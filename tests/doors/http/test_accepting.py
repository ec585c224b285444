"""A server that may open no more files lets new connections wait, and says so once."""

from __future__ import annotations

import resource
from contextlib import ExitStack
from pathlib import Path

import psutil

from tests.doors.http.serving import post, server, stream, table

SPARE = 3  # files that the server may still open


def test_connections_beyond_the_limit_on_open_files_wait_and_the_log_says_so_once(home: Path) -> None:
    with server(home, "--quiet") as running, running.client() as client:
        assert post(client, stream(table(1))).status_code == 201
        process = psutil.Process(running.process.pid)
        before = process.rlimit(resource.RLIMIT_NOFILE)
        with ExitStack() as stack:
            process.rlimit(resource.RLIMIT_NOFILE, (process.num_fds() + SPARE, before[1]))
            for _ in range(20):
                stack.enter_context(running.connect())
            assert "Too many open files" in running.logged("new connections wait")
            refused = post(client, stream(table(1)), dataset="new")  # whose folder is looked into
            assert (refused.status_code, refused.json()["code"]) == (503, "retry_later")
            process.rlimit(resource.RLIMIT_NOFILE, before)
        with running.client() as later:
            assert post(later, stream(table(1))).status_code == 201
        assert "Traceback" not in running.log.read_text()
