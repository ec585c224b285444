"""A real staging directory and lake, opened as a flush's process, a producer's and a reader's."""

from __future__ import annotations

from tests.flush.conftest import settings, staging, timestore

__all__ = ["settings", "staging", "timestore"]
