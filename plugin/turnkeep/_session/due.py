"""Tell whether a session is long enough to be consolidated, mostly by its new turns alone."""

from __future__ import annotations

import sys
from collections import OrderedDict
from collections.abc import Sequence
from datetime import datetime, timezone
from typing import Final, NamedTuple

from .._records.info import SessionInfo
from .._records.key import SessionKey
from .._records.turn import Turn
from .._window.arrange import NO_RESULT, View, arrange, visible
from .._window.options import WindowOptions
from .desk import Desk
from .reading import beside_questions

__all__ = ["Lengths", "Limits"]

KEPT: Final = 10_000
"""The sessions whose length is kept; each costs some 300 bytes."""

_MOST_NEW: Final = 64
_MADE_UP: Final = 2
"""Messages that a window may add beside old turns: a placeholder before, an answer behind."""

_STAND_IN: Final = Turn(
    role="tool",
    content=NO_RESULT,
    tool_call_id="call",
    time=datetime.fromtimestamp(0, timezone.utc),
)


class Limits(NamedTuple):
    """The most messages and tokens beyond the summary; `first_read` turns are read at first."""

    messages: int | None
    tokens: int | None
    options: WindowOptions
    first_read: int

    def are_passed(self, messages: int, tokens: int) -> bool:
        """Return True if one of the two is over its limit."""
        most, most_tokens = self.messages, self.tokens
        return (most is not None and messages > most) or (
            most_tokens is not None and tokens > most_tokens
        )

    def cost(self, turns: Sequence[Turn]) -> int:
        """Return the tokens of the turns; 0 without a limit of tokens."""
        return 0 if self.tokens is None else sum(map(self.options.cost, turns))


class _Length(NamedTuple):
    """The most that a session can hold beyond its summary, up to the turn `last_id`."""

    state: tuple[str, int, int, int]
    """While this stays the same, turns are only added."""
    last_id: int
    messages: int
    tokens: int


class Lengths:
    """The lengths of the sessions that were looked at last."""

    def __init__(self) -> None:
        self._lengths: OrderedDict[str, _Length] = OrderedDict()
        self._limits: Limits | None = None

    def forget(self, key: SessionKey) -> None:
        """Drop what is known of a session from memory."""
        self._lengths.pop(key.text, None)

    async def is_due(self, desk: Desk, key: SessionKey, limits: Limits) -> bool:
        """Return True if a session is over one of the limits.

        While not even the most that the new turns may add is, only these are read.
        """
        if limits != self._limits:
            self._lengths.clear()
            self._limits = limits
        known = self._lengths.pop(key.text, None)
        longer = None if known is None else await _longer(desk, key, known, limits)
        if longer is not None and not limits.are_passed(longer.messages, longer.tokens):
            self._keep(key, longer)
            return False
        length = await _measured(desk, key, limits)
        if length is None:
            return False
        if limits.are_passed(length.messages, length.tokens):
            return True
        self._keep(key, _with_made_up(length, _MADE_UP, limits))
        return False

    def _keep(self, key: SessionKey, length: _Length) -> None:
        self._lengths[key.text] = length
        if len(self._lengths) > KEPT:
            self._lengths.popitem(last=False)


async def _measured(desk: Desk, key: SessionKey, limits: Limits) -> _Length | None:
    """Return the length of a session as far as it is needed; None if there is no session."""
    limit = limits.first_read
    while True:
        info, turns, complete = await desk.read(key, limit=limit)
        if info is None:
            return None
        shown = await beside_questions(desk, info, turns, complete=complete)
        shown, complete = visible(info, shown, View(), complete=complete)
        arranged = arrange(shown).turns
        length = _Length(_state(info), info.last_id, len(arranged), limits.cost(arranged))
        if complete or limits.are_passed(length.messages, length.tokens):
            return length
        limit *= 2


async def _longer(desk: Desk, key: SessionKey, known: _Length, limits: Limits) -> _Length | None:
    """Return the most that a session can hold with its new turns; None if that can't be told."""
    info, turns, complete = await desk.read(key, after=known.last_id, limit=_MOST_NEW)
    if info is None or not complete or _state(info) != known.state:
        return None
    made_up = 0
    for turn in turns:
        if turn.also_answers or (turn.answers or sys.maxsize) <= info.last_consolidated:
            return None  # a question that was out of sight comes back
        if turn.tool_calls:
            made_up += len(turn.tool_calls) + 1  # a result for each, and an answer
    length = _Length(
        known.state,
        info.last_id,
        known.messages + len(turns),
        known.tokens + limits.cost(turns),
    )
    return _with_made_up(length, made_up, limits)


def _with_made_up(length: _Length, count: int, limits: Limits) -> _Length:
    """Return the length with so many messages that stand for what is not there."""
    if not count:
        return length
    cost = limits.cost([_STAND_IN])
    return length._replace(messages=length.messages + count, tokens=length.tokens + count * cost)


def _state(info: SessionInfo) -> tuple[str, int, int, int]:
    return info.generation, info.epoch, info.last_consolidated, info.revision
