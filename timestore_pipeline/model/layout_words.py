"""Sentences about a dataset's layout, above all while it is open: no row has a time yet."""

from __future__ import annotations

NO_TIME = "no batch that was staged has a time in any row"

UNTIL_TIME = "when a row with a time is staged, or the time column is declared"


def declare_time(dataset: str) -> str:
    """The command that names a time column, for a dataset in which none was found."""
    return f"timestore datasets set {dataset} timeColumn=COLUMN"


def undecided(dataset: str) -> str:
    """Why no row of the dataset is published under `partition.undecided = wait`."""
    return f"{NO_TIME}, and partition.undecided is wait; `{declare_time(dataset)}` names the column"


def layout_sentence(time_column: str | None, granularity: str | None, named: str | None, *, staged: bool) -> str:
    """How a dataset is laid out, and why. named: the time column of its metadata. staged: it has columns."""
    if granularity is None:
        wanted = f"by {named!r}, as declared, " if named else ""
        return (
            f"open: {wanted}decided {UNTIL_TIME}" if staged else f"{wanted}decided with the first row that has a time"
        )
    if time_column is None:
        return "not partitioned: published before any row had a time"
    why = "declared" if named == time_column else "the first column with a time"
    return f"by {time_column!r} per {granularity}: {why}"
