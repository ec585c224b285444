"""Files that a running server reads again when they change, and that decide who may do what.

Only its owner may change such a file, and no other user may read it. A new version takes effect as a whole. One that is
refused leaves the last good version in force, is logged once, and is visible as `refusal`. A file that is being written
is left alone: a change is read once it has rested for a second.

Among them are the certificate and the key of TLS: new connections get the new one.
"""

from __future__ import annotations

import logging
import os
import ssl
import stat
import threading
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from datetime import UTC, datetime
from pathlib import Path
from typing import Any, Generic, TypeVar

from timestore_pipeline.errors import InvalidSettings, ServerFileRefused, TimestoreError
from timestore_pipeline.settings import Settings, variable
from timestore_pipeline.system.legible import LogEvent

T = TypeVar("T")
Stamp = tuple[int, ...]

_log = logging.getLogger(__name__)

PERIOD = 1.0  # seconds between two looks at the files
_MOST_BYTES = 1 << 20
_REFUSED = stat.S_IRWXO | stat.S_IWGRP  # the group may read it: that is how Kubernetes mounts secrets

_CERTIFICATE, _KEY = "api_tls_certificate_file", "api_tls_key_file"
_TURNS = 10  # of a handshake in memory
_HINT = "give a PEM file of the certificate and those that signed it, and one of its key, without a password"


class Reloaded(Generic[T]):
    """What some files hold. `value` is replaced in one step, by another thread."""

    def __init__(self, what: str, paths: Sequence[Path], read: Callable[[], T]) -> None:
        """what: a label of logs and metrics. read: raises a `TimestoreError` for files that are refused."""
        self.what = what
        self.refusal: TimestoreError | None = None  # of the files as they are now; None = `value` is what they hold
        self._paths, self._read = paths, read
        self._seen = self._tried = self._stamps()  # before reading: a later change is noticed
        self.value = read()

    def refresh(self) -> None:
        """To be called periodically; never raises a `TimestoreError`."""
        before, self._seen = self._seen, self._stamps()
        if self._seen == before != self._tried:
            self._tried = self._seen
            self._reload()

    def _reload(self) -> None:
        files = ", ".join(str(path) for path in self._paths)
        try:
            self.value = self._read()
        except TimestoreError as error:
            self.refusal = error
            event = "changed files refused, the last good ones stay in force"
            _log.error("%s", LogEvent(event, files=files, error=str(error), code=error.code, hint=error.hint))
        else:
            self.refusal = None
            _log.info("%s", LogEvent("changed files in force", files=files))

    def _stamps(self) -> tuple[Stamp, ...]:
        return tuple(_stamp(path) for path in self._paths)


def _stamp(path: Path) -> Stamp:
    """Changes with the content, the owner and the mode; links are followed, as Kubernetes' secrets need it."""
    try:
        status = path.stat()
    except OSError as error:
        return (error.errno or 0,)
    rights = status.st_mode, status.st_uid  # in the same tick of the system's clock they may change twice
    return status.st_dev, status.st_ino, *rights, status.st_size, status.st_mtime_ns, status.st_ctime_ns


@contextmanager
def refreshing(files: Sequence[Reloaded[Any]]) -> Iterator[None]:
    """Refresh the files every `PERIOD`, in a thread: a filesystem that hangs must not stop the event loop."""
    over = threading.Event()

    def watch() -> None:
        while not over.wait(PERIOD):
            for file in files:
                file.refresh()

    thread = threading.Thread(target=watch, name="timestore-files", daemon=True)
    if files:
        thread.start()
    try:
        yield
    finally:
        over.set()


