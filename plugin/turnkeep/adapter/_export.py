"""The export and the deletion of one person's data in a session."""

from __future__ import annotations

from typing import Any

import msgspec

from .._store import Session

__all__ = ["export", "forget"]


async def export(session: Session, *, sender_id: str | int | None = None) -> bytes:
    """Return a session's turns as JSON in UTF-8, the oldest first.

    Each turn has `time` (ISO 8601, UTC), `role`, `content`, and `name` and `sender` if it has
    them. With `sender_id`, if others wrote in the session too, the export has only this person's
    turns and the answers to them.
    """
    turns = [turn async for turn in session.turns(epoch="all")]
    only = sender_id is not None and await _is_shared(session, str(sender_id))
    rows: list[dict[str, Any]] = []
    theirs: set[int] = set()
    for turn in turns:
        mine = turn.sender is not None and turn.sender.id == str(sender_id)
        if mine:
            theirs.add(turn.id)
        if only and not mine and not turn.answers_one_of(theirs):
            continue
        row: dict[str, Any] = {"time": turn.time.isoformat(), "role": turn.role}
        if turn.sender is not None:
            row |= {"name": turn.sender.name, "sender": turn.sender.id}
        row["content"] = turn.content
        if turn.tool_calls:
            row["tool_calls"] = turn.tool_calls
        rows.append(row)
    return msgspec.json.format(msgspec.json.encode(rows), indent=2)


async def forget(session: Session, *, sender_id: str | int) -> bool:
    """Erase one person's data in a session; return True if there was any.

    If nobody else wrote in the session, all of it goes, with its summary. Otherwise the person's
    turns go, the answers to them, and their repetitions in others' replies. Links stay.
    """
    if await _is_shared(session, str(sender_id)):
        return await session.forget_sender(sender_id) > 0
    # By its own key: given an alias, `forget` would remove that link too.
    info = await session.info()
    return info is not None and await session.store.forget(info.key)


async def _is_shared(session: Session, sender_id: str) -> bool:
    """Return True if somebody else wrote here; a link or a scope may join several chats."""
    async for turn in session.turns(epoch="all"):
        if turn.sender is not None and turn.sender.id != sender_id:
            return True
    return False
