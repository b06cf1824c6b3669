"""Arrange stored turns as exchanges that every model's API accepts.

An exchange is a user turn and the turns that answer it. An answer stands behind the turn it
answers, even if other users spoke in between. A tool result stands behind its call, even if
it was stored later. Turns that belong to no exchange are left out. If the bot speaks before
any user, a short placeholder is the user turn of the first exchange. All functions are pure.
"""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from typing import Final

import msgspec

from .._records.turn import Turn
from .calls import NO_RESULT, CallGroup, as_call_id, call_group, has_named_calls
from .choices import Results, Unanswered
from .exchange import Exchange, Group, Totals
from .message import is_blank, is_plain, is_said_by_user
from .sight import View, visible

__all__ = [
    "NO_RESULT",
    "Arrangement",
    "View",
    "arrange",
    "bot_first",
    "is_said_by_user",
    "visible",
]

NO_ANSWER: Final = "(no answer: it was interrupted)"
BOT_FIRST: Final = "(the assistant wrote first)"


def bot_first(turn: Turn) -> Turn:
    """Return the placeholder that stands for a user turn before the bot's own words."""
    return Turn(role="user", content=BOT_FIRST, id=turn.id, time=turn.time, epoch=turn.epoch)


def arrange(
    turns: Iterable[Turn],
    *,
    unanswered: Unanswered = "result",
    results: Results = "last",
    keep_system: bool = False,
    lead: bool = True,
) -> Arrangement:
    """Return the exchanges in the order of their user turns, legal for every provider.

    Pass `lead=False` if earlier turns were not read. Turns before the first user turn are
    then left out, since they belong to an exchange that is not there.
    """
    arrangement = Arrangement(unanswered, results, keep_system=keep_system, lead=lead)
    arrangement.extend(turns)
    return arrangement


class Arrangement:
    """The exchanges of a growing list of turns; only changed exchanges are rebuilt.

    - `ids`: the id of each exchange's user turn.
    - `turns`: all visible turns, in the order of the window.
    - `starts`: the index in `turns` at which each exchange begins.
    - `plain_from`: the index of the first exchange from which on all turns are plain.
    - `reminders`: the turn that the bot wrote by itself just before an exchange, by index.
    - `totals`: the tokens of the exchanges, once a window was bounded by them.
    """

    def __init__(
        self,
        unanswered: Unanswered = "result",
        results: Results = "last",
        *,
        keep_system: bool = False,
        lead: bool = True,
    ) -> None:
        self._unanswered: Unanswered = unanswered
        self._results: Results = results
        self._keep_system = keep_system
        self._lead: list[Turn] | None = [] if lead else None
        self._growing: list[_GrowingExchange] = []
        self._by_user: dict[int, _GrowingExchange] = {}
        self._latest_calls: dict[str, CallGroup] = {}
        self._latest_group: CallGroup | None = None
        self._reminder: Turn | None = None
        self._changed: set[int] = set()
        self.exchanges: list[Exchange] = []
        self.ids: list[int] = []
        self.starts: list[int] = []
        self.turns: list[Turn] = []
        self.plain_from = 0
        self.reminders: dict[int, Turn] = {}
        self.totals: Totals | None = None

    @property
    def bot_spoke_first(self) -> bool:
        """True if the first exchange is one without a user turn."""
        return bool(self._growing) and self._growing[0].opening

    def extend(self, turns: Iterable[Turn]) -> None:
        """Append turns that were stored after the earlier ones."""
        for turn in turns:
            role = turn.role
            if role == "user":
                self._add_user(turn)
            elif role == "assistant":
                self._add_answer(turn)
            elif role == "tool":
                self._add_result(turn)
            elif self._keep_system and not is_blank(turn):
                self._add_system(turn)
        if self._changed:
            self._rebuild_changed()

    def _rebuild_changed(self) -> None:
        """Rebuild the changed exchanges, and the lists from the first of them on."""
        exchanges, last = self.exchanges, len(self._growing) - 1
        first = min(self._changed)
        if first == last and self._growing[last].goes_on:
            self._changed.clear()
            self._go_on(self._growing[last], exchanges[last])
            return
        for place in sorted(self._changed):
            settled = self._growing[place].settled(self._unanswered, last=place == last)
            exchanges[place : place + 1] = [settled]
        self._changed.clear()
        if first < len(self.starts):
            del self.turns[self.starts[first] :]
            del self.starts[first:], self.ids[first:]
        if self.totals is not None:
            self.totals.cut(first)
        self.plain_from = min(self.plain_from, first)
        for place in range(first, last + 1):
            self._append_to_lists(exchanges[place])

    def _go_on(self, growing: _GrowingExchange, current: Exchange) -> None:
        """Replace the end of the current exchange, the rest of which is as it was."""
        out, groups = growing.go_on(self._unanswered)
        del self.turns[len(self.turns) - out :]
        at = len(current.turns) - out
        current.replace_end(out, groups)
        self.turns += current.turns[at:]
        if not current.plain:
            self.plain_from = len(self.starts)

    def _append_to_lists(self, exchange: Exchange) -> None:
        """Append the last exchange to the lists."""
        self.starts.append(len(self.turns))
        self.ids.append(exchange.user.id)
        self.turns += exchange.turns
        if not exchange.plain:
            self.plain_from = len(self.starts)

    def _add_user(self, turn: Turn) -> None:
        if self._growing and (last := self._growing[-1]).calls:
            self._changed.add(last.place)  # no longer the current exchange
        new = self._begin(turn)
        self._by_user[turn.id] = new
        if self._reminder is not None:
            self.reminders[new.place] = self._reminder
            self._reminder = None
        if self._changed:
            self._changed.add(new.place)
        else:
            self.exchanges.append(Exchange(turn, new.groups, new.lead))
            self._append_to_lists(self.exchanges[-1])

    def _begin(self, user: Turn, *, opening: bool = False) -> _GrowingExchange:
        new = _GrowingExchange(user, len(self._growing), tuple(self._lead or ()), opening)
        self._lead = None
        self._growing.append(new)
        return new

    def _add_answer(self, turn: Turn) -> None:
        if not (turn.tool_calls and has_named_calls(turn)) and is_blank(turn) and not turn.items:
            return
        last = self._growing[-1] if self._growing else None
        if turn.answers is not None:
            exchange = self._by_user.get(turn.answers)
        elif last is None and self._lead is not None:
            exchange = last = self._begin(bot_first(turn), opening=True)
            self._changed.add(last.place)
        else:
            exchange = last
        if exchange is None:
            self._leave_calls(turn)
            return
        if turn.tool_calls:
            self._add_calls(turn, exchange)
        else:
            if turn.answers is None and exchange is last and (exchange.said or exchange.opening):
                self._reminder = turn
            exchange.said = True
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

    def _add_calls(self, turn: Turn, exchange: _GrowingExchange) -> None:
        if exchange.call_ids is None:
            exchange.call_ids = set()
        made_up = f"call_{exchange.user.id}_"
        group = call_group(turn, exchange.place, len(exchange.groups), exchange.call_ids, made_up)
        exchange.calls.append(group)
        exchange.unsettled[group.place] = group
        exchange.said = False
        self._latest_group = group
        for id in group.shown_ids:
            self._latest_calls[id] = group

    def _leave_calls(self, turn: Turn) -> None:
        """Let no earlier call take the results of calls that belong to nothing in sight."""
        for call in turn.tool_calls or ():
            self._latest_calls.pop(as_call_id(call.get("id")), None)
            self._latest_group = None

    def _add_result(self, turn: Turn) -> None:
        id = as_call_id(turn.tool_call_id)
        # A reused id belongs to its latest call, if possible to one of the same reply.
        exchange = None if turn.answers is None else self._by_user.get(turn.answers)
        group = None if exchange is None else exchange.latest_call(id)
        if group is None:
            # By order alone where there is no id: then the end of a session is enough to tell.
            group = self._latest_calls.get(id) if id else self._latest_group
        if group is not None:
            group.add_result(id, turn, self._results)
            self._growing[group.exchange].unsettled[group.place] = group
            self._changed.add(group.exchange)

    def _add_system(self, turn: Turn) -> None:
        if self._growing:
            last = self._growing[-1]
            last.groups.append((turn,))
            self._changed.add(last.place)
        elif self._lead is not None:
            self._lead.append(turn)


