"""Tables of a model's Markdown, as code blocks for platforms that show no tables."""

from __future__ import annotations

import re
import unicodedata
from collections.abc import Sequence
from typing import Final

from ._blocks import lines_of

__all__ = ["tables_as_code"]

_PIPE: Final = re.compile(r"(?<!\\)\|")
_MARKED: Final = re.compile(r"(\*\*|__|~~|`)(?=\S)(.+?)(?<=\S)\1")
_LINK: Final = re.compile(r"!?\[([^\]\n]*)\]\(<?([^)\s>]*)>?\)")
_BREAK: Final = re.compile(r"<br ?/?>")


def tables_as_code(text: str, limit: int) -> str:
    """Return the text with its tables as code blocks, if that has at most `limit` characters.

    The columns are aligned, or else only separated. A text for which neither fits stays as it is.

    >>> print(tables_as_code("| a | b |\\n|---|---|\\n| long | 1 |", 100))
    ```
    a    | b
    -----+--
    long | 1
    ```
    """
    if "|" not in text:
        return text
    for is_aligned in (True, False):
        shown = _with_tables(text, is_aligned=is_aligned)
        if len(shown) <= limit:
            return shown
    return text


def _with_tables(text: str, *, is_aligned: bool) -> str:
    done: list[str] = []
    rows: list[str] = []
    for line in lines_of(text):
        is_row = line.block is not None and not line.block.is_code
        if rows and (not is_row or line.part == "open"):
            done += _shown(rows, is_aligned=is_aligned)
            rows = []
        (rows if is_row else done).append(line.text)
    if rows:
        done += _shown(rows, is_aligned=is_aligned)
    return "\n".join(done)


def _shown(lines: Sequence[str], *, is_aligned: bool) -> list[str]:
    """Return a table, whose second line is the one of dashes, as the lines of a code block."""
    dashes = _cells(lines[1])
    rows = [[_plain(cell) for cell in _cells(line)] for line in (lines[0], *lines[2:])]
    widths = [
        max(_width(row[i]) if i < len(row) else 0 for row in rows) for i in range(len(dashes))
    ]
    if not is_aligned:
        widths = [0] * len(widths)
    is_right = [cell.endswith(":") and not cell.startswith(":") for cell in dashes]
    shown = [_row(row, widths, is_right) for row in rows]
    if is_aligned:
        shown.insert(1, "-+-".join("-" * width for width in widths))
    return ["```", *shown, "```"]


def _row(row: Sequence[str], widths: Sequence[int], is_right: Sequence[bool]) -> str:
    cells: list[str] = []
    for i, cell in enumerate(row):
        space = " " * (widths[i] - _width(cell)) if i < len(widths) else ""
        cells.append(space + cell if i < len(widths) and is_right[i] else cell + space)
    return " | ".join(cells).rstrip()


def _cells(line: str) -> list[str]:
    line = line.strip(" \t>")
    line = line.removeprefix("|")
    if line.endswith("|") and not line.endswith("\\|"):
        line = line[:-1]
    return [cell.strip() for cell in _PIPE.split(line)]


def _plain(cell: str) -> str:
    """Return a cell without marks that code does not show; a link keeps its address."""
    cell = _BREAK.sub(" ", _LINK.sub(_link, _MARKED.sub(r"\2", cell)))
    return cell.replace("\\|", "|").replace("```", "'''")


def _link(found: re.Match[str]) -> str:
    words, address = found[1], found[2]
    return words if words == address or not address else f"{words} ({address})".lstrip()


def _width(text: str) -> int:
    """Return the columns that a text takes in a font of equal widths."""
    wide = sum(unicodedata.east_asian_width(one) in "WF" for one in text)
    return len(text) + wide - sum(unicodedata.category(one) in ("Mn", "Me", "Cf") for one in text)
