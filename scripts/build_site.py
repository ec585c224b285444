"""Builds the documents as a site in .site/html: `make docs` makes the environment for it, and calls it.

The pages are laid out as they lie in the repository, so one link works on a code host and in the site. The builder's
strict mode refuses links to pages and anchors that do not exist, docstrings that it cannot find and references that it
cannot resolve. It does not look at images, files and folders, nor at what its theme loads: so every reference of the
finished pages is followed here, and a page that would load anything from another host is refused.
"""

from __future__ import annotations

import shutil
import subprocess
import sys
from collections.abc import Iterator
from functools import cache
from html.parser import HTMLParser
from pathlib import Path
from urllib.parse import unquote, urlsplit

ROOT = Path(__file__).parents[1]
PAGES = ROOT / ".site" / "pages"
HTML = ROOT / ".site" / "html"
BESIDE_DOCS = ("*.md", "LICENSE", "dagster.yaml")  # what documents link to outside docs/

_NAMED = {"a": "href", "area": "href"}  # a reader may follow these to other hosts
_LOADED = {"link": "href", "script": "src", "img": "src", "iframe": "src", "source": "src", "video": "src"}


class _Page(HTMLParser):
    """The anchors of one page, and what it refers to."""

    def __init__(self, text: str) -> None:
        super().__init__()
        self.anchors: set[str] = set()
        self.named: list[str] = []
        self.loaded: list[str] = []
        self.feed(text)

    def handle_starttag(self, tag: str, attrs: list[tuple[str, str | None]]) -> None:
        values = dict(attrs)
        self.anchors |= {value for key in ("id", "name") if (value := values.get(key))}
        for kind, references in ((_NAMED, self.named), (_LOADED, self.loaded)):
            if value := values.get(kind.get(tag, "")):
                references.append(value)


@cache
def _page(file: Path) -> _Page:
    return _Page(file.read_text())


def lay_out(pages: Path) -> None:
    """Copies, because the builder does not follow a link to a folder."""
    shutil.rmtree(pages, ignore_errors=True)
    shutil.copytree(ROOT / "docs", pages / "docs")
    for pattern in BESIDE_DOCS:
        for file in ROOT.glob(pattern):
            shutil.copy(file, pages)


def problems(html: Path) -> Iterator[str]:
    """Every reference of the finished pages that leads nowhere, or that would load something from another host."""
    for file in sorted(html.rglob("*.html")):
        page = _page(file)
        for reference in page.named + page.loaded:
            if not urlsplit(reference).scheme and not reference.startswith("//"):
                if not _resolves(html, file, reference):
                    yield f"{file.relative_to(html)}: {reference} leads nowhere"
            elif reference in page.loaded:
                yield f"{file.relative_to(html)}: {reference} would be loaded from another host"
    for sheet in sorted(html.rglob("*.css")):
        if "url(http" in sheet.read_text() or "url(//" in sheet.read_text():
            yield f"{sheet.relative_to(html)}: loads something from another host"


def _resolves(html: Path, file: Path, reference: str) -> bool:
    parts = urlsplit(reference)
    path = unquote(parts.path)
    target = html / path.lstrip("/") if path.startswith("/") else file.parent / path if path else file
    if target.is_dir():
        target /= "index.html"
    if not target.is_file():
        return False
    return not parts.fragment or target.suffix != ".html" or unquote(parts.fragment) in _page(target.resolve()).anchors


def main() -> int:
    lay_out(PAGES)
    builder = Path(sys.executable).with_name("zensical")
    built = subprocess.run([builder, "build", "--strict", "--clean"], cwd=ROOT, check=False)
    if built.returncode != 0:
        return built.returncode
    found = list(problems(HTML))
    sys.stderr.writelines(f"{problem}\n" for problem in found)
    sys.stdout.write(f"{len(list(HTML.rglob('*.html')))} pages: {HTML.relative_to(ROOT) / 'index.html'}\n")
    return 1 if found else 0


if __name__ == "__main__":
    sys.exit(main())
