"""A JSON array becomes lines without losing a digit, or is refused."""

from __future__ import annotations

import json
from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st

from timestore_pipeline.errors import InvalidData, UnreadableInput
from timestore_pipeline.http_api.json_array import array_to_lines

VALUES = st.recursive(
    st.none() | st.booleans() | st.integers() | st.floats(allow_nan=False, allow_infinity=False) | st.text(),
    lambda inner: st.lists(inner, max_size=3) | st.dictionaries(st.text(), inner, max_size=3),
    max_leaves=5,
)


def lines(folder: Path, body: bytes) -> list[str]:
    (folder / "array").write_bytes(body)
    array_to_lines(folder / "array", folder / "lines")
    return (folder / "lines").read_bytes().decode().split("\n")[:-1]


@given(rows=st.lists(st.dictionaries(st.text(), VALUES, max_size=3), max_size=4), indent=st.sampled_from([None, 1]))
def test_every_object_gets_a_line(tmp_path_factory: pytest.TempPathFactory, rows: list[object], indent: int) -> None:
    body = json.dumps(rows, indent=indent, ensure_ascii=False).encode("utf-8", "surrogatepass")
    found = lines(tmp_path_factory.mktemp("array"), body)
    assert [json.loads(line) for line in found] == rows


def test_numbers_keep_their_digits(tmp_path: Path) -> None:
    assert lines(tmp_path, b'[{"a": 12345678901234567890.10}]') == ['{"a": 12345678901234567890.10}']


@pytest.mark.parametrize(
    "body",
    [
        b"", b"  ", b"{}", b'{"a": 1}', b"[", b'[{"a": 1}', b'[{"a": 1},]', b'[{"a": 1} {"a": 2}]', b'[{"a": 1}] x',
        b'[{"a": 1}][]', b"[{'a': 1}]", b'[{"a": NaN}]', b'[{"a": Infinity}]', b"\xff\xfe[]", b'[{"a": 01}]', b"null",
        b'[{"a": ' + b"[" * 100_000 + b"]" * 100_000 + b"}]", b'[{"a": ' + b"9" * 5000 + b"}]",
    ],
)  # fmt: skip
def test_what_is_not_one_array_is_refused(tmp_path: Path, body: bytes) -> None:
    with pytest.raises(UnreadableInput):
        lines(tmp_path, body)


@pytest.mark.parametrize("body", [b"[1]", b'[{"a": 1}, []]', b'["a"]', b"[null]"])
def test_rows_that_are_no_objects_are_named(tmp_path: Path, body: bytes) -> None:
    with pytest.raises(InvalidData, match=r"row \d is a JSON"):
        lines(tmp_path, body)
