"""The command line `timestore`: one module per command group."""

from __future__ import annotations

from timestore_pipeline.cli.app import main

__all__ = ["main"]
