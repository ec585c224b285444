"""Destination and format of the product's log lines: logfmt for people who grep, JSON for log collectors.

One line per flush, also when it fails, with the duration of each phase; errors carry their code and hint. It uses the
standard library: producers embed this package, and their own logging set-up keeps working.
"""

from __future__ import annotations

import json
import logging
import sys
from collections.abc import Iterator
from contextlib import contextmanager
from datetime import UTC, datetime
from functools import cache
from typing import Protocol

from timestore_pipeline.settings import LogFormat, Settings, unknown_variables
from timestore_pipeline.system.legible import LogEvent, legible_json, logfmt

PACKAGE = "timestore_pipeline"

_log = logging.getLogger(__name__)

Fields = dict[str, str | int | float]


class Target(Protocol):
    """A logger, or a stand-in for one."""

    def log(self, level: int, msg: str, /, *args: object) -> None: ...


class LineFormatter(logging.Formatter):
    """`stamped=False` omits time and level, for logs that have their own columns for them."""

    def __init__(self, style: LogFormat, *, stamped: bool = True) -> None:
        super().__init__()
        self._log_format = style
        self._stamped = stamped

    def format(self, record: logging.LogRecord) -> str:
        fields = {**(_stamp(record) if self._stamped else {}), **_body(record)}
        if record.exc_info:
            fields["traceback"] = self.formatException(record.exc_info)
        if self._log_format == "json":
            return legible_json(json.dumps(fields, ensure_ascii=False))
        return " ".join(logfmt(fields))


def log_to_stderr(settings: Settings) -> None:
    """Send this package's log lines to standard error; repeated calls do not repeat the lines."""
    handler = logging.StreamHandler(sys.stderr)
    handler.setFormatter(LineFormatter(settings.log_format))
    logger = logging.getLogger(PACKAGE)
    logger.handlers[:] = [handler]
    logger.setLevel(settings.log_level.upper())
    logger.propagate = False


def warn_of_unknown_variables() -> None:
    """Each misspelt environment variable once per process: what it should have set is not in force."""
    for name, remedy in unknown_variables().items():
        _warn_once(name, remedy)


@cache
def _warn_once(name: str, remedy: str) -> None:
    _log.warning("environment variable %s is no setting of this product and has no effect; %s", name, remedy)


@contextmanager
def forwarded(target: Target, settings: Settings) -> Iterator[None]:
    """Send this package's log lines to another logger as well, as long as the block runs."""
    handler = _Forwarding(target)
    handler.setFormatter(LineFormatter(settings.log_format, stamped=False))
    logger = logging.getLogger(PACKAGE)
    before = logger.level
    logger.addHandler(handler)
    logger.setLevel(settings.log_level.upper())
    try:
        yield
    finally:
        logger.removeHandler(handler)
        logger.setLevel(before)


class _Forwarding(logging.Handler):
    def __init__(self, target: Target) -> None:
        super().__init__()
        self._target = target

    def emit(self, record: logging.LogRecord) -> None:
        self._target.log(record.levelno, "%s", self.format(record))


def _stamp(record: logging.LogRecord) -> Fields:
    instant = datetime.fromtimestamp(record.created, UTC).isoformat(timespec="milliseconds")
    return {"time": instant, "level": record.levelname.lower(), "logger": record.name}


def _body(record: logging.LogRecord) -> Fields:
    argument = record.args[0] if isinstance(record.args, tuple) and record.args else None
    if isinstance(argument, LogEvent):
        return {"event": argument.name, **argument.fields}
    return {"event": record.getMessage()}
