"""The window: which part of a conversation goes to the model, and as which messages.

A pure function of the stored turns and the arguments, computed from the end of the session.
Every cut moves in steps: providers bill a repeated prefix at about a tenth, and a window
that slides at every turn never repeats one. Where a step falls depends on the turns' ids
alone, so that two processes, or one before and after a restart, cut at the same place.
"""

from __future__ import annotations

import copy
import math
import re
from collections.abc import Callable, Iterable, Sequence
from dataclasses import dataclass
from itertools import accumulate
from typing import Any, Final, Literal, TypeAlias, get_args

import msgspec

from ._arrange import Exchange, Group, Unanswered, View, arrange, visible
from ._errors import WindowError
from ._info import SessionInfo
from ._tokens import TokenCounter, estimate_tokens, message_tokens
from ._turn import Turn

Message: TypeAlias = dict[str, Any]
SystemTurns: TypeAlias = Literal["drop", "keep"]
Overflow: TypeAlias = Literal["error", "truncate"]

MAX_MESSAGES: Final = 500
SUMMARY_HEAD: Final = "Summary of the conversation so far:\n"
_BAD_NAME: Final = re.compile(r"[^a-zA-Z0-9_-]")
_READ_AHEAD: Final = 16


@dataclass(frozen=True, slots=True, kw_only=True)
class WindowOptions:
    """What a window may hold; see `Session.get_history` for what each means."""

    max_messages: int = MAX_MESSAGES
    max_tokens: int | None = None
    count_tokens: TokenCounter = estimate_tokens
    slack: float = 0.5
    system: SystemTurns = "drop"
    unanswered: Unanswered = "result"
    overflow: Overflow = "error"
    extra: tuple[str, ...] = ()

    def __post_init__(self) -> None:
        for name in ("max_messages", "max_tokens"):
            bound = getattr(self, name)
            if bound is None and name == "max_tokens":
                continue
            if isinstance(bound, bool) or not isinstance(bound, int) or bound < 1:
                raise WindowError(f"{name} is a whole number, 1 or more, not {bound!r}")
        if not isinstance(self.slack, (int, float)) or not 0 <= self.slack < 1:
            raise WindowError(
                f"slack is a share of the window, from 0 (slide at every turn) to below 1, "
                f"not {self.slack!r}"
            )
        for name, choices in (
            ("system", SystemTurns),
            ("unanswered", Unanswered),
            ("overflow", Overflow),
        ):
            if getattr(self, name) not in get_args(choices):
                allowed = " or ".join(map(repr, get_args(choices)))
                raise WindowError(f"{name} is {allowed}, not {getattr(self, name)!r}")

    @property
    def first_read(self) -> int:
        """How many turns to read first: mostly enough, and never much too much."""
        return self.max_messages + _READ_AHEAD


def build_window(
    info: SessionInfo | None,
    turns: Sequence[Turn],
    options: WindowOptions,
    view: View,
    *,
    complete: bool,
) -> list[Message] | None:
    """The window over the end of a session, or None if more of it must be read.

    `turns` are the newest, ascending; `complete` says that there are none before.
    """
    if info is None:
        return []
    shown = visible(info, turns, view, complete=complete)
    if shown is None:
        return None
    exchanges = arrange(
        shown[0], unanswered=options.unanswered, keep_system=options.system == "keep"
    )
    if not exchanges:
        return [] if shown[1] else None
    lengths = _Costs(exchanges, _length)
    room = options.max_messages
    summary = _summary(info)
    if summary is not None and room > 1:
        room -= 1
    else:
        summary = None
    start = _start_on_grid(exchanges, lengths, room, options.slack, shown[1])
    if start is None:
        return None
    costs = None
    budget = 0
    if options.max_tokens is not None:
        budget = options.max_tokens
        if summary is not None:
            budget -= message_tokens(summary, options.count_tokens)
            if budget < 1:
                summary, budget = None, options.max_tokens
        costs = _Costs(exchanges, lambda turn: _tokens(turn, options))
        by_tokens = _start_by_tokens(exchanges, costs, budget, options.slack, shown[1])
        if by_tokens is None:
            return None
        start = max(start, by_tokens)
    kept = exchanges[start:]
    if len(kept) == 1:
        kept = [_fit_last(kept[0], room, budget if costs else None, options)]
    messages = [to_message(turn, options.extra) for one in kept for turn in one.turns()]
    return messages if summary is None else [summary, *messages]


class _Costs:
    """What each exchange costs; `suffix(i)` is the sum from exchange `i` to the end."""

    def __init__(self, exchanges: Sequence[Exchange], cost: Callable[[Turn], int]) -> None:
        of_each = [sum(map(cost, one.turns())) for one in reversed(exchanges)]
        self._suffixes = list(accumulate(of_each))[::-1]

    def suffix(self, index: int) -> int:
        return self._suffixes[index]

    def first_within(self, bound: int) -> int:
        """The longest suffix that costs at most `bound`; at least the last exchange."""
        last = len(self._suffixes) - 1
        return next((i for i, cost in enumerate(self._suffixes) if cost <= bound), last)


def _start_on_grid(
    exchanges: Sequence[Exchange], lengths: _Costs, room: int, slack: float, complete: bool
) -> int | None:
    """The cut for a bound in messages: the steps are the multiples of `room * slack`.

    The cut goes behind the exchange that no longer fits, up to the next multiple among the
    ids; so it stays where it is until that exchange's own id has passed the multiple.
    """
    fits = lengths.first_within(room)
    if fits == 0:
        return 0 if complete or lengths.suffix(0) > room else None
    step = max(1, int(room * slack))
    edge = math.ceil(exchanges[fits - 1].user.id / step) * step
    last = len(exchanges) - 1
    return next((i for i in range(fits, last) if exchanges[i].user.id > edge), last)


