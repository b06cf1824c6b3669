"""What people are told of what is kept of them, and how they have it erased."""

from __future__ import annotations

from typing import Any

import msgspec

from .._store import Session

__all__ = ["export", "forget"]


async def export(session: Session, *, sender_id: str | int | None = None) -> bytes:
    """All that is stored of a session, as JSON in UTF-8: a list of turns, the oldest first.

    Each has `time` (ISO 8601, UTC), `role`, `content`, and `name` and `sender` where there is
    one. With `sender_id`, where others wrote in the session too, it is only what this person
    wrote and what answers it.
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
    """Erases what is kept of a person in a session; returns whether there was anything.

    Where nobody else wrote in it, it is all of the session, its summary too; else it is what
    this person wrote, what answers it, and what others' replies repeat of it. Links stay.
    """
    if await _is_shared(session, str(sender_id)):
        return await session.forget_sender(sender_id) > 0
    # By its own name: by an alias, that link would go too.
    info = await session.info()
    return info is not None and await session.store.forget(info.key)


async def _is_shared(session: Session, sender_id: str) -> bool:
    """Whether somebody else wrote here, whatever the chat is: a link or a scope may join chats."""
    async for turn in session.turns(epoch="all"):
        if turn.sender is not None and turn.sender.id != sender_id:
            return True
    return False
