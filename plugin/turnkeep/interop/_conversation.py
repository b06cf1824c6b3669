"""The stored conversation as an agent sees it: what the modules of frameworks share."""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from functools import partial
from itertools import groupby
from typing import Any, Final

import msgspec

from .._records.identity import Expected
from .._records.info import SessionInfo
from .._records.making import new_turn
from .._records.turn import Turn
from .._session.joined import answered_by
from .._session.shown import build_window
from .._store import Session
from .._window.arrange import BOT_FIRST
from .._window.choices import Speakers
from .._window.message import Message
from .._window.summary import summary_message
from ..storage.base import Change

__all__ = [
    "change",
    "in_runs",
    "made_turn",
    "message_of",
    "others",
    "seen_turns",
    "store",
    "summary_of",
]

replace: Final = msgspec.structs.replace
_FIELDS: Final = ("name", "tool_calls", "tool_call_id", "shape", "items")


async def seen_turns(session: Session, *, last: int | None = None) -> list[Turn]:
    """Return the turns that an agent sees, ascending, or the `last` of them.

    They are those of the current epoch behind its summary. A handle that is bound to a message
    sees the turns before that message and late answers to them, since the framework gets the
    message itself from its caller. Once a part of its answer is stored, both are seen too.
    """
    info, here = await session.info(), session.turn
    if info is None:
        return []
    last = last if here is None else None
    turns = [turn async for turn in session.turns(after=info.last_consolidated, last=last)]
    if here is None:
        return turns
    begun = any(turn.answers_one_of((here.id,)) for turn in turns)
    return [
        turn
        for turn in turns
        if turn.id < here.id + begun or (turn.role != "user" and (turn.answers or 0) <= here.id)
    ]


async def summary_of(session: Session) -> Message | None:
    """Return the message that stands for the turns folded into a summary, or None."""
    info = await session.info()
    return None if info is None or not info.summary else summary_message(info.summary)


def made_turn(session: Session, role: str, content: object, **fields: Any) -> Turn:
    """Return a new turn for this session; raise `InvalidTurnError` if it can't be stored."""
    desk = session.store.desk
    return new_turn(
        role,
        content,
        max_bytes=desk.max_turn_bytes,
        inline_media=desk.inline_media,
        where=f"session {session.key}: ",
        **fields,
    )


async def store(session: Session, turns: Sequence[Turn]) -> list[Turn]:
    """Store new turns at the end, all or none, and return them.

    If the handle is bound to a message, and they end with a text without calls, they answer it.
    What comes before is no answer yet: after a crash the message is still owed one.
    """
    if not turns:
        return []
    desk, here, made = session.store.desk, session.turn, [*turns]
    ends = made[-1].role == "assistant" and not made[-1].tool_calls
    expected: Expected | None = None
    if here is not None and ends:
        name, also = await answered_by(desk, session.key, here, session.joined)
        made = [replace(turn, answers=name.id, also_answers=also) for turn in made]
        expected = Expected(name.generation) if name.generation else None
    appended = await desk.append(session.key, made, expected=expected)
    if appended is None:  # the message's session was forgotten; the turns begin a new one
        made = [replace(turn, answers=None, also_answers=()) for turn in made]
        appended = await desk.append(session.key, made)
    assert appended is not None
    if here is not None and ends:
        desk.answers.give((here, *session.joined))
    if ends and desk.after_answer is not None:
        await desk.after_answer(session.key if appended.info is None else appended.info.key)
    return appended.turns


async def change(session: Session, turn: Turn, changes: Mapping[int, Change | None]) -> bool:
    """Make changes in one step; return False if this turn is no longer as it was read."""
    desk, key = session.store.desk, session.key
    async with desk.use(key, write=True) as storage:

        async def read() -> tuple[SessionInfo | None, bool]:
            info, there, _ = await storage.read(key, after=turn.id - 1, before=turn.id + 1)
            return info, list(there) == [turn]

        info, is_same = await read()
        if info is None or not is_same:
            return False
        expected = info.expected(revision=True)
        done, lost = await desk.surely(partial(storage.change, key, changes, expected=expected))
        # After a lost answer, the call with that answer may have made them.
        return bool(done) or (lost and not (await read())[1])


def message_of(turn: Turn) -> dict[str, Any]:
    """Return a turn as the message that `turnkeep.shapes.to_shape` takes, with its items."""
    fields = {name: getattr(turn, name) for name in _FIELDS}
    given = {name: value for name, value in fields.items() if value is not None}
    return {"role": turn.role, "content": turn.content, **given}


def in_runs(turns: Sequence[Turn], shape: str) -> Iterator[tuple[bool, list[Turn]]]:
    """Yield runs of turns of this shape (True), and of others that windows show (False).

    A result stays with its call, also after an edit took its shape.
    """
    owns: dict[str, bool] = {}
    """For the id of each call, if the latest turn that calls it is of this shape."""

    seen: list[tuple[bool, Turn]] = []
    for turn in turns:
        own = turn.shape == shape
        if turn.role == "tool":
            own = owns.get(turn.tool_call_id or "", own)
        owns.update((call["id"], own) for call in turn.tool_calls or ())
        if own or not turn.hidden:
            seen.append((own, turn))
    for own, run in groupby(seen, lambda one: one[0]):
        yield own, [turn for _, turn in run]


def others(turns: Sequence[Turn], shape: Any, speakers: Speakers | None) -> Any:
    """Return a run of turns that the framework did not write, legal and whole, in a shape."""
    most = 4 * sum(1 + len(turn.tool_calls or ()) for turn in turns)
    messages = build_window(turns, most, shape=shape, system="keep", speakers=speakers).messages
    if messages and isinstance(messages, list) and messages[0]["content"] == BOT_FIRST:
        del messages[0]  # it only stands before a run, and not before a conversation
    return messages
