"""From stored turns to exchanges that a model's API accepts, whatever was stored.

An exchange is a user turn and what answers it. Answers stand behind the turn they answer,
also when others spoke meanwhile; a tool's result stands behind its call, also when it came
later; what belongs to nothing is left out. All functions are pure.
"""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from typing import Any, Final, Literal, TypeAlias

import msgspec

from .._records.info import SessionInfo
from .._records.turn import Turn
from .message import is_blank, is_plain, is_said_by_user

__all__ = [
    "Arrangement",
    "Exchange",
    "Group",
    "Unanswered",
    "View",
    "arrange",
    "begins_in",
    "consolidated",
    "in_epoch",
    "is_said_by_user",
    "narrows",
    "visible",
]

Unanswered: TypeAlias = Literal["result", "drop"]
Group: TypeAlias = Sequence[Turn]
"""Turns that stand or fall together: an assistant's, with the results of its calls."""

NO_RESULT: Final = "(no result: the call was interrupted)"
NO_ANSWER: Final = "(no answer: it was interrupted)"


class Exchange(msgspec.Struct, gc=False):
    """What is shown of an exchange."""

    # Like all that is kept of each turn, outside of the garbage collector, which would look
    # through it again and again while the whole bot waits; there are no cycles in it.

    user: Turn
    groups: Sequence[Group]
    lead: Sequence[Turn] = ()
    """System turns that stand before the first user turn."""
    turns: list[Turn] = []
    """All of them, in their order."""
    plain: bool = True
    """Whether each turn's message is its role and its text, and nothing else."""

    def __post_init__(self) -> None:
        self.turns = [*self.lead, self.user]
        for group in self.groups:
            self.turns += group
        self.plain = all(map(is_plain, self.turns))


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
    shown = in_epoch(info, turns)
    complete = complete or begins_in(info, turns)
    if view.as_of is not None:
        shown = list(_as_of(shown, view.as_of, view.before_answer))
    floor = consolidated(info, shown, turns)
    if floor is not None:
        return [turn for turn in shown if turn.id > floor], True
    return shown, complete


def in_epoch(info: SessionInfo, turns: Iterable[Turn]) -> list[Turn]:
    """Those of the current epoch that are not hidden."""
    epoch = info.epoch
    return [turn for turn in turns if turn.epoch == epoch and not turn.hidden]


def begins_in(info: SessionInfo, turns: Sequence[Turn]) -> bool:
    """Whether the current epoch begins within these turns."""
    return bool(turns) and turns[0].epoch != info.epoch


def consolidated(info: SessionInfo, shown: Sequence[Turn], turns: Sequence[Turn]) -> int | None:
    """The id up to which what is shown of `turns` is summarized; None if that is before all."""
    pointer = info.last_consolidated
    if not pointer or not shown:
        return None
    return _whole_exchanges(shown, pointer, reached=turns[0].id <= pointer + 1)


def narrows(view: View, turns: Sequence[Turn]) -> bool:
    """Whether any of these turns, all of which are stored, is out of this view."""
    as_of, before_answer = view.as_of, view.before_answer
    if as_of is None:
        return False
    if before_answer is not None and before_answer != as_of:
        return True
    for turn in reversed(turns):
        if turn.id <= as_of:
            return False
        if turn.role == "user" or turn.answers is None or turn.answers == before_answer:
            return True
    return False


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
    turns: Iterable[Turn],
    *,
    unanswered: Unanswered = "result",
    keep_system: bool = False,
    lead: bool = True,
) -> Arrangement:
    """The exchanges, in the order of their user turns, legal for every provider.

    Without `lead`, the system turns before the first user turn are left out, since with the
    rest of the session they belong to the exchange before.
    """
    arrangement = Arrangement(unanswered, keep_system=keep_system, lead=lead)
    arrangement.extend(turns)
    return arrangement


