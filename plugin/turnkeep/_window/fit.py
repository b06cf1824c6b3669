"""Fit an exchange into the bounds of a window by cutting its middle. All functions are pure.

The user turn and the newest group stay, since the model continues from them. Older groups go
as a whole, in steps. Long tool results are shortened, so that one of them never makes the
model forget its calls and repeat them for ever.
"""

from __future__ import annotations

import math
from bisect import bisect_left
from collections.abc import Callable, Iterable, Sequence
from itertools import accumulate
from typing import Any, Final, NamedTuple, TypeAlias

import msgspec

from .._errors import WindowError
from .._records.text import shortened
from .._records.turn import Turn
from .choices import Overflow
from .exchange import Exchange, Group
from .items import without_parts
from .message import arguments_text, custom_of, is_blank, words_of

Cost: TypeAlias = Callable[[Turn], int]

_GROUPS_IN_ROOM: Final = 4
"""Without enough room, an older tool group costs at most the room divided by this."""

_MARK: Final = " […]"

replace: Final = msgspec.structs.replace


class Bound(NamedTuple):
    """The largest cost of a window, the cost of a turn, and the share that a step cuts."""

    most: int
    cost: Cost
    slack: float

    def of(self, turns: Sequence[Turn]) -> int:
        """Return what these turns cost together."""
        return len(turns) if self.cost is one_message else sum(map(self.cost, turns))

    def of_each(self, groups: Iterable[Group]) -> list[int]:
        """Return what each of these groups costs."""
        return list(map(len, groups)) if self.cost is one_message else list(map(self.of, groups))


def one_message(_: Turn) -> int:
    """Return the cost of a turn for a bound in messages."""
    return 1


def fit(exchange: Exchange, bounds: Sequence[Bound], overflow: Overflow = "error") -> Exchange:
    """Return the current exchange, cut in its middle if it alone is over a bound.

    For a bound in tokens, long texts of tool groups are shortened first. Then whole groups go:
    tool groups, the oldest first, then the oldest of the others. The user turn and the newest
    group stay; if that group has calls, even where they alone are over the bound. A user turn
    that leaves them too little room is shortened with `overflow="truncate"`.
    """
    over = [bound for bound in bounds if bound.of(exchange.turns) > bound.most]
    if not over:
        return exchange
    user, groups = exchange.user, exchange.groups
    newest = _newest(groups)
    has_calls = newest is not None and _has_calls(groups[newest])
    tokens = next((bound for bound in over if bound.cost is not one_message), None)
    counted: list[Group] = [*groups]
    if tokens is not None:
        if has_calls and overflow == "truncate":
            user = beside(user, tokens)
        # The newest group counts as it will when it is an older one, so that groups which
        # were dropped never come back.
        counted = _with_short_results(groups, tokens, tokens.most - tokens.cost(user))
    order = _order(groups, newest)
    gone = max(_to_drop(counted, order, bound, bound.most - bound.cost(user)) for bound in bounds)
    out = {*order[:gone]}
    kept = [index for index in range(len(groups)) if index not in out]
    if newest is not None:
        others = [turn for index in kept if index != newest for turn in counted[index]]
        if tokens is not None:
            left = tokens.most - tokens.cost(user) - tokens.of(others)
            counted[newest] = shorter(groups[newest], left, tokens.cost)
        shown = [user, *others, *counted[newest]]
        too_much = any(bound.of(shown) > bound.most for bound in bounds)
        if not has_calls and (too_much or is_blank(counted[newest][0])):
            kept.remove(newest)
    return Exchange(user, [counted[index] for index in kept], opening=exchange.opening)


def condensed(exchange: Exchange, bound: Bound) -> Exchange:
    """Return an earlier exchange whose tool groups do not take it over half of the bound.

    They are shortened and dropped like those of the current exchange. So the question and the
    answer stay in the window after a long tool result.
    """
    room = bound.most // 2 - bound.of(exchange.turns)
    if exchange.plain or room >= 0:
        return exchange
    groups = exchange.groups
    order = [index for index, group in enumerate(groups) if _has_calls(group)]
    room += sum(bound.of(groups[index]) for index in order)
    counted = _with_short_results(groups, bound, room)
    tools = [counted[index] for index in order]
    gone = _to_drop(tools, range(len(tools)), bound._replace(slack=0), room)
    kept = sorted({*range(len(groups))} - {*order[:gone]})
    shown = [counted[index] for index in kept]
    return Exchange(exchange.user, shown, exchange.lead, exchange.opening)


