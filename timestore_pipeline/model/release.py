"""The installed release."""

from __future__ import annotations

from importlib.metadata import PackageNotFoundError, version


def release() -> str:
    """Such as `0.1.0`; `0` for a source tree that is not installed."""
    try:
        return version("timestore_pipeline")
    except PackageNotFoundError:
        return "0"
