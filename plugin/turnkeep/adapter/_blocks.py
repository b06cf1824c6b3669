"""The code blocks and tables of a model's Markdown, also where they are not quite CommonMark."""

from __future__ import annotations

import re
from collections.abc import Iterator
from typing import Final, NamedTuple

__all__ = ["Block", "Line", "code_parts", "fence_after", "lines_of", "tidy", "without"]

_PREFIX: Final = r"((?:[ \t]|>|[-*+][ \t]|\d{1,9}[.)][ \t]){0,40})"
_OPENS: Final = re.compile(_PREFIX + r"(`{3,}(?=[^`\n]{0,100}$)|~{3,})[ \t]*([^\s`]*)")
"""A line that goes on for longer is text, so that its beginning tells what it is."""
_OPENS_LATE: Final = re.compile(r"(`{3,})([\w+#.-]*)[ \t]*$")
_CLOSES: Final = re.compile(r"[ \t>]*(`{3,}|~{3,})(.*)")
_CLOSES_LATE: Final = re.compile(r"[ \t>]*[^`\s>][^`]*(`{3,})[ \t]*$")
_MAX_INFO: Final = 32
"""The characters of a language that are repeated where a block goes on."""

_RUN: Final = re.compile(r"`{3,}")
_DELIMITERS: Final = re.compile(r"[ \t>]*\|?[ \t]*:?-+:?[ \t]*(\|[ \t]*:?-+:?[ \t]*)*\|?[ \t]*$")


class Block(NamedTuple):
    """A code block (`mark` is its fence) or a table (`mark` is "", `info` its head)."""

    prefix: str
    mark: str
    info: str

    @property
    def is_code(self) -> bool:
        """True for a code block, False for a table."""
        return bool(self.mark)


class Line(NamedTuple):
    """A line, and the block that it belongs to.

    `part` is "open" for a block's first line, "close" for the last fence of code, else "".
    A line outside of blocks has no block.
    """

    text: str
    block: Block | None = None
    part: str = ""


def tidy(text: str) -> str:
    """Return the text with a line of its own for each fence of a code block."""
    return "\n".join(line.text for line in lines_of(text))


def fence_after(text: str) -> Block | None:
    """Return the code block that is open at the end of the text, or None."""
    block: Block | None = None
    for line in _code_lines(text):
        block = None if line.part == "close" else line.block
    return block


def code_parts(text: str) -> Iterator[tuple[str, Block | None]]:
    """Yield the text in parts: each code block without its fences, and what is between them."""
    part: list[str] = []
    last: Block | None = None
    for line in lines_of(text):
        code = line.block if line.block is not None and line.block.is_code else None
        if not line.part or code is None:
            part.append(line.text if code is None else without(code.prefix, line.text))
            continue
        yield "\n".join(part), last
        part = []
        last = code if line.part == "open" else None
    if part:
        yield "\n".join(part), last


def without(prefix: str, line: str) -> str:
    """Return the line without the indentation and the marks of quotes of its block."""
    shared = 0
    while shared < min(len(prefix), len(line)) and line[shared] in " \t>":
        shared += 1
    return line[shared:]


def lines_of(text: str) -> Iterator[Line]:
    """Yield the lines of the text, each fence of a code block on a line of its own."""
    waiting: Line | None = None  # it may be the head of a table
    table: Block | None = None
    for line in _code_lines(text):
        if waiting is not None:
            if line.block is None and _is_table(waiting.text, line.text):
                table = Block("", "", f"{waiting.text}\n{line.text}\n")
                yield Line(waiting.text, table, "open")
                yield Line(line.text, table)
                waiting = None
                continue
            yield waiting
            waiting = None
        if table is not None and line.block is None and "|" in line.text:
            yield Line(line.text, table)
            continue
        table = None
        if line.block is None and "|" in line.text:
            waiting = line
        else:
            yield line
    if waiting is not None:
        yield waiting


def _is_table(head: str, delimiters: str) -> bool:
    return (
        "|" in delimiters
        and _DELIMITERS.match(delimiters) is not None
        and head.strip(" \t>|").count("|") == delimiters.strip(" \t>|").count("|")
    )


def _code_lines(text: str) -> Iterator[Line]:
    """Yield the lines with the code blocks that they belong to."""
    block: Block | None = None
    for line in text.split("\n"):
        found = _outside(line) if block is None else _inside(line, block)
        yield from found
        block = None if found[-1].part == "close" else found[-1].block


def _outside(line: str) -> list[Line]:
    if "```" not in line and "~~~" not in line:
        return [Line(line)]
    if (found := _OPENS.match(line)) is not None:
        prefix = re.sub(r"[^\s>]", " ", found[1])
        return [Line(line, Block(prefix, found[2], found[3][:_MAX_INFO]), "open")]
    late = _OPENS_LATE.search(line)
    if late is None or len(_RUN.findall(line)) % 2 == 0:
        return [Line(line)]
    block = Block("", late[1], late[2][:_MAX_INFO])
    return [Line(line[: late.start()].rstrip()), Line(late[1] + late[2], block, "open")]


def _inside(line: str, block: Block) -> list[Line]:
    mark = block.mark
    if mark[:3] not in line:
        return [Line(line, block)]
    found = _CLOSES.match(line)
    if found is not None and found[1].startswith(mark):
        rest = found[2]
        # A word that follows the fence at once is the language of a block inside of the block.
        if not rest.strip():
            return [Line(line, block, "close")]
        if mark[0] == "`" and not re.match(r"[\w+#{]|[ \t]*[^\s`]*`", rest):
            return [Line(line[: found.end(1)], block, "close"), *_outside(rest.lstrip())]
    late = _CLOSES_LATE.match(line)
    if late is not None and late[1] == mark:
        end = Line(block.prefix + mark, block, "close")
        return [Line(line[: late.start(1)], block), end]
    return [Line(line, block)]
