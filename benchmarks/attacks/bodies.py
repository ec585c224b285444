"""Attacks by bodies that are more work than they look. The attackers have a token."""

from __future__ import annotations

import gzip
import json
from collections.abc import Callable, Mapping
from functools import cache, partial

from benchmarks.attacks.connections import Attack, Prepare
from benchmarks.attacks.target import Target

Body = tuple[str, bytes, dict[str, str]]  # content type, body, headers

_NDJSON, _JSON, _CSV = "application/x-ndjson", "application/json", "text/csv"
_PACKED = {"content-encoding": "gzip"}


def _sparse(keys: int, rows: int) -> bytes:
    """Each row has one key of many."""
    return b"\n".join(b'{"k%d": 1e0}' % (row % keys) for row in range(rows))


def _wide() -> bytes:
    return b",".join(b"c%d" % number for number in range(10_000)) + b"\n" + b"1," * 9_999 + b"1\n"


# Each is made when it is needed.
_BODIES: Mapping[str, Callable[[], Body]] = {
    "sparse NDJSON, packed": lambda: (_NDJSON, gzip.compress(_sparse(1_900, 100_000)), _PACKED),
    "NDJSON with 1,900 keys": lambda: (_NDJSON, _sparse(1_900, 15_000), {}),
    "ten thousand columns": lambda: (_CSV, _wide(), {}),
    "a column name of 10 MB": lambda: (_CSV, b"n" * (10 << 20) + b"\n1\n", {}),
    "a million JSON keys": lambda: (_JSON, json.dumps([dict.fromkeys(map(str, range(1_000_000)), 1)]).encode(), {}),
    "100,000 gzip members": lambda: (_CSV, gzip.compress(b"") * 100_000 + gzip.compress(b"a\n1\n"), _PACKED),
    "bodies that occupy the readers": lambda: (_CSV, b"a,b\n" + b"x" * 4_000_000 + b",1\n" * 1_000_000, {}),
}


@cache
def _body(name: str) -> Body:
    return _BODIES[name]()


def _sent(target: Target, name: str) -> Attack:
    content_type, content, headers = _body(name)

    def attack() -> None:
        target.post(content, content_type, headers)

    return attack


ATTACKS: Mapping[str, Prepare] = {name: partial(_sent, name=name) for name in _BODIES}
