"""Arrange stored turns as exchanges that every model's API accepts.

An exchange is a user turn and the turns that answer it. An answer stands behind the turn it
answers, even if other users spoke in between. A tool result stands behind its call, even if
it was stored later. Turns that belong to no exchange are left out. All functions are pure.
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
"""Turns that are kept or cut together: an assistant turn with the results of its calls."""

NO_RESULT: Final = "(no result: the call was interrupted)"
NO_ANSWER: Final = "(no answer: it was interrupted)"


class Exchange(msgspec.Struct, gc=False):
    """The visible turns of an exchange."""

    # gc=False: a bot holds very many of these, they have no cycles, and each pass of the
    # garbage collector over them would stop the whole bot.

    user: Turn
    groups: Sequence[Group]
    lead: Sequence[Turn] = ()
    """System turns stored before the first user turn."""
    turns: list[Turn] = []
    """All turns of the exchange, in the order of the window."""
    plain: bool = True
    """True if the message of every turn is just its role and text."""

    def __post_init__(self) -> None:
        self.turns = [*self.lead, self.user]
        for group in self.groups:
            self.turns += group
        self.plain = all(map(is_plain, self.turns))


@dataclass(slots=True)
class View:
    """The part of the session that a window may show.

    - `as_of`: the id of a turn. Later user turns and their answers are left out.
    - `before_answer`: the id of a user turn. Its stored answers are left out, since it is
      about to be answered again.
    """

    as_of: int | None = None
    before_answer: int | None = None


def visible(
    info: SessionInfo, turns: Sequence[Turn], view: View, *, complete: bool
) -> tuple[list[Turn], bool]:
    """Return the turns that a window may show, and True if no earlier ones exist."""
    shown = in_epoch(info, turns)
    complete = complete or begins_in(info, turns)
    if view.as_of is not None:
        shown = list(_as_of(shown, view.as_of, view.before_answer))
    floor = consolidated(info, shown, turns)
    if floor is not None:
        return [turn for turn in shown if turn.id > floor], True
    return shown, complete


def in_epoch(info: SessionInfo, turns: Iterable[Turn]) -> list[Turn]:
    """Return the turns of the current epoch that are not hidden."""
    epoch = info.epoch
    return [turn for turn in turns if turn.epoch == epoch and not turn.hidden]


def begins_in(info: SessionInfo, turns: Sequence[Turn]) -> bool:
    """Return True if the current epoch begins within these turns."""
    return bool(turns) and turns[0].epoch != info.epoch


def consolidated(info: SessionInfo, shown: Sequence[Turn], turns: Sequence[Turn]) -> int | None:
    """Return the id of the last summarized turn, or None if it is before all of `turns`."""
    pointer = info.last_consolidated
    if not pointer or not shown:
        return None
    return _whole_exchanges(shown, pointer, reached=turns[0].id <= pointer + 1)


def narrows(view: View, turns: Sequence[Turn]) -> bool:
    """Return True if the view leaves out any of these stored turns."""
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
    # An answer to a user turn after `as_of` finds no exchange, so `arrange` leaves it out.
    for turn in turns:
        if turn.role == "user" or turn.answers is None:
            if turn.id <= as_of:
                yield turn
        elif turn.answers != before_answer:
            yield turn


def _whole_exchanges(turns: Sequence[Turn], pointer: int, *, reached: bool) -> int | None:
    """Return `pointer` moved back to just before a user turn, at most the latest one.

    Return None if that is before all of `turns`. `reached` is true if they go back to the
    pointer.
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
    """Return the exchanges in the order of their user turns, legal for every provider.

    Pass `lead=False` if earlier turns were not read. System turns before the first user turn
    are then left out, since they belong to an exchange that is not there.
    """
    arrangement = Arrangement(unanswered, keep_system=keep_system, lead=lead)
    arrangement.extend(turns)
    return arrangement


