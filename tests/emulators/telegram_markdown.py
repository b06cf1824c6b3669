"""Telegram's two kinds of Markdown; their sources are named in `telegram_markup`."""

from __future__ import annotations

import re

from .telegram_errors import BotApiError
from .telegram_markup import Json, Parsing

_RESERVED = "_*[]()~`>#+-=|{}.!\n"
# The longer mark stands first: `__` is never two beginnings of italics.
_MARKS = (
    ("__", "underline"),
    ("_", "italic"),
    ("*", "bold"),
    ("~", "strikethrough"),
    ("||", "spoiler"),
    ("```", "pre"),
    ("`", "code"),
    ("[", "text_link"),
)
_CLOSING = {kind: mark for mark, kind in _MARKS} | {"text_link": "]"}
_NAMES = {
    "underline": "Underline",
    "italic": "Italic",
    "bold": "Bold",
    "strikethrough": "Strikethrough",
    "spoiler": "Spoiler",
    "pre": "Pre",
    "code": "Code",
    "text_link": "TextUrl",
    "blockquote": "BlockQuote",
}


def parse_markdown(source: str) -> tuple[str, list[Json]]:
    """Parse the old Markdown: nothing nests, and an entity without an end is refused."""
    text = Parsing(source)
    at = 0
    while at < len(source):
        character = source[at]
        if character == "\\" and source[at + 1 : at + 2] in tuple("_*`["):
            text.plain += source[at + 1]
            at += 2
            continue
        if character not in "_*`[":
            text.plain += character
            at += 1
            continue
        begin, language, close = at, "", {"[": "]"}.get(character, character)
        kind = {"_": "italic", "*": "bold", "`": "code", "[": "text_link"}[character]
        if source.startswith("```", at):
            kind, close = "pre", "```"
            at, language = _fence(source, at + 3)
        else:
            at += 1
        end = source.find(close, at)
        if end < 0:
            byte = len(source[:begin].encode())
            raise text.fail(f"Can't find end of the entity starting at byte offset {byte}")
        text.begin(kind, begin, language)
        text.plain += source[at:end]
        url, at = source[begin + 1 : end], end + len(close)
        if kind == "text_link" and source.startswith("(", at):
            stop = source.find(")", at)
            stop = len(source) if stop < 0 else stop
            url, at = source[at + 1 : stop], stop + 1
        text.end(url if kind == "text_link" else "")
    return text.result()


def parse_markdown_v2(source: str) -> tuple[str, list[Json]]:
    """Parse MarkdownV2: entities nest, and every reserved character must be escaped."""
    text = Parsing(source)
    at = 0
    while at < len(source):
        character, inner = source[at], text.open[-1].kind if text.open else ""
        if character == "\\" and "\x00" < source[at + 1 : at + 2] < "\x7f":
            text.plain += source[at + 1]
            at += 2
        elif character not in ("`" if inner in ("code", "pre") else _RESERVED):
            text.plain += character
            at += 1
        elif _quoting(text) and character == "\n" and not source.startswith("\n>", at):
            if inner != "blockquote":
                raise _unended(text)
            text.plain += "\n"
            text.end()
            at += 1
        elif inner in _CLOSING and _closes(source, at, inner):
            at += len(_CLOSING[inner])
            url, at = _url(text, at) if inner == "text_link" else ("", at)
            text.end(url)
        else:
            at = _begin(text, at)
    if text.open and text.open[-1].kind == "blockquote":
        text.end()
    if text.open:
        raise _unended(text)
    return text.result()


def _quoting(text: Parsing) -> bool:
    return any(one.kind == "blockquote" for one in text.open)


def _unended(text: Parsing) -> BotApiError:
    opened = text.open[-1]
    name = "PreCode" if opened.kind == "pre" and opened.argument else _NAMES[opened.kind]
    return text.fail(f"Can't find end of {name} entity", opened.at)


def _closes(source: str, at: int, kind: str) -> bool:
    if kind == "italic" and source.startswith("__", at):
        return False
    return source.startswith(_CLOSING[kind], at)


def _begin(text: Parsing, at: int) -> int:
    """Open the entity that a reserved character begins; return the place after it."""
    source = text.source
    if source[at] == "\n":
        text.plain += "\n"
        if not source.startswith("\n>", at):
            return at + 1
        if not _quoting(text):
            text.begin("blockquote", at)
        return at + 2
    if source[at] == ">" and at == 0:
        text.begin("blockquote", at)
        return 1
    for mark, kind in _MARKS:
        if source.startswith(mark, at):
            end, language = _fence(source, at + 3) if kind == "pre" else (at + len(mark), "")
            text.begin(kind, at, language)
            return end
    words = f"Character '{source[at]}' is reserved and must be escaped with the preceding '\\'"
    raise text.fail(words)


def _url(text: Parsing, at: int) -> tuple[str, int]:
    """Return the address of a link (its text if it has none) and the place after it."""
    if not text.source.startswith("(", at):
        shown = text.plain.encode("utf-16-le")[2 * text.open[-1].offset :]
        return shown.decode("utf-16-le"), at
    found = re.compile(r"\(((?:\\[\x01-\x7e]|[^)])*)\)").match(text.source, at)
    if found is None:
        raise text.fail("Can't find end of a URL", at + 1)
    return re.sub(r"\\([\x01-\x7e])", r"\1", found[1]), found.end()


def _fence(source: str, at: int) -> tuple[int, str]:
    """Return the place of a code block's first character, and its language."""
    found = re.compile(r"([^\s`]*)(?=\s)").match(source, at)
    language = found[1] if found else ""
    at += len(language)
    line_end = re.compile(r"\r\n|\n\r|\r|\n").match(source, at)
    return (line_end.end() if line_end else at), language
