"""The export and the deletion of one person's data in their sessions."""

from __future__ import annotations

from collections.abc import AsyncIterator, Iterable
from typing import Any, Final, NamedTuple, TypeVar

import msgspec
from anyio.lowlevel import checkpoint

from .._records.turn import Turn
from .._store import Session

__all__ = ["Asker", "count_of_others", "export", "forget"]


T = TypeVar("T")

_STEP: Final = 250
"""The turns after which other tasks of the loop run: a session may have a hundred thousand."""


class Asker(NamedTuple):
    """The person who asks for their data, and the private chat that they ask in, if it is one."""

    sender_id: str
    private_chat: str | None = None


async def export(*sessions: Session, asker: Asker | None = None, everything: bool = False) -> bytes:
    """Return the sessions' turns as JSON in UTF-8, the oldest first.

    Each turn has `time` (ISO 8601, UTC), `role`, `content`, and `name` and `sender` if it has
    them. With an `asker`, if others wrote in a session too, the export has only this person's
    turns and the answers to them. A user turn without a sender is somebody else's, except in
    the asker's own session (see `forget`). Hidden turns, system turns, and tool calls with their
    results are exported with `everything` only. So are replaced answers, marked as `replaced`.
    """
    found: list[Turn] = []
    for session in sessions:
        turns = await _turns_of(session)
        if asker is not None and not await _has_all(session, turns, asker):
            theirs = {turn.id async for turn in _gently(turns) if _is_by(turn, asker)}
            found += [
                turn
                async for turn in _gently(turns)
                if (turn.id in theirs or turn.answers_one_of(theirs))
                and (everything or _is_conversation(turn))
            ]
        else:
            found += [turn async for turn in _gently(turns) if everything or _is_conversation(turn)]
    found.sort(key=lambda turn: turn.time)  # stable: each session keeps its order
    rows = [_row(turn, everything=everything) async for turn in _gently(found)]
    if not rows:
        return b"[]"
    return b"[\n  " + b",\n  ".join(rows) + b"\n]"


async def forget(session: Session, *, asker: Asker) -> bool:
    """Erase one person's data in a session; return True if there was any.

    If nobody else wrote in the session, all of it goes, with its summary. Otherwise the person's
    turns go, the answers to them, and their repetitions in others' replies. Links stay. A user
    turn without a sender (an import, an `append`) is somebody else's, except in the person's
    own session: the private chat that they ask in, or a session whose key names them as its
    user. A session that is linked to another key, or merged, is nobody's own.
    """
    turns = await _turns_of(session)
    if not await _has_all(session, turns, asker):
        return await session.forget_sender(asker.sender_id) > 0
    # By its own key: given an alias, `forget` would remove that link too.
    info = await session.info()
    return info is not None and bool(await session.store.forget(info.key, search=False))


async def count_of_others(session: Session, *, asker: Asker) -> int:
    """Return how many user turns of a session `forget` leaves to others."""
    turns = _gently(await _turns_of(session))
    return len([turn async for turn in turns if turn.role == "user" and not _is_by(turn, asker)])


async def _turns_of(session: Session) -> list[Turn]:
    turns: list[Turn] = []
    async for turn in session.turns(epoch="all", variants=True):
        turns.append(turn)
        if not len(turns) % _STEP:
            await checkpoint()
    return turns


async def _gently(items: Iterable[T]) -> AsyncIterator[T]:
    """Iterate, and let the loop's other tasks run now and then."""
    for number, item in enumerate(items, 1):
        yield item
        if not number % _STEP:
            await checkpoint()


async def _has_all(session: Session, turns: list[Turn], asker: Asker) -> bool:
    """Return True if the whole session is this person's."""
    users = [
        turn async for turn in _gently(turns) if turn.role == "user" or turn.sender is not None
    ]
    if await _is_own(session, asker):
        return all(turn.sender is None or _is_by(turn, asker) for turn in users)
    return bool(users) and all(_is_by(turn, asker) for turn in users)


async def _is_own(session: Session, asker: Asker) -> bool:
    key, info = session.key, await session.info()
    if info is None or info.key != key or info.origins:
        return False
    scopes = dict(key.scopes)
    is_chat = asker.private_chat is not None and key.chat_id == asker.private_chat
    return scopes.get("user") == asker.sender_id or (is_chat and "business" not in scopes)


def _is_by(turn: Turn, asker: Asker) -> bool:
    return turn.sender is not None and turn.sender.id == asker.sender_id


def _is_conversation(turn: Turn) -> bool:
    return turn.role in ("user", "assistant") and not turn.hidden and bool(turn.content)


def _row(turn: Turn, *, everything: bool) -> bytes:
    """Return a turn as an element of the exported list."""
    row: dict[str, Any] = {"time": turn.time.isoformat(), "role": turn.role}
    if turn.sender is not None:
        row |= {"name": turn.sender.name, "sender": turn.sender.id}
    row["content"] = turn.content
    if everything and turn.tool_calls:
        row["tool_calls"] = turn.tool_calls
    if turn.is_replaced:
        row["replaced"] = True
    formatted = msgspec.json.format(msgspec.json.encode(row), indent=2)
    return formatted.replace(b"\n", b"\n  ")  # no text has a line break: JSON escapes them
