"""The common part of Telegram's markup languages, and its HTML.

Rules and words are those of tdlib's own parsers (tdlib/td, MessageEntity.cpp: `parse_html`,
`parse_markdown`, `parse_markdown_v2`), which name places by byte offset. Left out are custom
emoji, mentions by user id, and quotes that can be expanded.
"""

from __future__ import annotations

import html
import re
from dataclasses import dataclass
from typing import Any

from .telegram_errors import BotApiError, bad_request

Json = dict[str, Any]

_TAGS = {
    "b": "bold",
    "strong": "bold",
    "i": "italic",
    "em": "italic",
    "u": "underline",
    "ins": "underline",
    "s": "strikethrough",
    "strike": "strikethrough",
    "del": "strikethrough",
    "code": "code",
    "pre": "pre",
    "blockquote": "blockquote",
    "span": "spoiler",
    "tg-spoiler": "spoiler",
    "a": "text_link",
}
_ESCAPES = re.compile(r"&(lt|gt|amp|quot|#\d+|#x[0-9a-fA-F]+);")
_NAME = re.compile(r"[^\s>]*")
_ATTRIBUTE = re.compile(r"""\s+([^\s=>]+)(?:\s*=\s*("[^"]*"|'[^']*'|[\w.-]+))?""")
_TAG_END = re.compile(rf"(?:{_ATTRIBUTE.pattern})*\s*>")


def utf16_length(text: str) -> int:
    """Return the length in the unit in which entities count."""
    return len(text.encode("utf-16-le", "surrogatepass")) // 2


@dataclass
class Open:
    """An entity that has begun. `at` is where its mark stands in the source."""

    kind: str
    at: int
    offset: int
    argument: str = ""
    tag: str = ""


class Parsing:
    """A source, what is read of it so far, and the entities that are open."""

    def __init__(self, source: str) -> None:
        self.source = source
        self.plain = ""
        self.open: list[Open] = []
        self.entities: list[Json] = []

    @property
    def offset(self) -> int:
        return utf16_length(self.plain)

    def begin(self, kind: str, at: int, argument: str = "", tag: str = "") -> None:
        self.open.append(Open(kind, at, self.offset, argument, tag))

    def end(self, argument: str = "") -> None:
        """Close the innermost entity; one without text leaves nothing."""
        opened = self.open.pop()
        length, argument = self.offset - opened.offset, argument or opened.argument
        if not length or (opened.kind == "text_link" and not _is_link(argument)):
            return
        entity: Json = {"type": opened.kind, "offset": opened.offset, "length": length}
        if argument:
            entity["url" if opened.kind == "text_link" else "language"] = argument
        self.entities.append(entity)

    def fail(self, description: str, at: int | None = None) -> BotApiError:
        if at is not None:
            description += f" at byte offset {len(self.source[:at].encode())}"
        return bad_request(f"can't parse entities: {description}")

    def result(self) -> tuple[str, list[Json]]:
        """Return the plain text and its entities, outer ones first, none inside of code."""
        kept: list[Json] = []
        code_until = 0
        for entity in sorted(self.entities, key=lambda e: (e["offset"], -e["length"])):
            if entity["offset"] < code_until:
                continue
            kept.append(entity)
            if entity["type"] in ("code", "pre"):
                code_until = entity["offset"] + entity["length"]
        return self.plain, kept


def _is_link(url: str) -> bool:
    """Return True if the server keeps a link; of another one only the text stays."""
    return bool(re.fullmatch(r"\S*(://|\.)\S+|mailto:\S+", url))


def parse_html(source: str) -> tuple[str, list[Json]]:
    """Parse Telegram's HTML: few tags, each closed, and no bare `<`."""
    text = Parsing(source)
    at = 0
    while at < len(source):
        if source[at] != "<":
            end = source.find("<", at)
            end = len(source) if end < 0 else end
            text.plain += _ESCAPES.sub(lambda found: html.unescape(found[0]), source[at:end])
            at = end
            continue
        begin, closing = at, source.startswith("</", at)
        found = _NAME.match(source, begin + 1 + closing)
        name, rest = (found[0].lower(), found.end()) if found else ("", begin + 1)
        if not closing and name not in _TAGS and rest < len(source):
            raise text.fail(f'Unsupported start tag "{name}"', begin)
        tag_end = _TAG_END.match(source, rest)
        if tag_end is None:
            raise text.fail(f"Unclosed {'end' if closing else 'start'} tag", begin)
        at = tag_end.end()
        if closing:
            _end_tag(text, name, begin)
        else:
            argument = _argument(text, name, source[rest : at - 1], begin)
            text.begin(_TAGS[name], begin, argument, name)
    if text.open:
        raise text.fail(f'Can\'t find end tag corresponding to start tag "{text.open[-1].tag}"')
    return text.result()


def _argument(text: Parsing, name: str, attributes: str, begin: int) -> str:
    """Return the attribute that matters to a tag; a `span` must be a spoiler."""
    pairs = _ATTRIBUTE.findall(attributes)
    given = {key.lower(): html.unescape(value.strip("\"'")) for key, value in pairs}
    if name == "span" and given.get("class") != "tg-spoiler":
        raise text.fail('Tag "span" must have class "tg-spoiler"', begin)
    if name == "a":
        return given.get("href", "")
    language = given.get("class", "")
    return language.removeprefix("language-") if name == "code" and "language-" in language else ""


def _end_tag(text: Parsing, name: str, begin: int) -> None:
    if not text.open:
        raise text.fail("Unexpected end tag", begin)
    opened = text.open[-1]
    if name and name != opened.tag:
        where = f"at byte offset {len(text.source[:begin].encode())}"
        words = f'Unmatched end tag {where}, expected "</{opened.tag}>", found "</{name}>"'
        raise text.fail(words)
    if opened.tag == "a" and not opened.argument:
        opened.argument = text.plain.encode("utf-16-le")[2 * opened.offset :].decode("utf-16-le")
    before = len(text.entities)
    text.end()
    if len(text.entities) == before:
        return
    outer = text.entities[-1]
    if opened.kind == "code" and not any(one.kind == "pre" for one in text.open):
        outer.pop("language", None)
    inner = text.entities[before - 1] if before else outer
    whole = (inner["offset"], inner["length"]) == (outer["offset"], outer["length"])
    if opened.kind == "pre" and inner["type"] == "code" and whole:
        text.entities.remove(inner)  # `<pre><code class="language-…">` is one entity
        outer |= {key: inner[key] for key in ("language",) if key in inner}
