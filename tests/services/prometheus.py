"""A real Prometheus for tests: Debian's `prometheus` on a free port, with the configuration the test gives.

with prometheus.serving(tmp_path, scrape("pushgateway", url)) as server:
    server.query("timestore_staging_queue_depth")
"""

from __future__ import annotations

import json
import subprocess
from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Any
from urllib.parse import quote, urlsplit

from demo.processes import free_port
from tests.services.require import require_command
from tests.services.web import get, running
from timestore_pipeline.system import clock

_REMEDY = "apt-get install prometheus"
_DEADLINE = 200.0  # seconds for a query to give what is waited for

Samples = dict[frozenset[tuple[str, str]], float]  # labels, the name included as `__name__` -> value


@dataclass(frozen=True)
class Prometheus:
    url: str

    def api(self, path: str) -> Any:
        """`data` of an answer of the HTTP API; path: below `/api/v1/`, as `rules` or `alerts`."""
        return json.loads(get(f"{self.url}/api/v1/{path}"))["data"]

    def query(self, expression: str) -> Samples:
        """The instant vector that PromQL gives now."""
        result = self.api(f"query?query={quote(expression)}")["result"]
        return {frozenset(sample["metric"].items()): float(sample["value"][1]) for sample in result}

    def query_until(self, expression: str, wanted: Callable[[Samples], bool]) -> Samples:
        """Ask until the answer is as wanted; fail with the last answer when it never is."""
        deadline = clock.monotonic() + _DEADLINE
        while not wanted(samples := self.query(expression)):
            assert clock.monotonic() < deadline, f"{expression} stays {samples}"
            clock.sleep(0.05)
        return samples


def scrape(job: str, *urls: str, interval: str = "200ms") -> dict[str, Any]:
    """A configuration that scrapes `<url>/metrics` and keeps the labels the target gives, as one does for a gateway."""
    targets = [urlsplit(url).netloc for url in urls]
    job_config = {"job_name": job, "honor_labels": True, "static_configs": [{"targets": targets}]}
    timing = {"scrape_interval": interval, "scrape_timeout": interval, "evaluation_interval": interval}
    return {"global": timing, "scrape_configs": [job_config]}


@contextmanager
def serving(folder: Path, config: Mapping[str, Any], rule_files: Sequence[Path] = ()) -> Iterator[Prometheus]:
    """Start a server with this configuration (rule files added) and wait until it is ready.

    Its data lie in `folder`. Skips or fails when there is no binary, fails with promtool's words on a wrong config.
    """
    command = require_command("prometheus", remedy=_REMEDY)
    written = folder / "prometheus.yml"
    written.write_text(json.dumps({**config, "rule_files": [str(path) for path in rule_files]}))  # JSON is YAML
    promtool("check", "config", written)
    address = f"127.0.0.1:{free_port()}"
    options = [f"--config.file={written}", f"--web.listen-address={address}", f"--storage.tsdb.path={folder / 'tsdb'}"]
    with running([command, *options], f"http://{address}", folder / "prometheus.log") as url:
        yield Prometheus(url)


def promtool(*arguments: str | Path) -> str:
    """What promtool prints; fail with it when promtool finds a fault."""
    command = require_command("promtool", remedy=_REMEDY)
    done = subprocess.run([command, *arguments], capture_output=True, text=True, check=False)
    assert done.returncode == 0, done.stdout + done.stderr
    return done.stdout
