"""Batches whose columns are ever others: fields join objects, columns join the table, some are left out."""

from __future__ import annotations

from hypothesis import strategies as st

from tests.values import python_kinds
from tests.values.kinds import Batch, Column, Kind
from tests.values.sources import AT_ROWS, batch_of

_LEAVES = {kind.name: kind for kind in python_kinds.LEAVES}
_SMALL = Kind("small int", st.integers(-(2**53), 2**53))  # what a column of floats can take over
_FIELDS = {
    "count": _SMALL,
    "ratio": _LEAVES["float"],
    "note": _LEAVES["str"],
    "raw": _LEAVES["bytes"],
    "at": _LEAVES["datetime with zone"],
    "local": _LEAVES["datetime without zone"],
    "took": _LEAVES["timedelta"],
    "id": _LEAVES["uuid"],
}  # a field has one kind wherever it is, so that an object with other fields is the same object grown


def _object(draw: st.DrawFn) -> Kind:
    fields = {name: _FIELDS[name] for name in draw(st.lists(st.sampled_from(list(_FIELDS)), max_size=3, unique=True))}
    if draw(st.integers(0, 3)) == 0:
        fields["inner"] = python_kinds.objects(
            {name: _FIELDS[name] for name in ("count", "note", "local")[: draw(st.integers(1, 3))]}
        )
    return python_kinds.objects(fields)


def _kind(draw: st.DrawFn, letter: str) -> Kind:
    if letter == "o":
        return _object(draw)
    if letter == "l":
        return python_kinds.lists(_SMALL)
    if letter == "p":
        return python_kinds.lists(_object(draw))
    return list(_FIELDS.values())["cxtbuvds".index(letter)]


@st.composite
def growing(draw: st.DrawFn, first: int) -> Batch:
    """Rows in Python; a column's name begins with a letter for its kind."""
    rows = draw(st.integers(1, 4))
    names = draw(
        st.lists(st.builds("{}{}".format, st.sampled_from("cxtbuvdsoollp"), st.integers(0, 6)), max_size=4, unique=True)
    )
    columns = [Column("at", AT_ROWS, draw(st.lists(AT_ROWS.or_null, min_size=rows, max_size=rows)))]
    for name in names:
        kind = _kind(draw, name[0])
        columns.append(Column(name, kind, draw(st.lists(kind.or_null, min_size=rows, max_size=rows))))
    cells = [{column.name: column.values[n] for column in columns} for n in range(rows)]
    return batch_of(columns, first, [{"row": first + n, **cells[n]} for n in range(rows)])
