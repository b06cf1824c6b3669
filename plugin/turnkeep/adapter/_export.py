"""A conversation as a file that a person can read and keep."""

from __future__ import annotations

from typing import Any

import msgspec

from .._session import Session

__all__ = ["export"]


async def export(session: Session, *, sender_id: str | None = None) -> bytes:
    """All that is stored of a session, as JSON in UTF-8: a list of turns, the oldest first.

    Each has `time` (ISO 8601, UTC), `role`, `content`, and `name` and `sender` where there is
    one. With `sender_id` it is only what this person wrote and what answers it, for chats
    that others write in too.
    """
    rows: list[dict[str, Any]] = []
    theirs: set[int] = set()
    async for turn in session.turns(epoch="all"):
        mine = turn.sender is not None and turn.sender.id == sender_id
        if mine:
            theirs.add(turn.id)
        if sender_id is not None and not mine and not turn.answers_one_of(theirs):
            continue
        row: dict[str, Any] = {"time": turn.time.isoformat(), "role": turn.role}
        if turn.sender is not None:
            row |= {"name": turn.sender.name, "sender": turn.sender.id}
        row["content"] = turn.content
        if turn.tool_calls:
            row["tool_calls"] = turn.tool_calls
        rows.append(row)
    return msgspec.json.format(msgspec.json.encode(rows), indent=2)
