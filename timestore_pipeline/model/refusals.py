"""Where data are refused in words: every refusal names the column, what was found there, and the way out.

A value's refusal also names its row, counted from 0 in the batch as it was handed over, and what it was taken for.
"""

from __future__ import annotations

from timestore_pipeline.errors import InvalidData

SHOWN_CHARACTERS = 200  # of a value or a type


class UnfitValue(Exception):
    """A value that cannot be kept, on its way to where its row is known."""

    def __init__(self, path: str, value: str, taken_for: str, problem: str, remedy: str) -> None:
        super().__init__(path, value)
        self.path = path
        self.value = value
        self.taken_for = taken_for
        self.problem = problem
        self.remedy = remedy

    def in_row(self, row: int) -> InvalidData:
        return refused_value(self.path, row, self.value, self.taken_for, self.problem, self.remedy)


def refused_value(path: str, row: int, value: str, taken_for: str, problem: str, remedy: str) -> InvalidData:
    """`column 'v', row 3: 2.5 (double) was taken for int64, …`: problem is the rest of that sentence."""
    shown = value[:SHOWN_CHARACTERS]
    error = InvalidData(f"column {path!r}, row {row}: {shown} was taken for {taken_for}, {problem}", hint=remedy)
    error.row = row
    return error


def refused_type(path: str, type_: object, remedy: str, problem: str = "which datasets cannot hold") -> InvalidData:
    """`column 'v' has type interval, which datasets cannot hold`."""
    return InvalidData(f"column {path!r} has type {str(type_)[:SHOWN_CHARACTERS]}, {problem}", hint=remedy)
