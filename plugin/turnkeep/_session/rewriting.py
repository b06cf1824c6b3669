"""Several changes of one session, made in one step."""

from __future__ import annotations

from collections.abc import Awaitable, Callable, Collection, Iterable, Mapping
from functools import partial
from typing import Any, Final, TypeAlias

from msgspec import UNSET

from .._records.identity import Expected
from .._records.info import SessionInfo
from .._records.key import SessionKey
from .._records.making import new_turn
from .._records.quote import quotes, requoted
from .._records.turn import Turn
from ..storage.base import Change
from .desk import Desk

__all__ = ["Plan", "checked_change", "redacted", "rewrite", "without_quotes"]

Plan: TypeAlias = Callable[[SessionInfo], Awaitable[Mapping[int, Change | None]]]
"""A function that reads a session, and returns what becomes of its turns, by their ids."""

_EXACTLY: Final = 3
"""The tries in which no other change may come between. A busy session would never be rewritten."""


async def rewrite(desk: Desk, key: SessionKey, plan: Plan) -> Mapping[int, Change | None]:
    """Apply the changes of a plan, all or none, and return them.

    If the session was changed after the plan had read it, the plan is made again.
    """
    lost: Mapping[int, Change | None] = {}  # these may have taken effect
    tries = 0
    while (info := await desk.info(key)) is not None and (changes := await plan(info)):
        tries += 1
        expected = Expected(info.generation, revision=info.revision if tries <= _EXACTLY else None)
        async with desk.use(key, write=True) as storage:
            verb = partial(storage.change, key, changes, expected=expected)
            done, was_lost = await desk.surely(verb)
            now = info if done else (await storage.read(key, limit=0)).info
        if done or (now is not None and _is_unchanged(now, expected)):
            return changes
        lost = changes if was_lost else {}
    return lost


def _is_unchanged(info: SessionInfo, expected: Expected) -> bool:
    return info.generation == expected.generation and expected.revision in (None, info.revision)


def checked_change(
    desk: Desk, key: SessionKey, content: object, extra: Mapping[str, Any] | None = None
) -> Change:
    """Return the change to another content, and `extra` if given; check what a turn may hold."""
    checked = new_turn(
        "user",
        content,
        extra=extra,
        max_bytes=desk.max_turn_bytes,
        inline_media=desk.inline_media,
        where=f"session {key.text}: ",
    )
    return Change(content=checked.content, extra=UNSET if extra is None else checked.extra)


def redacted(desk: Desk, key: SessionKey, turn: Turn, change: Change) -> Change:
    """Return the change as the store's `redact` has it, if there is one."""
    redact = desk.redact
    if redact is None:
        return change
    kept = redact(key, change.apply(turn))
    return Change(content=kept.content, extra=UNSET if change.extra is UNSET else kept.extra)


def without_quotes(
    turns: Iterable[Turn], *, source_ids: Collection[str], sender_id: str | None = None
) -> dict[int, Change]:
    """Return the changes that take the repetitions of deleted messages out of turns.

    The messages are named by their source ids, or by their sender.
    """
    changes: dict[int, Change] = {}
    for turn in turns:
        if quotes(turn, source_ids=source_ids, sender_id=sender_id):
            content, extra = requoted(turn, None)
            changes[turn.id] = Change(content=content, extra=extra)
    return changes
