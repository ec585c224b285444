"""The command line `timestore`: one module per command group."""

from __future__ import annotations

from timestore_pipeline.system.without_pandas import leave_pandas_out

__all__ = ["main"]


def main() -> None:
    """Entry point of the console script."""
    leave_pandas_out()
    from timestore_pipeline.cli import app  # after the line above: pyarrow's datasets import pandas if they can

    app.main()
