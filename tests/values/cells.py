"""What may stand in a cell: themes of a column, and what only looks like them."""

from __future__ import annotations

from hypothesis import strategies as st


def _words(text: str) -> st.SearchStrategy[str]:
    """One of these; `|` stands between them."""
    return st.sampled_from(text.split("|"))


WHOLE = st.one_of(st.integers(0, 99), st.integers(-(2**63), 2**63 - 1)).map(str)
PLAIN_FRACTIONS = st.tuples(st.integers(-999, 999), st.integers(1, 999)).map(lambda pair: f"{pair[0]}.{pair[1]:03}")
LONG = st.one_of(
    st.integers(10**19, 10**40).map(str),
    st.integers(10**17, 10**25).map(lambda n: f"0.{n}"),
    st.integers(10**16, 10**20).map(lambda n: f"{n}.5"),
)
EXPONENTS = _words("1e5|1E400|12e4567|1e-7|1e-400|-2.50e3|5e-324|1e22|123e45")
ZEROS = st.integers(0, 99_999).map(lambda n: f"{n:06}")
ALMOST_NUMBERS = st.one_of(
    _words("Nan|NaN|nan|inf|-inf|Infinity|Inf|None|-|+|.|e5|0x1f|1_000|١٢|+5|-0|-0.0|00|007|1.|.5"),
    _words(" 5|5 |1.50|1,5|1.000,5|1 000"),
)
MISSING = _words("NA|N/A|#N/A|null|NULL|n/a|nil|NaN|\\N|-")
DAYS = st.dates().map(str)
INSTANTS = st.one_of(
    st.datetimes().map(lambda v: v.isoformat() + "Z"),
    _words("2026-01-01T00:00:00Z|2026-01-01 00:00:00+01:00|2026-01-01T00:00:00.5Z|2026-01-01T05:30:00+05:30"),
)
FINE = _words("2026-01-01T00:00:00.1234567Z|2026-01-01T00:00:00.1234560Z|2026-01-01T00:00:00.123456789Z")
LOCAL = st.datetimes().map(lambda v: v.isoformat(" "))
ALMOST_DATES = _words(
    "2026-02-30|29.11.2026 10:00|2026-1-1|01/02/2026|2026-01-01T25:00:00Z|20260101|10:00|12:30:15|12:30:15.1234567"
)
TRUTHS = _words("true|false|True|FALSE")
WORDS = st.text(st.characters(exclude_categories=["Cs"], exclude_characters="\0\r"), max_size=8)
QUOTED = _words('say "hi"|a,b|a\nb|"|""|a;b|=1+1|\t|\'')
_NUMBERS = (WHOLE, PLAIN_FRACTIONS, LONG, EXPONENTS, ZEROS, ALMOST_NUMBERS)
_TIMES = (DAYS, INSTANTS, FINE, LOCAL, ALMOST_DATES)
THEMES = (*_NUMBERS, *_TIMES, MISSING, TRUTHS, WORDS, QUOTED)
