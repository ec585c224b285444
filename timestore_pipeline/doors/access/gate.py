"""Which token a request has: `TIMESTORE_API_TOKEN`, with every right, or one of `TIMESTORE_API_TOKENS_FILE`.

`Access` is all that decides who reaches the server and how: its tokens and its certificate.
"""

from __future__ import annotations

import hmac
import ssl
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

from pydantic import SecretStr

from timestore_pipeline.doors.access.certificate import server_certificate
from timestore_pipeline.doors.access.reloading import Reloaded, read_secret_file
from timestore_pipeline.doors.access.tokens import ANYONE, SINGLE, Right, Token, digest_of, parse_tokens
from timestore_pipeline.errors import InvalidToken, ServerFileRefused, Unauthenticated
from timestore_pipeline.settings import Settings, variable

_LINE = "each line is NAME RIGHTS DATASETS sha256:DIGEST, as `timestore tokens new` prints it"


class Gate:
    """The tokens in force."""

    def __init__(self, single: SecretStr | None = None, file: Reloaded[tuple[Token, ...]] | None = None) -> None:
        self.file = file
        self._single: tuple[Token, ...] = ()
        if single is not None:
            self._single = (Token(SINGLE, frozenset(Right), ("*",), digest_of(single.get_secret_value())),)

    @classmethod
    def of(cls, settings: Settings) -> Gate:
        """Raises `ServerFileRefused` for a file that cannot be used."""
        return cls(settings.api_token, tokens_file(settings))

    @property
    def tokens(self) -> tuple[Token, ...]:
        return self._single if self.file is None else self._single + self.file.value

    @property
    def is_open(self) -> bool:
        """No token is required."""
        return not self._single and self.file is None

    def identify(self, authorizations: Sequence[str]) -> Token:
        """authorizations: values of the request's `Authorization` headers.

        Raises `Unauthenticated` without exactly one bearer token, `InvalidToken` for one that is not in force. Digests
        are compared in constant time, and always all of them.
        """
        if self.is_open:
            return ANYONE
        scheme, _, given = authorizations[0].partition(" ") if len(authorizations) == 1 else ("", "", "")
        if scheme.lower() != "bearer" or not given.strip():
            raise Unauthenticated("the request has no bearer token", hint="send 'Authorization: Bearer <token>'")
        digest = digest_of(given.strip())
        found = [token for token in self.tokens if hmac.compare_digest(token.digest, digest)]
        if not found:
            raise InvalidToken("the bearer token is not in force here", hint="ask the server's operator for a token")
        return found[0]


def tokens_file(settings: Settings) -> Reloaded[tuple[Token, ...]] | None:
    """None = the setting is unset. Raises `ServerFileRefused`."""
    path = settings.api_tokens_file
    if path is None:
        return None
    what = f"{variable('api_tokens_file')}={path}"

    def read() -> tuple[Token, ...]:
        text = read_secret_file(path, what)
        try:
            return parse_tokens(text)
        except ValueError as error:
            raise ServerFileRefused(f"{what}: {error}", hint=_LINE) from error

    return Reloaded("tokens", (path,), read)


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
