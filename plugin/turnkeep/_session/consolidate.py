"""Consolidation: a summary replaces older exchanges in windows. They stay readable.

The turns that are not summarized yet are read once, from the session's end back to
`last_consolidated`. The summarizer gets them in pieces that fit its model, the oldest first. Each
summary is stored before the next piece.
"""

from __future__ import annotations

import copy
import logging
import sys
from collections.abc import Awaitable, Callable, Sequence
from dataclasses import KW_ONLY, dataclass
from functools import partial
from inspect import isawaitable
from typing import Any, Final, TypeAlias

from anyio import CancelScope

from .._errors import SummaryError, WindowError
from .._records.info import SessionInfo
from .._records.key import SessionKey
from .._records.turn import Turn
from .._window.arrange import View, arrange, visible
from .._window.choices import Speakers
from .._window.exchange import Exchange
from .._window.fit import Bound, beside, fit, truncated
from .._window.message import Message
from .._window.options import WindowOptions
from .._window.spoken import without_tools
from .._window.summary import checked_summary, summary_message
from .._window.tokens import TokenCounter, estimate_tokens
from ..shapes import Messages
from .desk import Desk
from .leases import CONSOLIDATE
from .reading import beside_questions

__all__ = ["KEEP", "MAX_TOKENS", "Consolidation", "Summarize", "consolidate"]

logger: Final = logging.getLogger("turnkeep")

Summarize: TypeAlias = Callable[[Messages], Awaitable[str]]
"""A function from older messages, after the summary so far, to their summary."""

KEEP: Final = 20
MAX_TOKENS: Final = 16_000
READ_AHEAD: Final = 64
"""The turns to read beyond those that are kept, at first."""
_CALLS_A_PIECE: Final = 3
"""The most calls of the summarizer for one piece, if its turns keep changing."""


@dataclass(frozen=True, slots=True)
class Consolidation:
    """One consolidation, as `Session.consolidate` describes it."""

    summarize: Summarize
    _: KW_ONLY
    keep: int = KEEP
    max_tokens: int = MAX_TOKENS
    count_tokens: TokenCounter = estimate_tokens
    speakers: Speakers | None = None

    def __post_init__(self) -> None:
        if not callable(self.summarize):
            raise SummaryError(
                f"summarize is an async function from messages to text, not {self.summarize!r}"
            )
        check_count("keep", self.keep, least=0)
        try:
            self.options  # noqa: B018 (it is checked by being made)
        except WindowError as error:
            raise SummaryError(str(error)) from None

    @property
    def options(self) -> WindowOptions:
        """The options for the summarizer's messages."""
        return WindowOptions(
            max_tokens=self.max_tokens, count_tokens=self.count_tokens, speakers=self.speakers
        )


def check_count(name: str, count: object, *, least: int) -> None:
    """Raise `SummaryError` unless the count is a whole number of at least `least`."""
    if isinstance(count, bool) or not isinstance(count, int) or count < least:
        raise SummaryError(f"{name} is a whole number, {least} or more, not {count!r}")


@dataclass(frozen=True, slots=True)
class Backlog:
    """The part of a session that may be summarized: `exchanges`, up to the id `reach`."""

    info: SessionInfo
    exchanges: list[Exchange]
    reach: int

    def up_to(self, reach: int) -> Backlog:
        """Return the part up to this id."""
        exchanges = [one for one in self.exchanges if one.user.id <= reach]
        return Backlog(self.info, exchanges, min(reach, self.reach))

    def piece(self, summary: str | None, plan: Consolidation) -> tuple[int, int]:
        """Return how many exchanges fit into one call, and the id up to which they reach.

        At least one is returned: an exchange that is too long alone is cut in its middle.
        """
        room = plan.max_tokens
        if summary:
            room -= plan.options.tokens(summary_message(summary))
        for count, exchange in enumerate(self.exchanges):
            room -= sum(map(plan.options.cost, exchange.turns))
            if room < 0 and count:
                return count, exchange.user.id - 1
        return len(self.exchanges), self.reach


def backlog(
    info: SessionInfo, turns: Sequence[Turn], *, keep: int, first_open: int, complete: bool
) -> Backlog | None:
    """Return the exchanges before the newest `keep` messages; None if more must be read.

    They end just before a user turn, and never include the latest one. They also end before
    `first_open`, the first turn with an open reply: windows would not show its answer.
    """
    shown, complete = visible(info, turns, View(), complete=complete)
    if not complete:
        return None
    exchanges = arrange(shown).exchanges
    kept = 0
    for place in range(len(exchanges) - 1, 0, -1):
        kept += len(exchanges[place].turns)
        if kept >= keep and exchanges[place].user.id <= first_open:
            return Backlog(info, exchanges[:place], exchanges[place].user.id - 1)
    return Backlog(info, [], 0)


