"""Rich messages: blocks of formatted text, as a bot sends them and as they are kept.

The limits are those of https://core.telegram.org/bots/api#rich-message-formatting-options, as
https://docs.rs/telegram-rich quotes them; that one character more is refused was measured in
https://github.com/openabdev/openab/pull/1106. `InputRichMessage`: "Exactly one of the fields html,
markdown, or blocks must be used." The words of these refusals are not known. Markdown and HTML are
not parsed here.
"""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any

from .telegram_errors import bad_request
from .telegram_text import Json

MAX_CHARACTERS = 32_768
MAX_BLOCKS = 500
MAX_DEPTH = 16
MAX_COLUMNS = 20


def incoming_rich(params: Json) -> Json:
    """Return the `rich_message` that the server keeps of a method's parameter, or refuse it."""
    given: Json = params.get("rich_message") or {}
    if sum(bool(given.get(name)) for name in ("html", "markdown", "blocks")) != 1:
        raise bad_request("rich message must have exactly one of html, markdown and blocks")
    if not given.get("blocks"):
        raise bad_request("the emulator parses no markup of rich messages")
    blocks = [_kept(block) for block in given["blocks"]]
    every = [*_every(blocks, 1)]
    if len(every) > MAX_BLOCKS or max(depth for _, depth in every) > MAX_DEPTH:
        raise bad_request("rich message has too many blocks")
    rows = [row for block, _ in every for row in block.get("cells", ())]
    if any(len(row) > MAX_COLUMNS for row in rows):
        raise bad_request("rich message table has too many columns")
    if not 0 < len("".join(_texts(blocks))) <= MAX_CHARACTERS:
        raise bad_request("rich message is too long")
    return {"rich_message": {"blocks": blocks}}


def rich_text(rich: Json) -> str:
    """Return all words of a rich message."""
    return "".join(_texts(rich["blocks"]))


def _kept(block: Json) -> Json:
    """Return a block as users see it: the items of a list have labels."""
    kept = {name: value for name, value in block.items() if value is not None}
    if "blocks" in kept:
        kept["blocks"] = [_kept(inner) for inner in kept["blocks"]]
    if kept["type"] == "list":
        kept["items"] = [
            {
                "label": "•" if item.get("value") is None else f"{item['value']}.",
                "blocks": [_kept(inner) for inner in item["blocks"]],
                **{k: item[k] for k in ("has_checkbox", "is_checked") if item.get(k)},
            }
            for item in kept["items"]
        ]
    return kept


def _every(blocks: list[Json], depth: int) -> Iterator[tuple[Json, int]]:
    """Yield all blocks with their depth; items of lists and rows of tables count as blocks."""
    for block in blocks:
        yield block, depth
        yield from _every(block.get("blocks", []), depth + 1)
        for item in block.get("items", ()):
            yield {}, depth
            yield from _every(item["blocks"], depth + 1)
        for _ in block.get("cells", ()):
            yield {}, depth


def _texts(part: Any) -> Iterator[str]:
    if isinstance(part, str):
        yield part
    elif isinstance(part, list):
        for one in part:
            yield from _texts(one)
    elif isinstance(part, dict):
        for name in ("text", "blocks", "items", "cells"):
            yield from _texts(part.get(name))
