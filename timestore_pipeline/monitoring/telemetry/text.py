"""Prometheus' text format, version 0.0.4.

The client library's own writer checks and escapes every label of every sample; with a thousand datasets that was most
of the cost of a scrape. Here a value is escaped only if it holds a character that needs it.
"""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Mapping

from prometheus_client.metrics_core import Metric
from prometheus_client.utils import floatToGoString

_EXACT = 2**53  # up to here a float holds every whole number
CONTENT_TYPE = "text/plain; version=0.0.4; charset=utf-8"


def render(families: Iterable[Metric]) -> str:
    """The exposition of counters, gauges and histograms."""
    return "".join(line for family in families for line in _lines(family))


def _lines(family: Metric) -> Iterator[str]:
    name = f"{family.name}_total" if family.type == "counter" else family.name
    yield f"# HELP {name} {family.documentation}\n# TYPE {name} {family.type}\n"
    for sample in family.samples:
        yield f"{sample.name}{_labels(sample.labels)} {_number(sample.value)}\n"


def _labels(labels: Mapping[str, str]) -> str:
    return "{" + ",".join([f'{name}="{_escaped(value)}"' for name, value in sorted(labels.items())]) + "}"


def _escaped(value: str) -> str:
    if "\\" in value or '"' in value or "\n" in value:
        return value.replace("\\", r"\\").replace("\n", r"\n").replace('"', r"\"")
    return value


def _number(value: float) -> str:
    """Whole numbers without their `.0`: most samples are counts, and most of those are 0."""
    return str(int(value)) if abs(value) < _EXACT and value == int(value) else str(floatToGoString(value))  # type: ignore[no-untyped-call]
