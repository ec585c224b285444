"""Scenes of the alerts about published tables, as in `cases.py`."""

from __future__ import annotations

from tests.monitoring.alerting.cases import FLIGHTS, PLANES, WEATHER, Case
from tests.monitoring.alerting.scenes import Scene, named


def problems(dataset: str, depth: str) -> str:
    return named("verify_problems", dataset=dataset, depth=depth)


def verified(dataset: str, result: str) -> str:
    return named("verified_timestamp_seconds", dataset=dataset, result=result)


def created(dataset: str) -> str:
    return named("created_timestamp_seconds", dataset=dataset)


TABLE_CASES = [
    Case(
        "TimestoreBooksDiffer",
        "page",
        Scene(  # also one that only a deep verification found
            "20m",
            {problems("flights", "quick"): "2x99", problems("weather", "deep"): "1x99"},
            (FLIGHTS, WEATHER),
        ),
        Scene(  # mended, verified as sound, and a verification that could read nothing at all
            "20m",
            {
                problems("flights", "quick"): "2x10 0x89",
                problems("weather", "deep"): "0x99",
                verified("planes.small", "unknown"): "1000x99",
            },
        ),
    ),
    Case(
        "TimestoreVerifyStale",
        "warning",
        Scene(  # one never verified, one whose lake has not answered since, one found wrong and left alone
            "20m",
            {
                created("flights"): "-172800x99",
                created("weather"): "-500000x99",
                verified("weather", "ok"): "-172000x99",
                verified("weather", "unknown"): "1000x99",
                created("planes.small"): "-500000x99",
                verified("planes.small", "problems"): "-172000x99",
            },
            (FLIGHTS, WEATHER, PLANES),
        ),
        Scene(  # one as old as the limit, and two that were verified, well or not, since
            "20m",
            {
                created("flights"): f"{1200 - 172800}x99",
                created("weather"): "-500000x99",
                verified("weather", "ok"): "-500000x99",
                verified("weather", "problems"): "0x99",
                created("planes.small"): "-500000x99",
                verified("planes.small", "ok"): "0x99",
            },
        ),
    ),
]
