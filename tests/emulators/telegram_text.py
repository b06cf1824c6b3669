"""What Telegram does to a text before it stores it: parse, trim, measure.

Kept apart because a bot meets these rules most often, and because they decide what `edit` calls
"not modified" and what an adapter reads back from `Message.text` and `Message.html_text`.
"""

from __future__ import annotations

import re
from typing import Any

from .telegram_errors import bad_request
from .telegram_markdown import parse_markdown, parse_markdown_v2
from .telegram_markup import parse_html, utf16_length

Json = dict[str, Any]

MAX_TEXT = 4096
"""Unicode characters after parsing, not UTF-16 units: 4,096 emoji are accepted, 4,097 are not
(measured against the real server, https://github.com/FerroxLabs/wayland/issues/934)."""
MAX_CAPTION = 1024

# As tdlib's `match_bot_commands` finds them (tdlib/td, MessageEntity.cpp): anywhere in a text, so
# "/home is full" has one, but not as a part of a path or a word.
_COMMAND = re.compile(r"(?<![\w/<>])/[A-Za-z0-9_]{1,64}(?:@[A-Za-z0-9_]{3,32})?(?![\w/<>])")
_PARSERS = {"html": parse_html, "markdown": parse_markdown, "markdownv2": parse_markdown_v2}


def command_entities(text: str) -> list[Json]:
    """Return the `bot_command` entities that the server finds in a text."""
    return [
        {
            "type": "bot_command",
            "offset": utf16_length(text[: found.start()]),
            "length": len(found[0]),
        }
        for found in _COMMAND.finditer(text)
    ]


def incoming_text(params: Json, field: str, entities_field: str) -> tuple[str, list[Json]]:
    """The text and entities that the server stores for a method's parameters.

    Raises `BotApiError` for what the server refuses.
    """
    text, entities = params.get(field) or "", list(params.get(entities_field) or [])
    mode = str(params.get("parse_mode") or "").lower()
    if mode:
        if mode not in _PARSERS:
            raise bad_request("unsupported parse_mode")
        text, entities = _PARSERS[mode](text)
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
