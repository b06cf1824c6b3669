"""Turns from other turns, chat-completions dicts, and clients' message objects."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Final

import msgspec

from .._errors import InvalidTurnError
from .making import new_turn
from .parts import InlineMedia
from .text import dumped
from .turn import Turn

__all__ = ["from_message"]

_FIELDS: Final = (
    *("name", "tool_calls", "tool_call_id", "source_id", "sender", "time"),
    *("shape", "items"),
)
_OLDER_ROLES: Final = {"developer": "system", "function": "tool"}
"""Roles of the chat-completions API that mean one of ours."""


def from_message(
    message: object, *, max_bytes: int, where: str = "", inline_media: InlineMedia = "error"
) -> Turn:
    """Return a turn from a `Turn`, a chat-completions dict, or a client's message object.

    A stored turn loses the fields of its old place: its id, its epoch, and the turn it answers.
    Unknown fields of a dict become `extra`. The role `developer` is stored as `system`, and
    `function`, the older name of a tool, as `tool`.
    """
    if isinstance(message, Turn):
        kept = msgspec.structs.asdict(message)
        for field in ("id", "epoch", "answers", "also_answers", "token", "generation", "variant"):
            del kept[field]
        kept["source_id"] = kept.pop("source_ids")
        return new_turn(max_bytes=max_bytes, where=where, inline_media=inline_media, **kept)
    message = dumped(message)
    if not isinstance(message, Mapping):
        raise InvalidTurnError(
            f"{where}a turn is a Turn or a chat-completions dict, not {type(message).__name__}"
        )
    fields = dict(message)
    role = fields.pop("role", None)
    if not isinstance(role, str):
        raise InvalidTurnError(f"{where}a message without a role can't be stored")
    role = _OLDER_ROLES.get(role, role)
    known = {field: fields.pop(field) for field in _FIELDS if field in fields}
    if "usage" in fields and isinstance(fields["usage"], tuple):  # else it is the caller's own
        known["usage"] = fields.pop("usage")
    content = fields.pop("content", None)
    extra = fields.pop("extra", None) or {}
    if isinstance(extra, Mapping):
        extra = {**extra, **fields}
    return new_turn(
        role,
        content,
        extra=extra,
        max_bytes=max_bytes,
        inline_media=inline_media,
        where=where,
        **known,
    )
