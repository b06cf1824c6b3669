"""From stored turns to exchanges that a model's API accepts, whatever was stored.

An exchange is a user turn and what answers it. Answers stand behind the turn they answer,
also when others spoke meanwhile; a tool's result stands behind its call, also when it came
later; what belongs to nothing is left out. All functions are pure.
"""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from dataclasses import dataclass, field
from typing import Any, Final, Literal, TypeAlias

import msgspec

from ._info import SessionInfo
from ._message import is_blank, is_said_by_user
from ._turn import Turn

__all__ = ["Exchange", "Group", "Unanswered", "View", "arrange", "is_said_by_user", "visible"]

Unanswered: TypeAlias = Literal["result", "drop"]
Group: TypeAlias = list[Turn]
"""Turns that stand or fall together: an assistant's, with the results of its calls."""

NO_RESULT: Final = "(no result: the call was interrupted)"
NO_ANSWER: Final = "(no answer: it was interrupted)"


@dataclass(slots=True)
class Exchange:
    user: Turn
    groups: list[Group]
    lead: list[Turn]
    """System turns that stand before the first user turn."""

    def turns(self) -> list[Turn]:
        turns = [*self.lead, self.user]
        for group in self.groups:
            turns += group
        return turns

    def length(self) -> int:
        return 1 + len(self.lead) + sum(map(len, self.groups))


@dataclass(slots=True)
class View:
    """Which of the stored turns are in sight.

    `as_of`: no user turn behind this id, and nothing that belongs to one. `before_answer`:
    the id of a user turn whose stored answers are left out, since it is to be answered now.
    """

    as_of: int | None = None
    before_answer: int | None = None


def visible(
    info: SessionInfo, turns: Sequence[Turn], view: View, *, complete: bool
) -> tuple[list[Turn], bool]:
    """The turns that a window may show, and whether the first of them all is there."""
    epoch, pointer = info.epoch, info.last_consolidated
    shown = [turn for turn in turns if turn.epoch == epoch and not turn.hidden]
    complete = complete or (bool(turns) and turns[0].epoch != epoch)
    if view.as_of is not None:
        shown = list(_as_of(shown, view.as_of, view.before_answer))
    if pointer > 0 and shown:
        floor = _whole_exchanges(shown, pointer, reached=turns[0].id <= pointer + 1)
        if floor is not None:
            return [turn for turn in shown if turn.id > floor], True
    return shown, complete


def _as_of(turns: Iterable[Turn], as_of: int, before_answer: int | None) -> Iterable[Turn]:
    # An answer to a user turn behind `as_of` stays alone, and is left out by `arrange`.
    for turn in turns:
        if turn.role == "user" or turn.answers is None:
            if turn.id <= as_of:
                yield turn
        elif turn.answers != before_answer:
            yield turn


def _whole_exchanges(turns: Sequence[Turn], pointer: int, *, reached: bool) -> int | None:
    """`pointer`, brought back to just before a user turn, and never behind the latest one.

    None if that is before all of `turns`. `reached` says that they go back to the pointer.
    """
    users = [turn.id for turn in turns if is_said_by_user(turn)]
    if users and pointer >= users[-1]:
        return users[-1] - 1
    if not users or not reached:
        return None
    behind = next(turn for turn in turns if turn.id > pointer and turn.role != "system")
    if is_said_by_user(behind):
        return pointer
    return next((id - 1 for id in reversed(users) if id <= pointer), None)


def arrange(
    turns: Iterable[Turn], *, unanswered: Unanswered = "result", keep_system: bool = False
) -> list[Exchange]:
    """The exchanges, in the order of their user turns, legal for every provider."""
    exchanges: list[Exchange] = []
    by_user: dict[int, Exchange] = {}
    calling: list[_Calling] = []
    waiting: dict[str, _Calling] = {}
    lead: list[Turn] = []
    last: Exchange | None = None
    for turn in turns:
        role = turn.role
        if role == "user":
            if not is_blank(turn):
                last = by_user[turn.id] = Exchange(turn, [], lead)
                exchanges.append(last)
                lead = []
        elif role == "assistant":
            exchange = last if turn.answers is None else by_user.get(turn.answers)
            if exchange is None:
                continue
            asked = _sound_calls(turn) if turn.tool_calls else []
            if not asked and is_blank(turn):
                continue
            if turn.tool_calls:
                pending = _Calling(exchange, len(exchange.groups), asked)
                calling.append(pending)
                waiting.update((call["id"], pending) for call in asked)
            exchange.groups.append([turn])
        elif role == "tool":
            # An id that was used again means the latest call; of two results the first counts.
            found = waiting.get(turn.tool_call_id or "")
            if found is not None:
                found.results.setdefault(turn.tool_call_id or "", turn)
        elif keep_system and not is_blank(turn):
            if last is None:
                lead.append(turn)
            else:
                last.groups.append([turn])
    for pending in calling:
        pending.settle(unanswered)
    for exchange in {id(pending.exchange): pending.exchange for pending in calling}.values():
        exchange.groups = [group for group in exchange.groups if group]
        if exchange is not last:
            _end(exchange, unanswered)
    return exchanges


@dataclass(slots=True)
class _Calling:
    """The calls of one assistant turn, its place among its exchange's groups, and the results."""

    exchange: Exchange
    place: int
    asked: list[dict[str, Any]]
    results: dict[str, Turn] = field(default_factory=dict)

    def settle(self, unanswered: Unanswered) -> None:
        """Makes the group whole: each call answered, in the order of the calls, or left out."""
        (turn,) = self.exchange.groups[self.place]
        asked = self.asked
        if unanswered == "drop":
            asked = [call for call in asked if call["id"] in self.results]
        if asked != turn.tool_calls:
            turn = msgspec.structs.replace(turn, tool_calls=asked)
        results = [self.results.get(call["id"]) or _no_result(turn, call) for call in asked]
        self.exchange.groups[self.place] = [turn, *results] if asked or not is_blank(turn) else []


def _sound_calls(turn: Turn) -> list[dict[str, Any]]:
    """The calls that can be told apart and answered."""
    calls: dict[str, dict[str, Any]] = {}
    for call in turn.tool_calls or ():
        match call:
            # Mistral refuses the id "null", which some servers send for none.
            case {"id": str(id), "function": {"name": str(name)}} if name and id not in _NO_ID:
                calls.setdefault(id, call)
    return list(calls.values())


_NO_ID: Final = ("", "null")


def _no_result(turn: Turn, call: dict[str, Any]) -> Turn:
    return Turn(role="tool", content=NO_RESULT, tool_call_id=call["id"], time=turn.time)


def _end(exchange: Exchange, unanswered: Unanswered) -> None:
    """Sees to it that no result is the last word: some providers refuse a user turn there."""
    groups = exchange.groups
    for place in reversed(range(len(groups))):
        if groups[place][0].role == "system":
            continue
        last = groups[place][-1]
        if last.role != "tool":
            return
        if unanswered == "result":
            groups.append([Turn(role="assistant", content=NO_ANSWER, time=last.time)])
            return
        del groups[place]
