"""The picture shows what was answered, and nothing that was not."""

from __future__ import annotations

import math
import struct
from pathlib import Path

import pytest

from demo.drawing import Curve, Drawn, Span, draw, lively, unbroken
from timestore_pipeline.monitoring.alerting.alert import Severity
from timestore_pipeline.monitoring.alerting.panel import Unit

RISING = [(float(second), float(second)) for second in range(10)]


def panel(unit: Unit, *curves: Curve) -> Drawn:
    return Drawn(f"in {unit.name}", unit, ((Severity.PAGE, 5.0),), curves)


def test_a_picture_of_every_unit_is_drawn(tmp_path: Path) -> None:
    curves = (Curve("flights", RISING), Curve("age, failure", RISING), Curve("limit of flights", RISING, limit=True))
    draw(tmp_path / "panels.png", [panel(unit, *curves) for unit in Unit], [Span(3, 4)], seconds=10)
    head = (tmp_path / "panels.png").read_bytes()[:24]
    assert head.startswith(b"\x89PNG")
    assert struct.unpack(">I", head[16:20]) == (1600,)


def test_a_panel_without_answers_is_drawn_empty(tmp_path: Path) -> None:
    draw(tmp_path / "empty.png", [panel(Unit.COUNT)], [], seconds=10)
    assert (tmp_path / "empty.png").stat().st_size > 1_000


def test_curves_that_never_leave_zero_are_left_out() -> None:
    curves = [Curve("b", RISING), Curve("a", RISING), Curve("zero", [(0, 0), (1, 0)]), Curve("c", RISING, limit=True)]
    assert [curve.label for curve in lively(curves)] == ["a", "b"]


def test_a_line_breaks_where_samples_are_missing() -> None:
    at, values = unbroken([(0, 1), (1, 2), (9, 3)])
    assert at == [0, 1, 9, 9]
    assert values[:2] + values[3:] == [1, 2, 3]
    assert math.isnan(values[2])


@pytest.mark.parametrize("points", [[], [(0.0, 1.0)]])
def test_short_lines_are_lines(points: list[tuple[float, float]]) -> None:
    assert unbroken(points) == ([at for at, _ in points], [value for _, value in points])
