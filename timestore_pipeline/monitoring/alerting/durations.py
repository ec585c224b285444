"""Every duration of the rules in Prometheus' notation, and one factor that shortens all of them.

The factor is for trying out a monitoring stack, and for tests: few people would wait five minutes to see an alert fire.
Rules for production are rendered at 1.
"""

from __future__ import annotations

from dataclasses import dataclass

_UNITS = (("d", 86_400_000), ("h", 3_600_000), ("m", 60_000), ("s", 1_000), ("ms", 1))  # milliseconds


@dataclass(frozen=True, slots=True)
class Durations:
    """Divides every duration."""

    hurry: float = 1.0

    def span(self, seconds: float) -> str:
        """A duration in Prometheus' notation, in the largest unit that is exact: `10m`, `90s`, `250ms`."""
        milliseconds = round(self._shortened(seconds) * 1_000)
        if milliseconds == 0:
            return "0s"
        name, size = next((name, size) for name, size in _UNITS if milliseconds % size == 0)
        return f"{milliseconds // size}{name}"

    def seconds(self, seconds: float) -> str:
        """A number of seconds to compare with."""
        return f"{self._shortened(seconds):.10g}"

    def _shortened(self, seconds: float) -> float:
        return seconds / self.hurry


def seconds_of(span: str) -> str:
    """The seconds of a duration that `Durations.span` wrote, to compare with."""
    unit = span.lstrip("0123456789")
    return f"{int(span.removesuffix(unit)) * dict(_UNITS)[unit] / 1_000:.10g}"
