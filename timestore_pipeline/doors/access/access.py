"""What decides who reaches the server and how: its tokens and its certificate."""

from __future__ import annotations

import ssl
from dataclasses import dataclass
from typing import Any

from timestore_pipeline.doors.access.certificate import server_certificate
from timestore_pipeline.doors.access.gate import Gate
from timestore_pipeline.doors.access.reloading import Reloaded
from timestore_pipeline.settings import Settings


@dataclass(frozen=True, slots=True)
class Access:
    """`certificate`: None = plain HTTP."""

    gate: Gate
    certificate: Reloaded[ssl.SSLContext] | None = None

    @classmethod
    def of(cls, settings: Settings) -> Access:
        """Raises `ServerFileRefused` for a file that cannot be used, and `InvalidSettings`."""
        return cls(Gate.of(settings), server_certificate(settings))

    @property
    def files(self) -> list[Reloaded[Any]]:
        """To be read again when they change."""
        return [file for file in (self.gate.file, self.certificate) if file is not None]
