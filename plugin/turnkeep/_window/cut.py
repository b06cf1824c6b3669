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
from functools import partial
from typing import Final, NamedTuple

from .._records.turn import Turn
from .arrange import Arrangement, bot_first
from .exchange import Exchange, Totals
from .fit import Bound, condensed

__all__ = ["Cut", "first_kept", "reminder_before"]


_FAR: Final = 256
"""Windows are followed from up to so many ids before the one in hand. Nearer, they begin anew more
often; farther, more turns are read for little. Long windows need half of their length."""

_ROUND: Final = 16
"""The windows are followed from a multiple of it, or of a power of two that is larger."""


class Cut(NamedTuple):
    """The start of a window."""

    start: int
    """The index of the first exchange."""
    condensed: dict[int, Exchange]
    """Exchanges to show in place of the stored ones, by index."""
    seen: int
    """The index of the first exchange that the choice depends on."""


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
        totals = _totals(chat, tokens)
        over = _newest_over(chat, totals, tokens, max(within - 1, first))
        if over is not None:
            return _followed(chat, totals, tokens, first, over, complete=complete)
        shown = totals.condensed(within)
    if within == first:
        return Cut(first, shown, first) if complete else None
    start, last = _on_grid(chat, within - 1, messages), len(chat.ids) - 1
    # A step comes a little earlier if a reminder would not stay in the window until then.
    while messages.slack and start < last and _is_full(chat, start, messages):
        start = _on_grid(chat, start, messages)
    return Cut(start, shown, within - 1)


def _is_full(chat: Arrangement, start: int, messages: Bound) -> bool:
    reminder = reminder_before(chat, 0, start)
    return bool(reminder) and len(chat.turns) - chat.starts[start] + 2 > messages.most


def _totals(chat: Arrangement, bound: Bound) -> Totals:
    """Return what the exchanges before the last one cost; only new ones are counted."""
    totals = chat.totals
    if totals is None or totals.bound != bound:
        shown = partial(condensed, bound=bound)
        totals = chat.totals = Totals(chat.exchanges, bound.cost, shown, bound)
    totals.extend()
    return totals


def _newest_over(chat: Arrangement, totals: Totals, bound: Bound, first: int) -> int | None:
    """Return the newest exchange, from `first` on, that no longer fits into the bound."""
    sums, last = totals.sums, len(chat.ids) - 1
    most = sums[last] + chat.exchanges[last].cost(bound.cost) - bound.most
    totals.reach(first, most)
    over = bisect_left(sums, most, max(first, totals.first), last + 1) - 1
    return over if over >= first else None


def _followed(
    chat: Arrangement, totals: Totals, bound: Bound, first: int, over: int, *, complete: bool
) -> Cut | None:
    """Return the start for the bound in tokens, or None if more turns must be read.

    The windows are followed from an exchange before `over`: each begins where the last one
    did, until the chat no longer fits. Then it begins as late as the slack allows, and holds for
    as long as it can.
    """
    last = len(chat.ids) - 1
    if over == last:
        return Cut(last, {}, last)
    seen = _anchor(chat, totals, bound, first, over, complete=complete)
    if seen is None:
        return None
    start = _after(chat, totals, bound, first, seen)
    return Cut(start, totals.condensed(start), seen)


def _anchor(
    chat: Arrangement, totals: Totals, bound: Bound, first: int, over: int, *, complete: bool
) -> int | None:
    """Return the exchange from which windows are followed, or None if it must be read.

    It is behind a round id. How round, that depends on the length of a window that begins there,
    and on no later turn. So the windows to come are followed from the same exchange, until there
    is a newer one.
    """
    ids, sums, last = chat.ids, totals.sums, len(chat.ids) - 1
    id = ids[over] // _ROUND * _ROUND
    while id > ids[first]:
        at = bisect_left(ids, id, first)
        totals.reach(at)
        end = bisect_right(sums, sums[at] + bound.most, at + 1, last + 1) - 1
        length = ids[end] - ids[at]
        far = max(length // 2, min(4 * length, _FAR))
        if id % (1 << (far - 1).bit_length()) == 0:
            return at
        id -= _ROUND
    if not complete:
        return None
    totals.reach(first)
    return first


def _after(chat: Arrangement, totals: Totals, bound: Bound, first: int, start: int) -> int:
    """Return the start of the latest window if those before it began with this exchange."""
    sums, last = totals.sums, len(chat.ids) - 1
    least, room = (1 - bound.slack) * bound.most, _room(chat, bound, first, start, 0)
    index = start
    while True:
        # The next exchange that is too much at its end, or was before it was condensed.
        full = bisect_right(sums, sums[start] + room, index + 1, last + 1) - 1
        index = totals.next_condensed(index, full)
        # There was a window for each step of the exchange.
        steps = chat.exchanges[index].costs(bound.cost)
        step = 0
        while start < index:
            step = bisect_right(steps, room - (sums[index] - sums[start]), step)
            if step == len(steps):
                break
            end = sums[index] + steps[step]
            latest = bisect_right(sums, end - least, start, index + 1) - 1
            start = max(latest, bisect_left(sums, end - bound.most, start + 1, index))
            room = _room(chat, bound, first, start, end - sums[start])
        if index == last:
            return start
        index += 1


def _room(chat: Arrangement, bound: Bound, first: int, start: int, cost: int) -> int:
    """Return the room for a window's exchanges: it keeps a reminder that it has begun with."""
    reminder = bound.of(reminder_before(chat, first, start))
    return bound.most - (reminder if cost + reminder <= bound.most else 0)


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
