"""Pages of the documentation, and their blocks of code.

`python -m tests.support.docs.pages FOLDER` writes each block of Python into a module, for mypy.
"""

from __future__ import annotations

import re
import sys
from functools import cache
from pathlib import Path
from typing import NamedTuple

ROOT = Path(__file__).parents[3]
DOCS = sorted((ROOT / "docs").glob("*.md"))
PAGES = [ROOT / "README.md", ROOT / "CHANGELOG.md", ROOT / "CONTRIBUTING.md", *DOCS]


class Block(NamedTuple):
    """A block of code of a page."""

    page: Path
    line: int
    language: str
    code: str

    def __str__(self) -> str:
        return f"{self.page.name}:{self.line}"


@cache
def text(page: Path) -> str:
    return page.read_text()


def blocks(language: str | None = None) -> list[Block]:
    return [
        Block(page, text(page).count("\n", 0, found.start()) + 2, found[1], found[2])
        for page in PAGES
        for found in re.finditer(r"^```(\w*)\n(.*?)^```$", text(page), re.DOTALL | re.MULTILINE)
        if language in (None, found[1])
    ]


def write_modules(folder: Path) -> None:
    """Write each block of Python into a module, but not those that are files of `examples/`."""
    folder.mkdir(parents=True, exist_ok=True)
    for old in folder.glob("*.py"):
        old.unlink()
    files = {path.read_text() for path in (ROOT / "examples").rglob("*.py")}
    for block in blocks("python"):
        if block.code in files:
            continue
        module = f"{block.page.stem}_{block.line}".lower().replace("-", "_")
        (folder / f"{module}.py").write_text(block.code)


if __name__ == "__main__":
    write_modules(Path(sys.argv[1]))
