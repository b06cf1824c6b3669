"""Choose the start of a window, and shorten a current exchange that is too long.

Every cut moves in steps. Providers bill a repeated prefix at about a tenth, and a window that
slides at every turn never repeats one. A step depends only on the ids and costs of the turns
near the cut, so two processes cut at the same place, and so does one after a restart. All
functions are pure.
"""

from __future__ import annotations

import math
from bisect import bisect_left, bisect_right
from collections.abc import Callable, Sequence
from typing import Literal, NamedTuple, TypeAlias

import msgspec

from .._errors import WindowError
from .._records.text import shortened
from .._records.turn import Turn
from .arrange import Arrangement, Exchange
from .message import words_of

Overflow: TypeAlias = Literal["error", "truncate"]
Cost: TypeAlias = Callable[[Turn], int]


class Bound(NamedTuple):
    """The largest cost of a window, the cost of a turn, and the share that a step cuts."""

    most: int
    cost: Cost
    slack: float


def one_message(_: Turn) -> int:
    """Return the cost of a turn for a bound in messages."""
    return 1


def first_kept(
    chat: Arrangement, first: int, messages: Bound, tokens: Bound | None = None, *, complete: bool
) -> int | None:
    """Return the index of the window's first exchange, or None if more turns must be read.

    `first` is the index of the first exchange that may be shown. `complete` is true if there
    is none before it. The bound that is reached first, counted from the end, decides.
    """
    # From this exchange on, all fit into the bound in messages.
    within = bisect_left(chat.starts, len(chat.turns) - messages.most, first)
    if tokens is not None:
        start = _over_tokens(chat, first, within, tokens)
        if start is not None:
            return start
    if within == first:
        return first if complete else None
    return _on_grid(chat.ids, within - 1, messages)


def _over_tokens(chat: Arrangement, first: int, within: int, bound: Bound) -> int | None:
    """Return the start for the bound in tokens, or None if that bound is not reached first.

    Candidates are the exchanges at which a window of between `(1 - slack)` of the bound and
    the bound can start. The cut lands on the roundest one: between its id and that of the
    user turn before lies a multiple of the highest power of two. It stays the roundest while
    the chat grows, so the cut stays until the window no longer fits.
    """
    exchanges, ids = chat.exchanges, chat.ids
    last = len(exchanges) - 1
    cost = roundest = 0
    best = last
    for index in range(last, max(within - 1, first) - 1, -1):
        cost += sum(map(bound.cost, exchanges[index].turns))
        if cost > bound.most:
            return best if roundest else min(index + 1, last)
        if max(first, within - 1) < index and cost >= (1 - bound.slack) * bound.most:
            # The highest differing bit is the highest power of two with a multiple between them.
            power = (ids[index - 1] ^ ids[index]).bit_length()
            if power > roundest:
                best, roundest = index, power
    return None


def _on_grid(ids: Sequence[int], over: int, bound: Bound) -> int:
    """Return the first exchange after the next multiple of the step among the ids.

    `over` is the newest exchange that no longer fits, and a step is the bound times its
    slack. The cut stays where it is until the id of `over` has passed that multiple.
    """
    last = len(ids) - 1
    step = max(1, int(bound.most * bound.slack))
    edge = math.ceil(ids[over] / step) * step
    return bisect_right(ids, edge, over + 1, last) if over < last else last


def fit(exchange: Exchange, bounds: Sequence[Bound]) -> Exchange:
    """Return the current exchange, cut in its middle if it alone is over a bound.

    Whole tool groups go first, the oldest first, then the oldest of the other groups. The
    newest group goes last, since the model continues from it. The user turn stays.
    """
    turns = exchange.turns
    if all(sum(map(bound.cost, turns)) <= bound.most for bound in bounds):
        return exchange
    groups = exchange.groups
    newest = len(groups) - 1
    order = sorted(range(newest), key=lambda index: (len(groups[index]) == 1, index))
    order += [newest] if groups else []
    dropped = set(order[: max(_over(exchange, order, bound) for bound in bounds)])
    return Exchange(exchange.user, [g for i, g in enumerate(groups) if i not in dropped])


def _over(exchange: Exchange, order: Sequence[int], bound: Bound) -> int:
    """Return the number of groups to drop for a bound, in this order."""
    costs = [sum(map(bound.cost, exchange.groups[index])) for index in order]
    room = bound.most - bound.cost(exchange.user)
    excess = sum(costs) - room
    if excess <= 0:
        return 0
    step = max(1, int(room * bound.slack))
    wanted = math.ceil(excess / step) * step
    gone = 0
    for count, cost in enumerate(costs[:-1]):
        if gone >= wanted:
            return count
        gone += cost
    return len(costs) - (gone >= excess)


def truncated(user: Turn, bound: Bound, overflow: Overflow) -> Turn:
    """Return a user turn that alone is over the bound cut to its beginning, with a mark."""
    tokens = bound.cost(user)
    if tokens <= bound.most:
        return user
    if overflow == "error":
        raise WindowError(
            f"the latest user turn (id {user.id}) alone costs {tokens:,} tokens and the window "
            f"may hold {bound.most:,}: raise max_tokens, or pass overflow='truncate'"
        )

    def fits(text: str) -> bool:
        return bound.cost(msgspec.structs.replace(user, content=text)) <= bound.most

    words = words_of(user)  # without its media, which may be what costs too much
    cut = words if fits(words) else shortened(words, fits)
    if cut is None:
        raise WindowError(
            f"not even the beginning of the latest user turn (id {user.id}) fits into "
            f"{bound.most:,} tokens: raise max_tokens"
        )
    return msgspec.structs.replace(user, content=cut)
