"""What Telegram does to a text before it stores it: parse, trim, measure.

Kept apart because a bot meets these rules most often, and because they decide what `edit` calls
"not modified" and what an adapter reads back from `Message.text` and `Message.html_text`.
"""

from __future__ import annotations

import html
import re
from typing import Any

Json = dict[str, Any]

MAX_TEXT = 4096
"""Unicode characters after parsing, not UTF-16 units: 4,096 emoji are accepted, 4,097 are not
(measured against the real server, https://github.com/FerroxLabs/wayland/issues/934)."""
MAX_CAPTION = 1024

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


class BotApiError(Exception):
    """An answer with `ok: false`: the HTTP status, the description, the response parameters."""

    def __init__(self, status: int, description: str, **parameters: int) -> None:
        super().__init__(f"{status} {description}")
        self.status = status
        self.description = description
        self.parameters = parameters


def bad_request(description: str) -> BotApiError:
    """The commonest refusal, worded as the real server words it."""
    return BotApiError(400, f"Bad Request: {description}")


def utf16_length(text: str) -> int:
    """The length in the unit in which entities count."""
    return len(text.encode("utf-16-le", "surrogatepass")) // 2


def command_entities(text: str) -> list[Json]:
    """The `bot_command` entity which the server adds to a text that begins with a command."""
    command = re.match(r"/[A-Za-z0-9_]{1,64}(@[A-Za-z0-9_]+)?", text)
    if command is None:
        return []
    return [{"type": "bot_command", "offset": 0, "length": command.end()}]


def incoming_text(params: Json, field: str, entities_field: str) -> tuple[str, list[Json]]:
    """The text and entities that the server stores for a method's parameters.

    Raises `BotApiError` for what the server refuses. Markdown is not emulated, and says so
    with a 501, because a text stored unparsed would pass for a faithful one.
    """
    text, entities = params.get(field) or "", list(params.get(entities_field) or [])
    mode = str(params.get("parse_mode") or "").lower()
    if mode == "html":
        text, entities = _parse_html(text)
    elif mode:
        raise BotApiError(501, f"the emulator does not parse {params['parse_mode']}")
    text = text.rstrip()
    if not entities:
        text = text.lstrip()
    end = utf16_length(text)
    for entity in entities:
        entity["length"] = min(entity["length"], end - entity["offset"])
    limit, name = (MAX_TEXT, "message") if field == "text" else (MAX_CAPTION, "message caption")
    if len(text) > limit:
        raise bad_request(f"{name} is too long")
    return text, [entity for entity in entities if entity["length"] > 0]


def _parse_html(source: str) -> tuple[str, list[Json]]:
    """Telegram's HTML: few tags, each closed, and no bare `<`."""
    plain = ""
    open_tags: list[tuple[str, Json]] = []
    entities: list[Json] = []
    for piece in re.split(r"(<[^<>]*>)", source):
        if "<" not in piece:
            plain += _ESCAPES.sub(lambda found: html.unescape(found[0]), piece)
            continue
        tag = re.fullmatch(r"<(/?)([a-z-]+)((?:\s[^<>]*)?)>", piece, re.IGNORECASE)
        name = tag[2].lower() if tag else ""
        if tag is None or name not in _TAGS:
            raise bad_request(f'can\'t parse entities: Unsupported start tag "{name}"')
        if not tag[1]:
            entity: Json = {"type": _TAGS[name], "offset": utf16_length(plain), "length": 0}
            if name == "a" and (link := re.search(r'href="([^"]*)"', tag[3])):
                entity["url"] = html.unescape(link[1])
            language = re.search(r'class="language-([^"]*)"', tag[3])
            if name == "code" and language and open_tags and open_tags[-1][0] == "pre":
                open_tags[-1][1]["language"] = language[1]
            open_tags.append((name, entity))
            continue
        opened, entity = open_tags.pop() if open_tags else ("", {})
        if opened != name:
            raise bad_request(f'can\'t parse entities: Unexpected end tag "{name}"')
        entity["length"] = utf16_length(plain) - entity["offset"]
        if not (name == "code" and open_tags and "language" in open_tags[-1][1]):
            entities.append(entity)
    if open_tags:
        name = open_tags[-1][0]
        raise bad_request(f"can't parse entities: Can't find end tag corresponding to \"{name}\"")
    return plain, sorted(entities, key=lambda entity: (entity["offset"], -entity["length"]))