async def consolidate(desk: Desk, key: SessionKey, plan: Consolidation) -> bool:
    """Summarize everything but the newest messages; return True if there was anything.

    One call at a time works on a session. Another one in this process waits, and one in another
    process returns False.
    """
    info = await desk.info(key)
    if info is None:
        return False
    async with desk.alone(info.generation):
        if not desk.is_shared:
            return await _consolidate(desk, key, plan)
        lease = await desk.leases.take(key, CONSOLIDATE, mark=info.generation)
        if lease is None:
            return False
        try:
            return await _consolidate(desk, key, plan)
        finally:
            with CancelScope(shield=True):
                await desk.leases.drop(lease)


async def _consolidate(desk: Desk, key: SessionKey, plan: Consolidation) -> bool:
    done, asked, text = False, None, ""
    begun: SessionInfo | None = None
    reach, calls = sys.maxsize, 0
    refused: SessionInfo | None = None
    while True:
        found = await _read_backlog(desk, key, plan.keep)
        if found is None or not found.exchanges:
            return done
        if begun is None:
            begun, reach = found.info, found.reach
        # Turns that came since the first look wait for the next consolidation.
        found = found.up_to(reach)
        if found.info.epoch_name != begun.epoch_name or not found.exchanges:
            return done
        if refused == found.info:
            return done  # nothing changed, so it would be refused again
        summary = found.info.summary
        count, reached = found.piece(summary, plan)
        messages = _messages(found.exchanges[:count], summary, plan)
        if messages != asked:
            if calls == _CALLS_A_PIECE:
                logger.warning("session %s: not consolidated: its turns change all the time", key)
                return done
            asked, calls = messages, calls + 1
            text = await _summarized(key, messages, plan)
        if await _first_open(desk, found.info) <= reached:
            return done  # a reply was begun meanwhile
        async with desk.use(key, write=True) as storage:
            expected = found.info.expected(revision=True)
            fold = partial(storage.consolidate, key, reached, text, expected=expected)
            folded, lost = await desk.surely(fold)
            if lost and not folded:
                now = (await storage.read(key, limit=0)).info
                folded = now is not None and now.summary == text
            if folded:
                done, asked, calls = True, None, 0
            else:  # it was edited, cleared or merged meanwhile: look again
                refused = found.info


async def _first_open(desk: Desk, info: SessionInfo) -> int:
    """Return the lowest id with an open reply in any process, or `sys.maxsize`."""
    first = desk.answers.first_open(info)
    return min(first, await desk.leases.first_open(info)) if desk.is_shared else first


async def _read_backlog(desk: Desk, key: SessionKey, keep: int) -> Backlog | None:
    limit = 2 * keep + READ_AHEAD
    while True:
        # As for a write, so that a read-only store raises before the model is paid.
        async with desk.use(key, write=True) as storage:
            info, turns, complete = await storage.read(key, limit=limit)
        if info is None:
            return None
        turns = await beside_questions(desk, info, turns, complete=complete)
        first_open = await _first_open(desk, info)
        found = backlog(info, turns, keep=keep, first_open=first_open, complete=complete)
        if found is not None:
            return found
        limit *= 4


def _messages(piece: Sequence[Exchange], summary: str | None, plan: Consolidation) -> list[Message]:
    """Return the messages for the summarizer."""
    messages = [] if summary is None else [summary_message(summary)]
    bound = Bound(plan.max_tokens, plan.options.cost, 0)
    for exchange in piece:
        messages += map(plan.options.message, _within(exchange, bound))
    return without_tools(messages)


def _within(exchange: Exchange, bound: Bound) -> Sequence[Turn]:
    """Return the turns of an exchange, cut to the bound if it alone is too long."""
    if bound.of(exchange.turns) <= bound.most:
        return exchange.turns
    user = beside(exchange.user, bound)
    exchange = fit(Exchange(user, exchange.groups, opening=exchange.opening), [bound])
    return Exchange(truncated(user, bound, "truncate"), exchange.groups).turns


async def _summarized(key: SessionKey, messages: list[Message], plan: Consolidation) -> str:
    where = f"session {key}: "
    # A copy: a change of these messages must not look like a change of the session.
    answer: Any = plan.summarize(copy.deepcopy(messages))
    if not isawaitable(answer):
        raise SummaryError(
            f"{where}summarize returned {type(answer).__name__}, but must be an async function: "
            "write 'async def'; nothing was changed"
        )
    return checked_summary(await answer, where)
