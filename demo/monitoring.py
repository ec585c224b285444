"""`make monitoring`: Prometheus, Pushgateway and Alertmanager with this shard's rules, until Ctrl-C.

Their data stay in their folder, so that a second start shows the first one's history.
"""

from __future__ import annotations

import json
import shutil
from collections.abc import Callable
from contextlib import suppress
from dataclasses import dataclass
from pathlib import Path
from urllib.request import urlopen

from rich.console import Console

from demo.environment import inherited
from demo.processes import Child, ChildFailed, Children, free_port, listens
from demo.stack import (
    GATEWAY_PORT,
    alertmanager_command,
    alertmanager_config,
    prometheus_command,
    prometheus_config,
    pushgateway_command,
)
from demo.waiting import wait_until
from timestore_pipeline import Settings
from timestore_pipeline.cli.monitoring import watch_of
from timestore_pipeline.errors import MissingExtra
from timestore_pipeline.monitoring.alerting.alert import Watch
from timestore_pipeline.monitoring.alerting.promql import RuleDurations
from timestore_pipeline.monitoring.alerting.rendering import dashboard_json, rule_file, write_files
from timestore_pipeline.system import clock
from timestore_pipeline.wiring import Timestore

_LOOK_SECONDS = 1.0
_COMMANDS = ("prometheus", "prometheus-pushgateway", "prometheus-alertmanager")  # their packages are named so too


@dataclass(frozen=True, slots=True)
class Servers:
    """Their addresses."""

    prometheus: str
    gateway: str
    alertmanager: str


def run(folder: Path, hurry: float, console: Console) -> None:
    """Serve until interrupted; raise `ChildFailed` when a server is not installed, or ends."""
    _require_commands()
    folder = folder.absolute()
    rules = render(folder, Settings.from_env(), RuleDurations(hurry))
    with Children(folder / "logs", inherited()) as children:
        servers, started = start(children, folder, rules)
        with suppress(KeyboardInterrupt):
            _introduce(console, servers, folder)
            while True:
                for child in started:
                    child.check_running()
                clock.sleep(_LOOK_SECONDS)


def render(folder: Path, settings: Settings, durations: RuleDurations) -> Path:
    """Rules and dashboard; returns the rule file. Does not create a missing staging directory."""
    watch = Watch(settings.shard, durations=durations, push_interval=settings.metrics_push_interval.total_seconds())
    if settings.staging_directory.exists():
        with Timestore(settings) as store:
            watch = watch_of(store, durations)
    contents = {f"timestore-{watch.shard}.rules.yml": rule_file(watch)}
    with suppress(MissingExtra):  # alerts are worth having without
        contents["timestore-dashboard.json"] = dashboard_json(durations)
    return write_files(folder, contents)[0]


def start(children: Children, folder: Path, rules: Path, interval: str = "5s") -> tuple[Servers, list[Child]]:
    """Start all three and wait until they answer."""
    servers = Servers(*(f"http://127.0.0.1:{_port(usual)}" for usual in (9090, GATEWAY_PORT, 9093)))
    configs = {
        "prometheus.yml": prometheus_config(servers.gateway, servers.alertmanager, [rules], interval),
        "alertmanager.yml": alertmanager_config(None, wait="5s"),
    }
    prometheus, alertmanager = write_files(folder, {name: json.dumps(config) for name, config in configs.items()})
    commands = {
        servers.gateway: pushgateway_command(folder / "pushgateway", _address(servers.gateway)),
        servers.alertmanager: alertmanager_command(
            alertmanager, folder / "alertmanager", _address(servers.alertmanager)
        ),
        servers.prometheus: prometheus_command(prometheus, folder / "prometheus", _address(servers.prometheus)),
    }
    started = [children.start(command[0], command) for command in commands.values()]
    for url, child in zip(commands, started, strict=True):
        wait_until(_ready(url, child), f"{child.name} at {url}", seconds=60)
    return servers, started


def _introduce(console: Console, servers: Servers, folder: Path) -> None:
    lines = (
        f"Prometheus    {servers.prometheus}/alerts",
        f"Alertmanager  {servers.alertmanager}",
        f"Pushgateway   {servers.gateway}",
        f"rules, dashboard and logs: {folder}",
        f"push to it: export TIMESTORE_PUSHGATEWAY_URL={servers.gateway}   (make dev does, if started after this)",
        "Ctrl-C ends all",
    )
    for line in lines:
        console.print(line, markup=False, highlight=False, soft_wrap=True)


def _require_commands() -> None:
    missing = [command for command in _COMMANDS if shutil.which(command) is None]
    if missing:
        raise ChildFailed(f"not installed: {', '.join(missing)}; on Debian: apt-get install {' '.join(missing)}")


def _port(usual: int) -> int:
    return free_port() if listens(usual) else usual


def _address(url: str) -> str:
    return url.removeprefix("http://")


def _ready(url: str, child: Child) -> Callable[[], bool]:
    def answers() -> bool:
        child.check_running()
        try:
            with urlopen(f"{url}/-/ready", timeout=1):
                return True
        except OSError:
            return False

    return answers
