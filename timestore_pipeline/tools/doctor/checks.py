"""All checks that need no Dagster, in the order in which an operator reads them."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from functools import partial

from timestore_pipeline.tools.doctor.configuration import configuration, overrides
from timestore_pipeline.tools.doctor.examination import Check, Deployment, Finding
from timestore_pipeline.tools.doctor.host import clocks, disk_fit, disk_speed, permissions
from timestore_pipeline.tools.doctor.http_api import http_api
from timestore_pipeline.tools.doctor.queue_health import backlogs, dead_owners, flush_sensor, ledger_health, quarantine
from timestore_pipeline.tools.doctor.surroundings import lake_access, landing_folder, pushgateway, webserver

CHECKS: dict[str, Callable[[Deployment], Iterator[Finding]]] = {
    "configuration": configuration,
    "datasets": overrides,
    "disk fit": disk_fit,
    "disk speed": disk_speed,
    "clock": clocks,
    "permissions": permissions,
    "ledger": ledger_health,
    "lake": lake_access,
    "landing": landing_folder,
    "http api": http_api,
    "flush sensor": flush_sensor,
    "web server": webserver,
    "pushgateway": pushgateway,
    "backlogs": backlogs,
    "dead owners": dead_owners,
    "quarantine": quarantine,
}


def checks(deployment: Deployment) -> list[Check]:
    return [Check(name, partial(look, deployment)) for name, look in CHECKS.items()]
