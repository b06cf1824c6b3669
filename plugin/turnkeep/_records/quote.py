"""The first line of a turn that repeats the message it replies to, and that message's media.

An adapter writes such a line above a person's text: `[reply to Ada: see you at 8]`. The turn's
`extra` names the repeated message: `{"reply_to": {"source_id": …, "sender": …}}`. When that
message is deleted, its repetition goes too.
"""

from __future__ import annotations

from collections.abc import Container, Iterable
from typing import Any, Final

from msgspec import structs

from .media import Media, media_of
from .sender import REPLY_TO
from .turn import Content, Turn

__all__ = ["is_gone", "quoted_source", "quotes", "reply_to", "requoted", "said_in"]

GONE: Final = "[reply to a deleted message]"
_HEADS: Final = ("[reply to ", "[quote")


def reply_to(source_id: str | None, sender_id: str | None) -> dict[str, Any]:
    """Return the `extra` of a turn whose first line repeats this message."""
    return {REPLY_TO: {"source_id": source_id, "sender": sender_id}}


def quotes(turn: Turn, *, source_ids: Container[str] = (), sender_id: str | None = None) -> bool:
    """Return True if the turn repeats one of these messages, or one by this person."""
    of = turn.extra.get(REPLY_TO)
    if not isinstance(of, dict):
        return False
    source_id, by = of.get("source_id"), of.get("sender")
    known = isinstance(source_id, str) and source_id in source_ids
    return known or (by is not None and by == sender_id)


def quoted_source(turn: Turn) -> str | None:
    """Return the source id of the message that a turn replies to, or None."""
    of = turn.extra.get(REPLY_TO)
    source_id = of.get("source_id") if isinstance(of, dict) else None
    return source_id if isinstance(source_id, str) else None


def _content(turn: Turn, line: str, media: Iterable[Media]) -> Content:
    content = turn.content
    if not content:
        return content
    if isinstance(content, str):
        content = [{"type": "text", "text": content}]
    if not isinstance(text := content[0].get("text"), str):
        return content
    own = [part for part in content[1:] if not ((one := media_of(part)) and one.repeated)]
    repeated = [structs.replace(one, repeated=True).as_part() for one in media if not one.repeated]
    text = _replaced(text, line)
    return [{**content[0], "text": text}, *repeated, *own] if own or repeated else text


def is_gone(turn: Turn) -> bool:
    """Return True if the turn replies to a deleted message."""
    return turn.text.startswith(GONE)


def said_in(turn: Turn) -> str:
    """Return the turn's text without the line about the message it replies to."""
    head, _, rest = turn.text.partition("\n")
    return rest if REPLY_TO in turn.extra and head.startswith(_HEADS) else turn.text


def _replaced(text: str, line: str) -> str:
    head, separator, rest = text.partition("\n")
    return f"{line}{separator}{rest}" if head.startswith(_HEADS) else text


def requoted(
    turn: Turn, line: str | None, media: Iterable[Media] = ()
) -> tuple[Content, dict[str, Any]]:
    """Return a turn's content and `extra` with another such line; None for a deleted message.

    `media` are those of the message that it replies to.
    """
    extra = turn.extra
    if line is None:
        extra = {key: value for key, value in extra.items() if key != REPLY_TO}
    return _content(turn, line or GONE, media), extra
