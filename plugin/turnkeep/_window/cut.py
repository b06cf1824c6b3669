"""Choose the start of a window.

Every cut moves in steps. Providers bill a repeated prefix at about a tenth, and a window that
slides at every turn never repeats one. A step depends only on the ids and costs of the turns
near the cut, so two processes cut at the same place, and so does one after a restart. All
functions are pure.
"""

from __future__ import annotations

import math
from bisect import bisect_left, bisect_right
from collections.abc import Sequence
from typing import NamedTuple

from .._records.turn import Turn
from .arrange import Arrangement, bot_first
from .exchange import Exchange
from .fit import Bound, condensed

__all__ = ["Cut", "first_kept", "reminder_before"]


class Cut(NamedTuple):
    """The start of a window."""

    start: int
    """The index of the first exchange."""
    condensed: dict[int, Exchange]
    """Exchanges to show in place of the stored ones, by index."""


def reminder_before(chat: Arrangement, first: int, start: int) -> Sequence[Turn]:
    """Return the bot's own words just before an exchange, as they stand at a window's start."""
    reminder = chat.reminders.get(start) if start > first else None
    return () if reminder is None else (bot_first(reminder), reminder)


def first_kept(
    chat: Arrangement, first: int, messages: Bound, tokens: Bound | None = None, *, complete: bool
) -> Cut | None:
    """Return the start of the window, or None if more turns must be read.

    `first` is the index of the first exchange that may be shown. `complete` is true if there
    is none before it. The bound that is reached first, counted from the end, decides.
    """
    # From this exchange on, all fit into the bound in messages.
    within = bisect_left(chat.starts, len(chat.turns) - messages.most, first)
    shown: dict[int, Exchange] = {}
    if tokens is not None:
        start = _over_tokens(chat, first, within, tokens, shown)
        if start is not None:
            return Cut(start, shown)
    if within == first:
        return Cut(first, shown) if complete else None
    start, last = _on_grid(chat, within - 1, messages), len(chat.ids) - 1
    # A step comes a little earlier if a reminder would not stay in the window until then.
    while messages.slack and start < last and _is_full(chat, start, messages):
        start = _on_grid(chat, start, messages)
    return Cut(start, shown)


def _is_full(chat: Arrangement, start: int, messages: Bound) -> bool:
    reminder = reminder_before(chat, 0, start)
    return bool(reminder) and len(chat.turns) - chat.starts[start] + 2 > messages.most


def _over_tokens(
    chat: Arrangement, first: int, within: int, bound: Bound, shown: dict[int, Exchange]
) -> int | None:
    """Return the start for the bound in tokens, or None if that bound is not reached first.

    Candidates are the exchanges at which a window of between `(1 - slack)` of the bound and
    the bound can start. The cut lands on the roundest one: between its id and that of the
    user turn before lies a multiple of the highest power of two. It stays the roundest while
    the chat grows, so the cut stays until the window no longer fits. Condensed exchanges are
    added to `shown`.
    """
    exchanges, ids = chat.exchanges, chat.ids
    last = len(exchanges) - 1
    cost = roundest = 0
    best = last
    for index in range(last, max(within - 1, first) - 1, -1):
        exchange = exchanges[index]
        own = exchange.cost(bound.cost)
        if index < last and own > bound.most // 2 and not exchange.plain:
            exchange = shown[index] = condensed(exchange, bound)
            own = exchange.cost(bound.cost)
        cost += own
        if cost > bound.most:
            return best if roundest else min(index + 1, last)
        if max(first, within - 1) < index and cost >= (1 - bound.slack) * bound.most:
            # The highest differing bit is the highest power of two with a multiple between them.
            power = (ids[index - 1] ^ ids[index]).bit_length()
            if power > roundest:
                best, roundest = index, power
    return None


def _on_grid(chat: Arrangement, over: int, bound: Bound) -> int:
    """Return the first exchange after the next multiple of the step among the ids.

    `over` is the newest exchange that no longer fits, and a step is the bound times its
    slack. The cut stays where it is until the id of `over` has passed that multiple. Where
    messages had to wait, the answers' ids are far behind, and a step of ids is two of messages:
    such a step is halved, or the window would begin anew with the message in hand.
    """
    ids, last = chat.ids, len(chat.ids) - 1
    if over >= last:
        return last
    step = max(1, int(bound.most * bound.slack))
    most = step * 3 // 2
    while True:
        edge = math.ceil(ids[over] / step) * step
        start = bisect_right(ids, edge, over + 1, last)
        if step == 1 or chat.starts[start] - chat.starts[over + 1] <= most:
            return start
        step //= 2
