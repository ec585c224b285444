"""Which token a request has: `TIMESTORE_API_TOKEN`, with every right, or one of `TIMESTORE_API_TOKENS_FILE`.

`Access` is all that decides who reaches the server and how: its tokens and its certificate. The file lists named
tokens, what each may do, and on which datasets:

    # name      rights      datasets       digest of the token
    station-a   stage       weather-*,air  sha256:9f86d081884c7d659a2feaa0c55ad015a3bf4f1b2b0b822cd15d6c15b0f00a08

The file holds digests, so its readers and its backups cannot send requests. SHA-256 without salt is enough because
`new_token` makes tokens of 256 random bits: no dictionary contains them.
"""

from __future__ import annotations

import hashlib
import hmac
import re
import secrets
import ssl
from collections import Counter
from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from enum import StrEnum
from fnmatch import fnmatchcase
from typing import Any

from pydantic import SecretStr

from timestore_pipeline.doors.access.reloading import Reloaded, read_secret_file, server_certificate
from timestore_pipeline.errors import Forbidden, InvalidInput, InvalidToken, ServerFileRefused, Unauthenticated
from timestore_pipeline.settings import Settings, variable

SINGLE = "default"  # name of the token that TIMESTORE_API_TOKEN sets

_NAME = re.compile(r"[a-z0-9][a-z0-9._-]{0,62}")
_GLOB = re.compile(r"[a-z0-9._*?\[\]!-]{1,120}")
_DIGEST = re.compile(r"sha256:[0-9a-f]{64}")
_COLUMNS = 4
_MOST_TOKENS = 1_000  # each is compared with every request's token, and names series in the metrics
_MOST_NAMED = 10  # problems in one message
_LINE = "each line is NAME RIGHTS DATASETS sha256:DIGEST, as `timestore tokens new` prints it"


class Right(StrEnum):
    """Every protected operation of the API needs exactly one."""

    STAGE = "stage"  # batches
    READ = "read"  # status and metrics
    OPERATE = "operate"  # flushes and metadata


@dataclass(frozen=True, slots=True)
class Token:
    """What its bearer may do. `datasets`: globs. `digest`: SHA-256 of the secret."""

    name: str
    may: frozenset[Right]
    datasets: tuple[str, ...]
    digest: bytes

    def covers(self, dataset: str | None) -> bool:
        """dataset: None = all datasets."""
        return "*" in self.datasets if dataset is None else any(fnmatchcase(dataset, glob) for glob in self.datasets)

    def check(self, right: Right, dataset: str | None, *, some: bool = False) -> None:
        """Raises `Forbidden`. dataset: None = all datasets. some: the right on any dataset is enough."""
        if right in self.may and (some or self.covers(dataset)):
            return
        target = f"the dataset {dataset!r:.200}" if dataset is not None else "any dataset" if some else "all datasets"
        raise Forbidden(
            f"the token {self.name!r} may not {right} {target}",
            token=self.name,
            right=right.value,
            dataset=dataset,
            hint=f"it may {self.rights} {','.join(self.datasets)}; the server's operator can change that",
        )

    @property
    def rights(self) -> str:
        return ",".join(right for right in Right if right in self.may)

    @property
    def line(self) -> str:
        """Its line in the file."""
        return f"{self.name} {self.rights} {','.join(self.datasets)} sha256:{self.digest.hex()}"


ANYONE = Token("", frozenset(Right), ("*",), b"")  # bearer of no token, where none is required


def digest_of(secret: str) -> bytes:
    return hashlib.sha256(secret.encode("utf-8", "surrogateescape")).digest()


def new_token(name: str, may: Iterable[Right], datasets: Sequence[str]) -> tuple[str, Token]:
    """A new secret and its token; raises `InvalidInput` for a malformed name or glob."""
    secret = secrets.token_urlsafe(32)
    token = Token(name, frozenset(may), tuple(datasets), digest_of(secret))
    try:
        _token(token.line)
    except ValueError as error:
        raise InvalidInput(f"no file can list this token: {error}", hint="see `timestore tokens new --help`") from error
    return secret, token


def parse_tokens(text: str) -> tuple[Token, ...]:
    """The tokens of a file; raises `ValueError` that names the wrong lines, and repeats none: it may hold a secret."""
    found, problems = list[Token](), list[str]()
    for number, line in enumerate(text.split("\n"), 1):  # no other character ends what an editor shows as a comment
        if line.strip() and not line.lstrip().startswith("#"):
            try:
                found.append(_token(line))
            except ValueError as error:
                problems.append(f"line {number}: {error}")
    counts = Counter(token.name for token in found)
    problems += [f"{count} lines have the name {name!r}" for name, count in counts.items() if count > 1]
    names = {token.digest: token.name for token in reversed(found)}
    same = [(names[token.digest], token.name) for token in found if names[token.digest] != token.name]
    problems += [f"{first!r} and {second!r} have the same token" for first, second in same]
    if not 1 <= len(found) <= _MOST_TOKENS and not problems:
        problems.append(f"it lists {len(found)} tokens; 1 to {_MOST_TOKENS} are possible")
    if problems:
        raise ValueError("; ".join(problems[:_MOST_NAMED]))
    return tuple(found)


def _token(line: str) -> Token:
    columns = line.split()
    if len(columns) != _COLUMNS:
        raise ValueError(f"it has {len(columns)} columns and not {_COLUMNS}: name, rights, datasets, digest")
    name, rights, datasets, digest = columns
    if _NAME.fullmatch(name) is None:
        raise ValueError("a name is 1 to 63 of a-z, 0-9, '.', '_' and '-', and begins with a letter or digit")
    if name == SINGLE:
        raise ValueError(f"{SINGLE!r} is the name of the token that TIMESTORE_API_TOKEN sets; choose another")
    if not set(rights.split(",")) <= set(Right):
        raise ValueError(f"rights are {', '.join(Right)}, separated by commas")
    globs = tuple(datasets.split(","))
    if not all(_GLOB.fullmatch(glob) for glob in globs):
        raise ValueError("datasets are names or globs of names, separated by commas")
    if _DIGEST.fullmatch(digest) is None:
        raise ValueError("a digest is 'sha256:' and 64 hexadecimal digits; make one with `timestore tokens new`")
    may = frozenset(Right(right) for right in rights.split(","))
    return Token(name, may, globs, bytes.fromhex(digest.removeprefix("sha256:")))


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