class Arrangement:
    """The exchanges of turns that come one after the other, made anew only where one changes.

    `ids` are those of their user turns, `turns` all that is shown, and `starts` where each
    exchange begins in it. From the exchange `plain_from` on, each turn is plain.
    """

    def __init__(
        self, unanswered: Unanswered = "result", *, keep_system: bool = False, lead: bool = True
    ) -> None:
        self._unanswered: Unanswered = unanswered
        self._keep_system = keep_system
        self._lead: list[Turn] | None = [] if lead else None
        self._growing: list[_Growing] = []
        self._by_user: dict[int, _Growing] = {}
        self._waiting: dict[str, _Calling] = {}
        self._changed: set[int] = set()
        self.exchanges: list[Exchange] = []
        self.ids: list[int] = []
        self.starts: list[int] = []
        self.turns: list[Turn] = []
        self.plain_from = 0

    def extend(self, turns: Iterable[Turn]) -> None:
        """Adds turns behind the earlier ones."""
        for turn in turns:
            self._add(turn)
        if self._changed:
            self._settle()

    def _settle(self) -> None:
        """Makes the changed exchanges anew, and the lists from the first of them on."""
        exchanges, last = self.exchanges, len(self._growing) - 1
        first = min(self._changed)
        for place in sorted(self._changed):
            settled = self._growing[place].settled(self._unanswered, last=place == last)
            exchanges[place : place + 1] = [settled]
        self._changed.clear()
        if first < len(self.starts):
            del self.turns[self.starts[first] :]
            del self.starts[first:], self.ids[first:]
        self.plain_from = min(self.plain_from, first)
        for place in range(first, last + 1):
            self._show(exchanges[place])

    def _show(self, exchange: Exchange) -> None:
        """Adds the last of the exchanges to the lists."""
        self.starts.append(len(self.turns))
        self.ids.append(exchange.user.id)
        self.turns += exchange.turns
        if not exchange.plain:
            self.plain_from = len(self.starts)

    def _add(self, turn: Turn) -> None:
        role = turn.role
        last = self._growing[-1] if self._growing else None
        if role == "user":
            if not is_blank(turn):
                if last is not None and last.calls:
                    self._changed.add(last.place)  # it is no longer the last one
                new = _Growing(turn, len(self._growing), tuple(self._lead or ()))
                self._lead = None
                self._growing.append(new)
                self._by_user[turn.id] = new
                if self._changed:
                    self._changed.add(new.place)
                else:
                    self.exchanges.append(Exchange(turn, new.groups, new.lead))
                    self._show(self.exchanges[-1])
        elif role == "assistant":
            exchange = last if turn.answers is None else self._by_user.get(turn.answers)
            if exchange is None:
                return
            asked = _sound_calls(turn) if turn.tool_calls else []
            if not asked and is_blank(turn):
                return
            if turn.tool_calls:
                calling = _Calling(exchange.place, len(exchange.groups), asked, {})
                exchange.calls = [*exchange.calls, calling]
                self._waiting.update((call["id"], calling) for call in asked)
            exchange.groups.append((turn,))
            if self._changed or exchange is not last or exchange.calls:
                self._changed.add(exchange.place)
                return
            # As nearly all are: a plain answer to the latest message.
            self.exchanges[-1].turns.append(turn)
            self.turns.append(turn)
            if not is_plain(turn):
                self.exchanges[-1].plain = False
                self.plain_from = len(self.starts)
        elif role == "tool":
            # An id that was used again means the latest call; of two results the first counts.
            found = self._waiting.get(turn.tool_call_id or "")
            if found is not None:
                found.results.setdefault(turn.tool_call_id or "", turn)
                self._changed.add(found.exchange)
        elif self._keep_system and not is_blank(turn):
            if last is None:
                if self._lead is not None:
                    self._lead.append(turn)
            else:
                last.groups.append((turn,))
                self._changed.add(last.place)


class _Growing(msgspec.Struct, gc=False):
    """An exchange as its turns come in: the user turn, its place among them all, and the rest."""

    user: Turn
    place: int
    lead: Sequence[Turn]
    groups: list[Group] = []
    """Shared with the exchange that is shown, if there are no calls."""
    calls: Sequence[_Calling] = ()

    def settled(self, unanswered: Unanswered, *, last: bool) -> Exchange:
        groups = self.groups
        if self.calls:
            groups = groups.copy()
            for calling in self.calls:
                groups[calling.place] = calling.settled(groups[calling.place][0], unanswered)
            groups = [group for group in groups if group]
            if not last:
                _end(groups, unanswered)
        return Exchange(self.user, groups, self.lead)


class _Calling(msgspec.Struct, gc=False):
    """The calls of one assistant turn: which exchange, which of its groups, and the results."""

    exchange: int
    place: int
    asked: list[dict[str, Any]]
    results: dict[str, Turn]

    def settled(self, turn: Turn, unanswered: Unanswered) -> Group:
        """The group made whole: each call answered, in the order of the calls, or left out."""
        asked = self.asked
        if unanswered == "drop":
            asked = [call for call in asked if call["id"] in self.results]
        if asked != turn.tool_calls:
            turn = msgspec.structs.replace(turn, tool_calls=asked)
        results = [self.results.get(call["id"]) or _no_result(turn, call) for call in asked]
        return [turn, *results] if asked or not is_blank(turn) else []


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


def _end(groups: list[Group], unanswered: Unanswered) -> None:
    """Sees to it that no result is the last word: some providers refuse a user turn there."""
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