def _newest(groups: Sequence[Group]) -> int | None:
    """Return the index of the newest group that is not a stored system turn."""
    return next(
        (i for i in reversed(range(len(groups))) if groups[i][0].role != "system"),
        None,
    )


def _has_calls(group: Group) -> bool:
    return len(group) > 1


def _order(groups: Sequence[Group], newest: int | None) -> list[int]:
    """Return the indexes of the groups in the order in which they go; the newest stays."""
    sizes = list(map(len, groups))
    if newest is not None:
        sizes[newest] = 0
    tools = [index for index, size in enumerate(sizes) if size > 1]
    return tools + [index for index, size in enumerate(sizes) if size == 1]


def _to_drop(groups: Sequence[Group], order: Sequence[int], bound: Bound, room: int) -> int:
    """Return the number of groups to drop, in this order, so that all fit into the room."""
    costs = bound.of_each(groups)
    excess = sum(costs) - room
    if excess <= 0:
        return 0
    step = max(1, int(room * bound.slack))
    wanted = math.ceil(excess / step) * step
    gone = list(accumulate(map(costs.__getitem__, order), initial=0))
    return min(bisect_left(gone, wanted), len(order))


def _with_short_results(groups: Sequence[Group], bound: Bound, room: int) -> list[Group]:
    most = max(1, room // _GROUPS_IN_ROOM)
    return [shorter(one, most, bound.cost) if _has_calls(one) else one for one in groups]


def shorter(group: Group, most: int, cost: Cost) -> Group:
    """Return the group with its longest texts cut to one length, so that it costs `most`.

    Answers, arguments and results shorter than that length stay whole. If even the bare calls
    cost more, return those.
    """
    if sum(map(cost, group)) <= most:
        return group

    def fits(length: int) -> bool:
        return sum(cost(_cut(turn, length)) for turn in group) <= most

    # From short to long, so that a text of a megabyte costs no more than a page.
    low, high = 0, 16
    while fits(high):
        low, high = high, 2 * high
    while high - low > 1:
        middle = (low + high) // 2
        low, high = (middle, high) if fits(middle) else (low, middle)
    return [_cut(turn, low) for turn in group]


def _cut(turn: Turn, length: int) -> Turn:
    """Return the turn with each of its texts cut to this length and marked."""
    changes: dict[str, Any] = {}
    words = words_of(turn)
    if len(words) > length + len(_MARK):
        changes["content"] = words[:length] + _MARK if length or turn.role == "tool" else None
    calls = turn.tool_calls or []
    short = [_cut_call(call, length) for call in calls]
    if any(one is not other for one, other in zip(short, calls, strict=True)):
        changes["tool_calls"] = short
    return replace(turn, **without_parts(turn, changes)) if changes else turn


def _cut_call(call: dict[str, Any], length: int) -> dict[str, Any]:
    if (custom := custom_of(call)) is not None:
        if len(custom["input"]) <= length + len(_MARK):
            return call
        return {**call, "custom": {**custom, "input": custom["input"][:length] + _MARK}}
    function = call["function"]
    arguments = arguments_text(function.get("arguments"))
    if len(arguments) <= length + len(_MARK):
        return call
    # No longer JSON, so the message wraps it as text.
    short = arguments[:length] + _MARK if length else "{}"
    return {**call, "function": {**function, "arguments": short}}


def beside(user: Turn, bound: Bound) -> Turn:
    """Return the user turn cut to three quarters of the bound, if that is possible.

    The rest is for its answer.
    """
    try:
        return truncated(user, bound._replace(most=bound.most * 3 // 4), "truncate")
    except WindowError:
        return user


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
