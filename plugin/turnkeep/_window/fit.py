"""Fit an exchange into the bounds of a window by cutting its middle. All functions are pure.

The user turn and the newest group stay, since the model continues from them. Older groups go
as a whole, in steps. Long tool results are shortened, so that one of them never makes the
model forget its calls and repeat them for ever.
"""

from __future__ import annotations

import math
from collections.abc import Sequence
from typing import Any, Final, NamedTuple

import msgspec

from .._errors import WindowError
from .._records.text import shortened
from .._records.turn import Turn
from .choices import Overflow
from .exchange import Exchange, Group
from .items import without_parts
from .ledger import Cost, Older, one_message
from .message import arguments_text, custom_of, is_blank, words_of

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

    def of_exchange(self, exchange: Exchange) -> int:
        """Return what the turns of an exchange cost together."""
        return len(exchange.turns) if self.cost is one_message else exchange.cost(self.cost)


def fit(exchange: Exchange, bounds: Sequence[Bound], overflow: Overflow = "error") -> Exchange:
    """Return the current exchange, cut in its middle if it alone is over a bound.

    For a bound in tokens, long texts of tool groups are shortened first. Then whole groups go:
    tool groups, the oldest first, then the oldest of the others. The user turn and the newest
    group stay; if that group has calls, even where they alone are over the bound. A user turn
    that leaves them too little room is shortened with `overflow="truncate"`.
    """
    over = [bound for bound in bounds if bound.of_exchange(exchange) > bound.most]
    if not over:
        return exchange
    user, groups = exchange.user, exchange.groups
    newest = _newest(groups)
    has_calls = newest is not None and _has_calls(groups[newest])
    tokens = next((bound for bound in over if bound.cost is not one_message), None)
    if tokens is not None and has_calls and overflow == "truncate":
        user = beside(user, tokens)
    # The newest group counts as it will when it is an older one, so that groups which were
    # dropped never come back.
    most = None if tokens is None else _most_of_group(tokens.most - tokens.cost(user))
    older = _older(exchange, newest, bounds, most)
    last = [] if newest is None else groups[newest]
    counted = last if most is None or not has_calls else shorter(last, most, older.cost)
    gone = max(_to_drop(older, counted, bound, bound.most - bound.cost(user)) for bound in bounds)
    kept = older.kept(gone)
    shown = {place: older.groups[place] for place in kept}
    if newest is not None:
        if tokens is not None:
            left = tokens.most - tokens.cost(user) - older.left(tokens.cost, gone)
            last = shorter(last, left, tokens.cost)
        if has_calls or not (
            is_blank(last[0])
            or any(
                bound.cost(user) + older.left(bound.cost, gone) + bound.of(last) > bound.most
                for bound in bounds
            )
        ):
            shown[newest] = last
            kept = sorted(shown)
    return Exchange(user, [shown[place] for place in kept], opening=exchange.opening)


def _older(
    exchange: Exchange, newest: int | None, bounds: Sequence[Bound], most: int | None
) -> Older:
    """Return the groups beside the newest one, which the exchange keeps for its next window."""
    groups, end, cost = exchange.groups, len(exchange.groups), bounds[-1].cost
    if newest is None or newest < end - 1:  # with stored system turns at its end
        older = Older(cost, most, shorter)
        for place in range(end):
            if place != newest:
                older.add(place, groups[place])
        return older
    ledger = exchange.ledger(cost)
    older = ledger.older or Older(cost, most, shorter)
    if older.most != most:
        older = Older(cost, most, shorter)
    ledger.older = older
    older.extend(groups, newest)
    return older


def condensed(exchange: Exchange, bound: Bound) -> Exchange:
    """Return an earlier exchange whose tool groups do not take it over half of the bound.

    They are shortened and dropped like those of the current exchange. So the question and the
    answer stay in the window after a long tool result.
    """
    room = bound.most // 2 - bound.of_exchange(exchange)
    if exchange.plain or room >= 0:
        return exchange
    made = exchange.condensed
    if made is None or made[:2] != (bound.cost, bound.most):
        made = exchange.condensed = bound.cost, bound.most, _condensed(exchange, bound, room)
    return made[2]


def _condensed(exchange: Exchange, bound: Bound, room: int) -> Exchange:
    groups = exchange.groups
    room += sum(bound.of(group) for group in groups if _has_calls(group))
    older = Older(bound.cost, _most_of_group(room), shorter)
    older.extend(groups, len(groups))
    excess = sum(bound.of(older.groups[place]) for place in older.tools) - room
    gone = min(older.to_drop(bound.cost, excess), len(older.tools)) if excess > 0 else 0
    shown = [older.groups[place] for place in older.kept(gone)]
    return Exchange(exchange.user, shown, exchange.lead, exchange.opening)


def _newest(groups: Sequence[Group]) -> int | None:
    """Return the index of the newest group that is not a stored system turn."""
    return next(
        (i for i in reversed(range(len(groups))) if groups[i][0].role != "system"),
        None,
    )


def _has_calls(group: Group) -> bool:
    return len(group) > 1


def _to_drop(older: Older, newest: Group, bound: Bound, room: int) -> int:
    """Return the number of groups to drop, so that the rest fits into the room with the newest."""
    excess = older.total(bound.cost) + bound.of(newest) - room
    if excess <= 0:
        return 0
    step = max(1, int(room * bound.slack))
    return older.to_drop(bound.cost, math.ceil(excess / step) * step)


def _most_of_group(room: int) -> int:
    """Return the most that an older tool group costs, where there is not room for all."""
    return max(1, room // _GROUPS_IN_ROOM)


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