class Arrangement:
    """The exchanges of a growing list of turns; only changed exchanges are rebuilt.

    - `ids`: the id of each exchange's user turn.
    - `turns`: all visible turns, in the order of the window.
    - `starts`: the index in `turns` at which each exchange begins.
    - `plain_from`: the index of the first exchange from which on all turns are plain.
    """

    def __init__(
        self, unanswered: Unanswered = "result", *, keep_system: bool = False, lead: bool = True
    ) -> None:
        self._unanswered: Unanswered = unanswered
        self._keep_system = keep_system
        self._lead: list[Turn] | None = [] if lead else None
        self._growing: list[_GrowingExchange] = []
        self._by_user: dict[int, _GrowingExchange] = {}
        self._waiting: dict[str, _CallGroup] = {}
        self._changed: set[int] = set()
        self.exchanges: list[Exchange] = []
        self.ids: list[int] = []
        self.starts: list[int] = []
        self.turns: list[Turn] = []
        self.plain_from = 0

    def extend(self, turns: Iterable[Turn]) -> None:
        """Append turns that were stored after the earlier ones."""
        for turn in turns:
            self._add(turn)
        if self._changed:
            self._rebuild_changed()

    def _rebuild_changed(self) -> None:
        """Rebuild the changed exchanges, and the lists from the first of them on."""
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
            self._append_to_lists(exchanges[place])

    def _append_to_lists(self, exchange: Exchange) -> None:
        """Append the last exchange to the lists."""
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
                    self._changed.add(last.place)  # no longer the current exchange
                new = _GrowingExchange(turn, len(self._growing), tuple(self._lead or ()))
                self._lead = None
                self._growing.append(new)
                self._by_user[turn.id] = new
                if self._changed:
                    self._changed.add(new.place)
                else:
                    self.exchanges.append(Exchange(turn, new.groups, new.lead))
                    self._append_to_lists(self.exchanges[-1])
        elif role == "assistant":
            exchange = last if turn.answers is None else self._by_user.get(turn.answers)
            if exchange is None:
                return
            asked = _answerable_calls(turn) if turn.tool_calls else []
            if not asked and is_blank(turn):
                return
            if turn.tool_calls:
                call_group = _CallGroup(exchange.place, len(exchange.groups), asked, {})
                exchange.calls = [*exchange.calls, call_group]
                self._waiting.update((call["id"], call_group) for call in asked)
            exchange.groups.append((turn,))
            if self._changed or exchange is not last or exchange.calls:
                self._changed.add(exchange.place)
                return
            # The common case: a plain answer to the latest message.
            self.exchanges[-1].turns.append(turn)
            self.turns.append(turn)
            if not is_plain(turn):
                self.exchanges[-1].plain = False
                self.plain_from = len(self.starts)
        elif role == "tool":
            # A reused id belongs to its latest call. Only the first result of a call is shown.
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


class _GrowingExchange(msgspec.Struct, gc=False):
    """An exchange whose turns are still coming in; `place` is its index."""

    user: Turn
    place: int
    lead: Sequence[Turn]
    groups: list[Group] = []
    """The same list as in the visible exchange, as long as there are no calls."""
    calls: Sequence[_CallGroup] = ()

    def settled(self, unanswered: Unanswered, *, last: bool) -> Exchange:
        groups = self.groups
        if self.calls:
            groups = groups.copy()
            for call_group in self.calls:
                groups[call_group.place] = call_group.settled(
                    groups[call_group.place][0], unanswered
                )
            groups = [group for group in groups if group]
            if not last:
                _end_with_answer(groups, unanswered)
        return Exchange(self.user, groups, self.lead)


class _CallGroup(msgspec.Struct, gc=False):
    """The calls of one assistant turn: the index of its exchange and group, and the results."""

    exchange: int
    place: int
    asked: list[dict[str, Any]]
    results: dict[str, Turn]

    def settled(self, turn: Turn, unanswered: Unanswered) -> Group:
        """Return the turn and one result for each call, in the order of the calls."""
        asked = self.asked
        if unanswered == "drop":
            asked = [call for call in asked if call["id"] in self.results]
        if asked != turn.tool_calls:
            turn = msgspec.structs.replace(turn, tool_calls=asked)
        results = [self.results.get(call["id"]) or _no_result(turn, call) for call in asked]
        return [turn, *results] if asked or not is_blank(turn) else []


def _answerable_calls(turn: Turn) -> list[dict[str, Any]]:
    """Return the calls that have an id and a name, one for each id."""
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


def _end_with_answer(groups: list[Group], unanswered: Unanswered) -> None:
    """End the exchange with an answer, since some providers refuse a user turn after a result."""
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
