"""The figures as Markdown: what was measured, and whether every target holds."""

from __future__ import annotations

from collections.abc import Iterator, Sequence

from benchmarks.contenders import contenders
from benchmarks.figures import MEASURES, Figure, Judged, Results, Verdict
from benchmarks.targets import GROUPS, PUBLISHED, Group, Target

PLOTS = ("performance-one-producer.png", "performance-eight-producers.png", "performance-targets.png")

_PARTS = {  # heading, and what its cases are
    "one_producer": ("One producer that waits for each receipt", "rows a batch"),
    "eight_producers": ("Eight processes that wait, one destination", "rows a batch"),
    "submitted": ("One producer that does not wait", "rows a batch"),
    "eight_submitting": ("Eight processes that do not wait, one dataset", "rows a batch"),
    "many_datasets": ("Many datasets in one process", "datasets"),
    "flushes": ("Flushes, claim to finalize", "rows x days"),
    "beside_a_flush": ("A producer beside a large flush", "rows a batch"),
    "one_sensor": ("One sensor of many", "reader"),
    "ledger": ("A ledger with a past", "step"),
    "upkeep": ("Operating", "what"),
    "dagster_runs": ("Datasets due at one tick of Dagster's daemon", "datasets"),
}
_EXPLAINED = {"copy": "a bare `COPY ... ORDER BY`", "record": "an Arrow record, CPU alone", "resting": "at rest"} | {
    "flushing": "during a flush of another dataset",
    "by_time": "in order of time",
    "by_sensor": "sorted by sensor, narrow row groups",
    "published": f"{PUBLISHED:,} published batches",
    "none": "no published batch",
    "shared": "shared runs",
    "alone": "one run per dataset, extrapolated",
}


def page(results: Results) -> str:
    """docs/performance-figures.md."""
    lines = [
        "# Performance figures",
        "",
        "Written by `make bench`, as [performance.md](performance.md) explains; not edited by hand.",
        "Medians over rounds in which every contender had its turn, lowest and highest round in brackets.",
        "",
        *(f"- {what}: {value}" for what, value in results.machine.items()),
        "",
        "## Targets",
        *(line for group in GROUPS for line in ("", f"**{group.heading}**", "", *targets_table(results, group))),
        "",
        *(f"![{plot}](images/{plot})" for plot in PLOTS if results.figures),
        "",
        *_figures(results),
        *_missing(results),
    ]
    return "\n".join(lines).rstrip() + "\n"


def targets_table(results: Results, group: Group) -> Iterator[str]:
    yield "| target | limit | measured | |"
    yield "|---|---|---|---|"
    for judged in map(results.judge, group.targets):
        yield f"| {judged.target.name} | {limit(judged.target)} | {_measured(judged)} | {_verdict(judged)} |"


def limit(target: Target) -> str:
    """As `<= 4 x` or `>= 0.7 of the mean`."""
    sign = ">=" if target.at_least else "<="
    return f"{sign} {target.limit:g} {'x' if target.beside else unit(target.figure)}"


def unit(key: str) -> str:
    return MEASURES[key.rpartition(".")[2]][1]


def spread(figure: Figure) -> str:
    return f"{number(figure.median)} ({number(figure.lowest)} to {number(figure.highest)})"


def number(value: float) -> str:
    """Three digits that count."""
    return f"{value:,.0f}" if value >= 100 else f"{value:.3g}"


def title(contender: str) -> str:
    known = contenders()
    return known[contender].title if contender in known else _EXPLAINED[contender]


def _measured(judged: Judged) -> str:
    return "" if judged.figure is None else spread(judged.figure)


def _verdict(judged: Judged) -> str:
    if judged.verdict is Verdict.NOT_MEASURED:
        return f"not measured: {judged.reason}"
    return f"**{judged.verdict}**" if judged.verdict is Verdict.NOT_MET else str(judged.verdict)


def _figures(results: Results) -> Iterator[str]:
    for part, (heading, case) in _PARTS.items():
        found = {key: figure for key, figure in results.figures.items() if key.startswith(f"{part}.")}
        if found:
            yield from (f"## {heading}", "", *_part_table(found, case), "")


def _part_table(found: dict[str, Figure], case: str) -> Iterator[str]:
    """A row for each case and contender, a column for each measure."""
    measures = list(dict.fromkeys(key.rpartition(".")[2] for key in found))
    yield f"| {case} | | {' | '.join(MEASURES[measure][0] for measure in measures)} |"
    yield f"|---|---|{'---|' * len(measures)}"
    for where in sorted(dict.fromkeys(key.rpartition(".")[0] for key in found), key=_case_order):
        _, which, contender = where.split(".")
        yield f"| {which} | {title(contender)} | {' | '.join(_cells(found, where, measures))} |"


def _cells(found: dict[str, Figure], where: str, measures: Sequence[str]) -> Iterator[str]:
    for measure in measures:
        figure = found.get(f"{where}.{measure}")
        yield spread(figure) if figure else ""


def _case_order(where: str) -> tuple[int, str]:
    case = where.split(".")[1]
    return (int(case.partition("x")[0]) if case[0].isdigit() else 0, "" if case[0].isdigit() else case)


def _missing(results: Results) -> Iterator[str]:
    if results.missing:
        yield from ("## Not measured", "", *(f"- {where}: {reason}" for where, reason in results.missing.items()))
