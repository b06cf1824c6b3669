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
from ._turn import Turn

Unanswered: TypeAlias = Literal["result", "drop"]
Group: TypeAlias = list[Turn]
"""Turns that stand or fall together: an assistant's, with the results of its calls."""

NO_RESULT: Final = "(no result: the call was interrupted)"
NO_ANSWER: Final = "(no answer: it was interrupted)"


@dataclass(slots=True)
class Exchange:
    user: Turn
    groups: list[Group] = field(default_factory=list)
    lead: list[Turn] = field(default_factory=list)
    """System turns that stand before the first user turn."""

    def turns(self) -> list[Turn]:
        return [*self.lead, self.user, *(turn for group in self.groups for turn in group)]


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
) -> tuple[list[Turn], bool] | None:
    """The turns that a window may show, and whether the first of them all is there.

    None if what was read does not reach back to where `last_consolidated` leads.
    """
    shown = [turn for turn in turns if turn.epoch == info.epoch and not turn.hidden]
    complete = complete or (len(shown) < len(turns) and turns[0].epoch != info.epoch)
    if view.as_of is not None:
        shown = list(_as_of(shown, view.as_of, view.before_answer))
    if info.last_consolidated:
        floor = _whole_exchanges(shown, info.last_consolidated)
        if floor is None and not complete:
            return None
        complete = complete or (bool(turns) and turns[0].id <= info.last_consolidated)
        shown = [turn for turn in shown if turn.id > (floor or 0)]
    return shown, complete


def _as_of(turns: Iterable[Turn], as_of: int, before_answer: int | None) -> Iterable[Turn]:
    for turn in turns:
        if turn.role == "user" or turn.answers is None:
            if turn.id <= as_of:
                yield turn
        elif turn.answers <= as_of and turn.answers != before_answer:
            yield turn


def _whole_exchanges(turns: Sequence[Turn], pointer: int) -> int | None:
    """`pointer`, brought back to just before a user turn, and never behind the latest one.

    None if the user turn that it would be brought back to is not among `turns`.
    """
    users = [turn.id for turn in turns if is_said_by_user(turn)]
    if users and pointer >= users[-1]:
        return users[-1] - 1
    behind = next((turn for turn in turns if turn.id > pointer), None)
    if behind is None or is_said_by_user(behind):
        return pointer
    return next((id - 1 for id in reversed(users) if id <= pointer), None)


def arrange(
    turns: Iterable[Turn], *, unanswered: Unanswered = "result", keep_system: bool = False
) -> list[Exchange]:
    """The exchanges, in the order of their user turns, legal for every provider."""
    exchanges: list[Exchange] = []
    by_user: dict[int, Exchange] = {}
    waiting: dict[str, list[_Calls]] = {}
    lead: list[Turn] = []
    calling: dict[int, _Calls] = {}
    for turn in turns:
        last = exchanges[-1] if exchanges else None
        if turn.role == "user":
            if is_said_by_user(turn):
                exchanges.append(Exchange(turn, lead=lead))
                by_user[turn.id] = exchanges[-1]
                lead = []
        elif turn.role == "system":
            if keep_system and not is_blank(turn):
                if last is None:
                    lead.append(turn)
                else:
                    last.groups.append([turn])
        elif turn.role == "tool":
            calls = waiting.get(turn.tool_call_id or "")
            if calls:
                calls.pop().results[turn.tool_call_id or ""] = turn
        else:
            exchange = by_user.get(turn.answers) if turn.answers is not None else last
            if exchange is None:
                continue
            asked = _sound_calls(turn)
            if not asked and is_blank(turn):
                continue
            group = [turn]
            exchange.groups.append(group)
            if turn.tool_calls:
                pending = _Calls(turn, asked)
                calling[id(group)] = pending
                for call in asked:
                    waiting.setdefault(call["id"], []).append(pending)
    for exchange in exchanges:
        exchange.groups = [
            whole
            for group in exchange.groups
            if (whole := _answered(group, calling.get(id(group)), unanswered))
        ]
    for exchange in exchanges[:-1]:
        _end(exchange, unanswered)
    return exchanges


@dataclass(slots=True)
class _Calls:
    """An assistant's calls, and the results that were found."""

    turn: Turn
    asked: list[dict[str, Any]]
    results: dict[str, Turn] = field(default_factory=dict)


def _sound_calls(turn: Turn) -> list[dict[str, Any]]:
    """The calls that can be told apart and answered."""
    calls: dict[str, dict[str, Any]] = {}
    for call in turn.tool_calls or ():
        function = call.get("function")
        name = function.get("name") if isinstance(function, dict) else None
        if isinstance(call.get("id"), str) and call["id"] and isinstance(name, str) and name:
            calls.setdefault(call["id"], call)
    return list(calls.values())


def _answered(group: Group, calls: _Calls | None, unanswered: Unanswered) -> Group:
    """The group with each of its calls answered, in the order of the calls."""
    if calls is None:
        return group
    asked = calls.asked
    if unanswered == "drop":
        asked = [call for call in asked if call["id"] in calls.results]
    turn = calls.turn
    if asked != turn.tool_calls:
        turn = msgspec.structs.replace(turn, tool_calls=asked or None)
    if not asked:
        return [] if is_blank(turn) else [turn]
    return [turn, *(calls.results.get(call["id"]) or _no_result(turn, call) for call in asked)]


def _no_result(turn: Turn, call: dict[str, Any]) -> Turn:
    return Turn(
        role="tool",
        content=NO_RESULT,
        tool_call_id=call["id"],
        name=call["function"]["name"],
        time=turn.time,
    )


def _end(exchange: Exchange, unanswered: Unanswered) -> None:
    """Sees to it that no result is the last word: some providers refuse a user turn there."""
    while exchange.groups and exchange.groups[-1][-1].role == "tool":
        if unanswered == "result":
            last = exchange.groups[-1][-1]
            exchange.groups.append([Turn(role="assistant", content=NO_ANSWER, time=last.time)])
        else:
            exchange.groups.pop()


def is_said_by_user(turn: Turn) -> bool:
    return turn.role == "user" and not is_blank(turn)


def is_blank(turn: Turn) -> bool:
    """Whether there is nothing in the content that an API would take."""
    content = turn.content
    if isinstance(content, str):
        return not content or content.isspace()
    return not any(_shows(part) for part in content or ())


def _shows(part: dict[str, Any]) -> bool:
    text = part.get("text") if part.get("type") == "text" else "…"
    return isinstance(text, str) and bool(text.strip())
