"""`python scripts/tree_figures.py [PACKAGE]`: figures that show whether the tree becomes easier to maintain.

Counted in the product package only. Run it in two checkouts to compare them.
"""

from __future__ import annotations

import ast
import re
import statistics
import sys
from collections import Counter
from collections.abc import Iterable, Iterator
from pathlib import Path

DIALECT = re.compile(r"\b(whoever|nobody|somebody|anybody|told)\b", re.IGNORECASE)

Function = ast.FunctionDef | ast.AsyncFunctionDef


def figures(package: Path) -> Iterator[tuple[str, object]]:
    """Names of figures and their values."""
    texts = {path: path.read_text() for path in sorted(package.rglob("*.py"))}
    trees = {path: ast.parse(text) for path, text in texts.items()}
    lengths = sorted(_body_lines(function) for tree in trees.values() for function in _functions(tree))
    yield "packages and modules at the top level", len(_top_level(package))
    yield "files", len(texts)
    yield "lines", sum(text.count("\n") for text in texts.values())
    yield "lines of a function's body, median", statistics.median(lengths)
    yield "lines of a function's body, 90th percentile", lengths[len(lengths) * 9 // 10]
    yield "class names that stand more than once", len(_repeated(_classes(trees.values())))
    yield "module names that stand more than once", len(_repeated(path.stem for path in texts if path.stem[0] != "_"))
    yield "private functions", sum(1 for tree in trees.values() for _ in _private(tree))
    yield "private functions used once in their module", sum(_used_once(trees[path], texts[path]) for path in texts)
    yield "files of more than 250 lines", sum(text.count("\n") > 250 for text in texts.values())
    yield "words of the dialect", sum(len(DIALECT.findall(text)) for text in texts.values())


def _top_level(package: Path) -> list[Path]:
    return [path for path in package.iterdir() if path.suffix == ".py" or (path / "__init__.py").exists()]


def _functions(tree: ast.AST) -> Iterator[Function]:
    return (node for node in ast.walk(tree) if isinstance(node, Function))


def _body_lines(function: Function) -> int:
    """Without the docstring."""
    body = function.body[1:] if ast.get_docstring(function) is not None else function.body
    return (body[-1].end_lineno or 0) - body[0].lineno + 1 if body else 0


def _classes(trees: Iterable[ast.Module]) -> Iterator[str]:
    for tree in trees:
        yield from (node.name for node in ast.walk(tree) if isinstance(node, ast.ClassDef) and node.name[0] != "_")


def _repeated(names: Iterable[str]) -> list[str]:
    return [name for name, count in Counter(names).items() if count > 1]


def _private(tree: ast.AST) -> Iterator[Function]:
    return (function for function in _functions(tree) if re.match(r"_(?!_)", function.name))


def _used_once(tree: ast.AST, text: str) -> int:
    """Their definition is one occurrence, their use the other."""
    return sum(len(re.findall(rf"\b{function.name}\b", text)) == 2 for function in _private(tree))


if __name__ == "__main__":
    root = Path(sys.argv[1] if sys.argv[1:] else Path(__file__).parents[1] / "timestore_pipeline")
    for figure, value in figures(root):
        print(f"{figure:45} {value:>8}")  # noqa: T201