class _GrowingExchange(msgspec.Struct, gc=False):
    """An exchange whose turns are still coming in; `place` is its index."""

    user: Turn
    place: int
    lead: Sequence[Turn]
    opening: bool
    groups: list[Group] = []
    """The same list as in the visible exchange, as long as there are no calls."""
    calls: list[CallGroup] = []
    unsettled: dict[int, CallGroup] = {}
    """The calls that have changed since `settled`, by the index of their group."""
    shown: list[Group] = []
    """The visible groups, by the same index; empty without calls."""
    call_ids: set[str] | None = None
    """The window's ids of all calls so far."""
    said: bool = False
    """True if the bot has said something after its latest calls."""
    goes_on: bool = False
    """True while the visible exchange is the current one, and only its end can have changed."""

    def latest_call(self, id: str) -> CallGroup | None:
        """Return the latest calls with this id, or simply the latest ones without an id."""
        for calls in reversed(self.calls):
            if not id or id in calls.shown_ids:
                return calls
        return None

    def settled(self, unanswered: Unanswered, *, last: bool) -> Exchange:
        """Return the visible exchange; `last` is true for the current one."""
        groups = self.groups
        if self.calls:
            # Only what has changed is settled, or each round of an agent would cost all before it.
            shown = self.shown
            shown += groups[len(shown) :]
            for place, calls in self.unsettled.items():
                shown[place] = calls.settled(unanswered)
            self.unsettled.clear()
            groups = [group for group in shown if group]
            if not last:
                _end_with_answer(groups, unanswered)
            self.goes_on = last and not self.opening
        return Exchange(self.user, groups, self.lead, self.opening)

    def go_on(self, unanswered: Unanswered) -> tuple[int, list[Group]]:
        """Return how many turns at the end of the visible exchange have changed, and its new end.

        These are whole groups. The exchange is the one that `settled` has returned.
        """
        shown = self.shown
        first = min([len(shown), *self.unsettled])  # what came before new calls is new, too
        out = sum(map(len, shown[first:]))
        shown += self.groups[len(shown) :]
        for place, calls in self.unsettled.items():
            shown[place] = calls.settled(unanswered)
        self.unsettled.clear()
        return out, [group for group in shown[first:] if group]


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
