"""A model's Markdown as Telegram's text and entities, which Telegram has not to parse."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any, Final

from aiogram.types import MessageEntity
from markdown_it import MarkdownIt
from markdown_it.token import Token

from turnkeep.adapter import code_parts, tables_as_code

from ._blocks import LINKED

__all__ = ["render_markdown"]

_MAX_TEXT: Final = 4096
_MAX_ENTITIES: Final = 100
_KEPT: Final = ("pre", "text_link", "blockquote")  # where there are too many
_RULE: Final = "———"
_STYLES: Final = {"strong_close": "bold", "em_close": "italic", "s_close": "strikethrough"}

# Code blocks are found by `code_parts`, which takes what models write beside CommonMark.
# A line of dashes behind a growing paragraph is a rule, and HTML is shown as it is.
_OFF: Final = ["fence", "lheading", "html_block", "html_inline", "reference"]
_FIRST: Final = MarkdownIt("commonmark").enable(["strikethrough"]).disable(_OFF)
# Behind a code block, what is indented may go on with the list that the block was in.
_LATER: Final = MarkdownIt("commonmark").enable(["strikethrough"]).disable(["code", *_OFF])


def render_markdown(text: str) -> dict[str, Any]:
    """Return `text`, `entities` and `parse_mode` of `sendMessage` for a piece of Markdown.

    - Headings are bold, list items have a bullet or their number, tables are code blocks.
    - What Telegram cannot show stays as it was written: HTML, and links to other than the web,
      mail, telephones and Telegram.
    - A code block without an end is shown as code, other marks without an end as they are.
    """
    shown = _Shown()
    markdown = _FIRST
    for content, block in code_parts(tables_as_code(text, _MAX_TEXT)):
        if block is None:
            prose = _Prose(shown)
            for token in markdown.parse(content):
                prose.add(token)
        elif content.strip():
            shown.new_line()
            with_language = {"language": block.info} if block.info else {}
            shown.add(content.rstrip("\n"), "pre", **with_language)
            markdown = _LATER
    if not shown.text.strip():
        return {"text": text, "parse_mode": None}
    return {"text": shown.text, "entities": shown.entities, "parse_mode": None}


class _Shown:
    """The text so far, and its entities, whose offsets count UTF-16 units."""

    def __init__(self) -> None:
        self._parts: list[str] = []
        self.end = 0
        self._found: list[MessageEntity] = []

    @property
    def text(self) -> str:
        return "".join(self._parts)

    @property
    def entities(self) -> list[MessageEntity]:
        """The entities, outer ones before inner ones; Telegram leaves out all but 100."""
        first = sorted(self._found, key=lambda one: one.type not in _KEPT)[:_MAX_ENTITIES]
        return sorted(first, key=lambda one: (one.offset, -one.length))

    def new_line(self, count: int = 1) -> None:
        if self._parts:
            self.add("\n" * count)

    def add(self, text: str, kind: str | None = None, **fields: Any) -> None:
        begin = self.end
        self._parts.append(text)
        self.end += len(text.encode("utf-16-le", "surrogatepass")) // 2
        if kind is not None:
            self.mark(begin, kind, **fields)

    def mark(self, begin: int, kind: str, **fields: Any) -> None:
        """Make what was added since `begin` an entity; one of a style leaves out code."""
        codes = [one for one in self._found if one.type == "code" and one.offset >= begin]
        for code in codes if kind in _STYLES.values() else ():
            self._note(begin, code.offset, kind, fields)
            begin = code.offset + code.length
        self._note(begin, self.end, kind, fields)

    def _note(self, begin: int, end: int, kind: str, fields: dict[str, Any]) -> None:
        if end > begin:
            length = end - begin
            self._found.append(MessageEntity(type=kind, offset=begin, length=length, **fields))


class _Prose:
    """Adds the Markdown between code blocks, on as many lines as it was written on."""

    def __init__(self, shown: _Shown) -> None:
        self._shown = shown
        self._line = 0
        self._numbers: list[int | None] = []  # of the next items of the lists around
        self._label = ""
        self._is_heading = False
        self._quotes: list[int | None] = []  # where the quotes around begin

    def add(self, token: Token) -> None:
        match token.type:
            case "bullet_list_open":
                self._numbers.append(None)
            case "ordered_list_open":
                self._numbers.append(int(token.attrs.get("start", 1)))
            case "bullet_list_close" | "ordered_list_close":
                self._numbers.pop()
            case "list_item_open":
                self._begin_item()
            case "list_item_close":
                self._label = ""
            case "blockquote_open":
                self._quotes.append(None)
            case "blockquote_close":
                begin = self._quotes.pop()
                if not self._quotes and begin is not None:  # quotes do not nest on Telegram
                    self._shown.mark(begin, "blockquote")
            case "heading_open" | "heading_close":
                self._is_heading = token.nesting > 0
            case "hr":
                self._begin_line(token)
                self._shown.add(_RULE)
            case "code_block":
                self._begin_line(token)
                self._shown.add(token.content.rstrip("\n"), "pre")
            case "inline":
                self._begin_line(token)
                begin = self._shown.end
                _add_inline(self._shown, token.children or ())
                if self._is_heading:
                    self._shown.mark(begin, "bold")

    def _begin_item(self) -> None:
        number = self._numbers[-1]
        indent = "  " * (len(self._numbers) - 1)
        self._label += f"{indent}• " if number is None else f"{indent}{number}. "
        if number is not None:
            self._numbers[-1] = number + 1

    def _begin_line(self, token: Token) -> None:
        begin, end = token.map or (self._line, self._line + 1)
        self._shown.new_line(2 if begin > self._line else 1)
        self._line = end
        if self._quotes and self._quotes[0] is None:
            self._quotes[0] = self._shown.end
        self._shown.add(self._label)
        self._label = ""


def _add_inline(shown: _Shown, tokens: Sequence[Token]) -> None:
    opened: list[tuple[int, str]] = []
    for token in tokens:
        match token.type:
            case "code_inline":
                shown.add(token.content, "code")
            case "softbreak" | "hardbreak":
                shown.new_line()
            case "image":
                begin, address = shown.end, str(token.attrs.get("src", ""))
                shown.add(token.content or address)
                _end_link(shown, begin, address)
            case "link_open" | "strong_open" | "em_open" | "s_open":
                opened.append((shown.end, str(token.attrs.get("href", ""))))
            case "link_close":
                _end_link(shown, *opened.pop())
            case "strong_close" | "em_close" | "s_close":
                shown.mark(opened.pop()[0], _STYLES[token.type])
            case _:
                shown.add(token.content)


def _end_link(shown: _Shown, begin: int, address: str) -> None:
    if address.startswith(LINKED):
        shown.mark(begin, "text_link", url=address)
    elif address:
        shown.add(f" ({address})")
