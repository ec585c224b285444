"""gzip is undone to the byte, or refused."""

from __future__ import annotations

import gzip
import random
from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st

from timestore_pipeline.doors.http.unpack import gunzip
from timestore_pipeline.errors import BodyTooLarge, UnreadableInput

MIB = 1 << 20


def unpacked(folder: Path, packed: bytes, most: int = 64 * MIB) -> bytes:
    (folder / "packed").write_bytes(packed)
    gunzip(folder / "packed", folder / "plain", most)
    return (folder / "plain").read_bytes()


@pytest.mark.parametrize("size", [0, 1, 65_535, 65_536, 65_537, 3 * MIB])
def test_what_was_packed_comes_out(tmp_path: Path, size: int) -> None:
    for plain in (random.Random(size).randbytes(size), b"abc" * (size // 3)):
        assert unpacked(tmp_path, gzip.compress(plain)) == plain


def test_several_members_are_one_body(tmp_path: Path) -> None:
    assert unpacked(tmp_path, gzip.compress(b"one ") + gzip.compress(b"") + gzip.compress(b"two")) == b"one two"


@given(cut=st.integers(min_value=1, max_value=200))
def test_whatever_is_cut_off_is_missed(tmp_path_factory: pytest.TempPathFactory, cut: int) -> None:
    packed = gzip.compress(random.Random(1).randbytes(300))
    with pytest.raises(UnreadableInput, match="too early"):
        unpacked(tmp_path_factory.mktemp("cut"), packed[:-cut])


@pytest.mark.parametrize(
    "packed",
    [b"plain text", gzip.compress(b"x" * 100) + b"garbage", b"\x1f\x8b\x08\xff" * 9],
    ids=["text", "garbage after the end", "an unknown flag"],
)
def test_what_is_not_gzip_is_refused(tmp_path: Path, packed: bytes) -> None:
    with pytest.raises(UnreadableInput):
        unpacked(tmp_path, packed)


def test_a_wrong_checksum_is_refused(tmp_path: Path) -> None:
    packed = bytearray(gzip.compress(b"some text"))
    packed[-6] ^= 1
    with pytest.raises(UnreadableInput, match="not valid gzip"):
        unpacked(tmp_path, bytes(packed))


def test_a_bomb_is_refused_by_its_ratio_before_it_is_large(tmp_path: Path) -> None:
    with pytest.raises(BodyTooLarge, match="200 times"):
        unpacked(tmp_path, gzip.compress(bytes(40 * MIB)))
    assert (tmp_path / "plain").stat().st_size <= 9 * MIB


def test_a_body_that_is_too_large_unpacked_is_refused(tmp_path: Path) -> None:
    with pytest.raises(BodyTooLarge, match="more than 100000 bytes"):
        unpacked(tmp_path, gzip.compress(random.Random(1).randbytes(100_001)), 100_000)
