"""`timestore serve`: the HTTP API."""

from __future__ import annotations

import logging
from typing import Annotated

import typer

from timestore_pipeline.cli.output import print_line
from timestore_pipeline.errors import InvalidInput
from timestore_pipeline.settings import Settings


def serve(
    host: Annotated[str, typer.Option(help="Address to listen on.")] = "127.0.0.1",
    port: Annotated[int, typer.Option(min=0, max=65_535, help="0 = any free port.")] = 8451,
    quiet: Annotated[bool, typer.Option("--quiet", help="No access log on standard error.")] = False,
) -> None:
    """Serve the HTTP ingestion API and /metrics.

    Until SIGTERM or Ctrl-C; then the requests at work are finished. Beyond loopback it needs a token:
    TIMESTORE_API_TOKEN, or named ones in TIMESTORE_API_TOKENS_FILE.

    \b
    Example:
      timestore serve --port 8451
    """
    try:
        from timestore_pipeline.doors.http import server
    except ModuleNotFoundError as error:
        raise InvalidInput(
            f"the HTTP API needs {error.name}, which is not installed", hint="pip install 'timestore_pipeline[http]'"
        ) from error
    if quiet:
        logging.getLogger(server.ACCESS_LOG).setLevel(logging.WARNING)
    server.serve(Settings.from_env(), host, port, lambda url: print_line(f"serving {url}"))