def read_secret_file(path: Path, what: str) -> str:
    """what: begins each message. Bytes that are not UTF-8 are replaced. Raises `ServerFileRefused` with the remedy.

    The descriptor is checked, not the name: the file may be replaced in between.
    """
    try:
        with os.fdopen(os.open(path, os.O_RDONLY | os.O_CLOEXEC | os.O_NONBLOCK), "rb") as file:
            _check(os.fstat(file.fileno()), path, what)
            content = file.read(_MOST_BYTES + 1)
    except OSError as error:
        hint = f"give the user {os.geteuid()}, who runs the server, a file that it may read"
        raise ServerFileRefused(f"{what}: {error.strerror}", hint=hint) from error
    if len(content) > _MOST_BYTES:
        raise ServerFileRefused(f"{what} is longer than {_MOST_BYTES} bytes", hint="is this the right file?")
    return content.decode("utf-8", "replace")


def _check(status: os.stat_result, path: Path, what: str) -> None:
    if not stat.S_ISREG(status.st_mode):
        raise ServerFileRefused(f"{what} is no file", hint="name a file")
    if status.st_uid not in (0, os.geteuid()):
        seen = f"{what} belongs to the user {status.st_uid}, who could change it"
        raise ServerFileRefused(seen, hint=f"chown {os.geteuid()} {path}")
    if status.st_mode & _REFUSED:
        mode = stat.S_IMODE(status.st_mode)
        seen = f"{what} has mode {mode:04o}: other users may read it, or its group may change it"
        raise ServerFileRefused(seen, hint=f"chmod 600 {path}")


def server_certificate(settings: Settings) -> Reloaded[ssl.SSLContext] | None:
    """None = plain HTTP. Raises `InvalidSettings` for a key without a certificate, and `ServerFileRefused`."""
    certificate, key = settings.api_tls_certificate_file, settings.api_tls_key_file
    if certificate is None and key is not None:
        raise InvalidSettings([f"{variable(_KEY)} is set, and {variable(_CERTIFICATE)} is not: set it, too"])
    if certificate is None:
        return None
    paths = [certificate] if key is None else [certificate, key]
    return Reloaded("certificate", paths, lambda: _context(paths))


def _context(paths: Sequence[Path]) -> ssl.SSLContext:
    """paths: the certificate's file, and the key's if it is another one."""
    certificate, key = paths[0], paths[-1]
    read_secret_file(key, f"{variable(_KEY if len(paths) > 1 else _CERTIFICATE)}={key}")
    context = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
    context.minimum_version = ssl.TLSVersion.TLSv1_2
    context.options |= ssl.OP_NO_RENEGOTIATION
    context.set_alpn_protocols(["http/1.1"])
    try:
        context.load_cert_chain(certificate, key, password=lambda: "")  # without it, OpenSSL asks on the terminal
    except (OSError, ValueError) as error:  # SSLError is an OSError
        reason = getattr(error, "reason", None) or getattr(error, "strerror", None) or error
        what = f"{variable(_CERTIFICATE)}={certificate}"
        raise ServerFileRefused(f"{what}, with the key in {key}, cannot be used: {reason}", hint=_HINT) from error
    return context


def valid_until(server: ssl.SSLContext, certificate: Path) -> datetime:
    """The end of the certificate that clients get, by a handshake in memory.

    certificate: trusted for it. Raises `ssl.SSLError` for one that clients refuse, as it has expired.
    """
    client = ssl.SSLContext(ssl.PROTOCOL_TLS_CLIENT)
    client.check_hostname = False
    client.verify_flags |= ssl.VERIFY_X509_PARTIAL_CHAIN
    client.load_verify_locations(certificate)
    to_server, to_client = ssl.MemoryBIO(), ssl.MemoryBIO()
    ends = client.wrap_bio(to_client, to_server), server.wrap_bio(to_server, to_client, server_side=True)
    for _ in range(_TURNS):
        if all([_is_ready(end) for end in ends]):  # noqa: C419  # both, one after the other
            break
    found = ends[0].getpeercert()
    assert found, "a handshake has ended after three turns"
    return datetime.fromtimestamp(ssl.cert_time_to_seconds(str(found["notAfter"])), UTC)


def _is_ready(end: ssl.SSLObject) -> bool:
    try:
        end.do_handshake()
    except ssl.SSLWantReadError:
        return False
    return True
