"""Depth of brackets, whatever stands in strings."""

from __future__ import annotations

import json
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from timestore_pipeline.ingest.formats.json_blocks import is_deeper

VALUES: st.SearchStrategy[Any] = st.recursive(
    st.none() | st.text('[]{}",\\n'),
    lambda inner: st.lists(inner, max_size=3) | st.dictionaries(st.text('[]{}"\\'), inner, max_size=3),
)


def depth(value: Any) -> int:
    if not isinstance(value, (list, dict)):
        return 0
    return 1 + max(map(depth, value.values() if isinstance(value, dict) else value), default=0)


@given(st.lists(VALUES, max_size=4), st.integers(1, 4))
def test_the_deepest_value_decides(values: list[Any], most: int) -> None:
    text = "\n".join(map(json.dumps, values))
    assert is_deeper(text.encode(), most) == (max(map(depth, values), default=0) > most)


@pytest.mark.parametrize("text", [b"[" * 100_000, b"]" * 100_000, b"[" * 100_000 + b"]" * 100_000, b'["]",' * 100_000])
def test_a_hundred_thousand_brackets_are_too_deep(text: bytes) -> None:
    assert is_deeper(text, 33)


@pytest.mark.parametrize("text", [b"", b"not json", b"{]", b'{"a": [1', b'"' * 7, b"\\"])
def test_what_is_no_json_is_left_to_the_parser(text: bytes) -> None:
    assert not is_deeper(text, 33)
