"""Recognises a full disk in the errors of every library that writes files."""

from __future__ import annotations

import errno
import os

_NUMBERS = (errno.ENOSPC, errno.EDQUOT)
_PHRASES = (*map(os.strerror, _NUMBERS), *(f"os error {number}" for number in _NUMBERS), "not enough space")


def is_disk_full(error: Exception) -> bool:
    """By error number where there is one; DuckDB, Arrow and deltalake give only a text.

    Not for an error about data: it may quote a value, and a value may contain these words.
    """
    return getattr(error, "errno", None) in _NUMBERS or any(phrase in str(error) for phrase in _PHRASES)