def _start_by_tokens(
    exchanges: Sequence[Exchange], costs: _Costs, budget: int, slack: float, complete: bool
) -> int | None:
    """The cut for a bound in tokens, from the tail alone.

    Of the exchanges from which the rest costs between `(1 - slack) * budget` and `budget`,
    the one that stands at the roundest id: whose ids, from behind the user turn before, hold
    the multiple of the highest power of two. It stays the roundest while the chat grows,
    until it no longer fits.
    """
    fits = costs.first_within(budget)
    if fits == 0:
        return 0 if complete or costs.suffix(0) > budget else None
    floor = (1 - slack) * budget
    best, roundest = fits, -1
    for index in range(fits, len(exchanges)):
        if costs.suffix(index) < floor:
            break
        before, here = exchanges[index - 1].user.id, exchanges[index].user.id
        # The highest bit in which they differ is the highest power that lies between them.
        power = (before ^ here).bit_length()
        if power > roundest:
            best, roundest = index, power
    return best


def _fit_last(
    exchange: Exchange, room: int, budget: int | None, options: WindowOptions
) -> Exchange:
    """The current exchange, cut in its middle if it alone is too long.

    Whole tool groups go first, the oldest first, then the oldest of the others; the newest
    group goes last, since it is what the model is to go on from. The user turn stays.
    """
    groups = _drop_groups(exchange, exchange.groups, room, options.slack, _length)
    if budget is not None:
        groups = _drop_groups(
            exchange, groups, budget, options.slack, lambda turn: _tokens(turn, options)
        )
    lead = exchange.lead if groups == exchange.groups else []
    user = exchange.user
    if 1 + len(lead) > room:
        lead = []
    if budget is not None and _tokens(user, options) > budget:
        user = _truncated(user, budget, options)
    return Exchange(user, groups, lead)


def _drop_groups(
    exchange: Exchange, groups: list[Group], bound: int, slack: float, cost: Callable[[Turn], int]
) -> list[Group]:
    costs = [sum(map(cost, group)) for group in groups]
    excess = sum(costs) + cost(exchange.user) + sum(map(cost, exchange.lead)) - bound
    if excess <= 0:
        return groups
    step = max(1, int(bound * slack))
    wanted = math.ceil(excess / step) * step
    newest = len(groups) - 1
    by_turn = sorted(range(newest), key=lambda i: (len(groups[i]) == 1, i))
    dropped: set[int] = set()
    gone = 0
    for index in by_turn:
        if gone >= wanted:
            break
        dropped.add(index)
        gone += costs[index]
    if gone < excess and newest >= 0:
        dropped.add(newest)
    return [group for index, group in enumerate(groups) if index not in dropped]


def _truncated(user: Turn, budget: int, options: WindowOptions) -> Turn:
    tokens = _tokens(user, options)
    if options.overflow == "error":
        raise WindowError(
            f"the latest user turn (id {user.id}) alone costs {tokens:,} tokens and the window "
            f"may hold {budget:,}: raise max_tokens, or pass overflow='truncate'"
        )
    text = user.text
    low, high = 0, len(text)
    while low < high:
        middle = (low + high + 1) // 2
        if _tokens(_cut_text(user, text, middle), options) <= budget:
            low = middle
        else:
            high = middle - 1
    cut = _cut_text(user, text, low)
    if low == 0 or _tokens(cut, options) > budget:
        raise WindowError(
            f"not even the beginning of the latest user turn (id {user.id}) fits into "
            f"{budget:,} tokens: raise max_tokens"
        )
    return cut


def _cut_text(turn: Turn, text: str, keep: int) -> Turn:
    return msgspec.structs.replace(turn, content=f"{text[:keep]} […]")


def _length(_: Turn) -> int:
    return 1


def _tokens(turn: Turn, options: WindowOptions) -> int:
    return message_tokens(to_message(turn, options.extra), options.count_tokens)


def _summary(info: SessionInfo) -> Message | None:
    if not info.summary:
        return None
    return {"role": "system", "content": SUMMARY_HEAD + info.summary}


def to_message(turn: Turn, extra: Iterable[str] = ()) -> Message:
    """A turn as a chat-completions message, the caller's own copy."""
    content = turn.content
    if isinstance(content, list):
        content = [
            copy.deepcopy(part)
            for part in content
            if part.get("type") != "text" or str(part.get("text") or "").strip()
        ]
    message: Message = {"role": turn.role, "content": content}
    if turn.name and turn.role != "tool":
        message["name"] = api_name(turn.name)
    if turn.role == "assistant" and turn.tool_calls:
        message["content"] = content or None
        message["tool_calls"] = [_call(call) for call in turn.tool_calls]
    if turn.role == "tool":
        message["content"] = "" if content is None else content
        message["tool_call_id"] = turn.tool_call_id
    for name in extra:
        if name in turn.extra:
            message[name] = copy.deepcopy(turn.extra[name])
    return message


def api_name(name: str) -> str:
    """The name in the characters that the APIs take: `^[a-zA-Z0-9_-]{1,64}$` (OpenAI)."""
    return _BAD_NAME.sub("_", name)[:64]


def _call(call: dict[str, Any]) -> dict[str, Any]:
    function = call["function"]
    arguments = function.get("arguments")
    if not isinstance(arguments, str):
        arguments = msgspec.json.encode({} if arguments is None else arguments).decode()
    name = api_name(function["name"])
    return {
        "id": call["id"],
        "type": "function",
        "function": {"name": name, "arguments": arguments},
    }
