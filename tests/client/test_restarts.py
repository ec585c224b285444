"""A real server is killed and started again under a client that goes on sending: nothing is lost, nothing doubled."""

from __future__ import annotations

import subprocess
import sys
import threading
from pathlib import Path

from demo.processes import free_port
from tests.doors.http.serving import ROOT, published, server, table
from timestore_pipeline.client import Client, Retry
from timestore_pipeline.system import clock

_ROWS, _BATCHES = 10, 120
_PATIENT = Retry(patience=120, first=0.05, longest=0.5)


def test_killing_and_restarting_the_server_loses_and_doubles_nothing(tmp_path: Path) -> None:
    port = free_port()
    sent: list[int] = []
    producer = threading.Thread(target=_produce, args=(port, sent))
    for life in range(3):
        with server(tmp_path, "--port", str(port)) as running:
            if life == 0:
                producer.start()
            if life == 2:
                producer.join(120)
            else:
                while len(sent) < (life + 1) * _BATCHES // 4:
                    assert producer.is_alive()
                    clock.sleep(0.005)
                running.process.kill()
    assert sent == list(range(_BATCHES))
    assert published(tmp_path) == list(range(_BATCHES * _ROWS))


def test_a_program_that_ends_without_closing_sends_what_it_has(tmp_path: Path) -> None:
    source = (
        "import sys; from timestore_pipeline.client import Client;"
        "Client(sys.argv[1]).batcher('d', max_age=3600).add([{'n': n} for n in range(7)])"
    )
    with server(tmp_path) as running:
        done = subprocess.run([sys.executable, "-c", source, running.url], cwd=ROOT, capture_output=True, check=False)
        assert (done.returncode, done.stderr) == (0, b"")
        running.stop()
    assert published(tmp_path) == list(range(7))


def _produce(port: int, sent: list[int]) -> None:
    with Client(f"http://127.0.0.1:{port}", retry=_PATIENT) as client:
        for number in range(_BATCHES):
            client.send("d", table(_ROWS, first=number * _ROWS))
            sent.append(number)
