"""An exchange: a user turn and the turns that answer it, as windows show them."""

from __future__ import annotations

from bisect import bisect_left, insort
from collections.abc import Callable, Sequence

import msgspec

from .._records.turn import Turn
from .ledger import Cost, Group, Ledger
from .message import is_plain

__all__ = ["Exchange", "Group", "Totals"]


class Exchange(msgspec.Struct, gc=False):
    """The visible turns of an exchange."""

    # gc=False: a bot holds very many of these, they have no cycles, and each pass of the
    # garbage collector over them would stop the whole bot.

    user: Turn
    groups: Sequence[Group]
    lead: Sequence[Turn] = ()
    """System turns stored before the first user turn."""
    opening: bool = False
    """True if the bot spoke first, so that `user` is a placeholder."""
    turns: list[Turn] = []
    """All turns of the exchange, in the order of the window."""
    plain: bool = True
    """True if the message of every turn is just its role and text."""
    condensed: tuple[Cost, int, Exchange] | None = None
    """The form of an earlier exchange for a counter and a bound; see `fit.condensed`."""
    _ledger: Ledger | None = None

    def __post_init__(self) -> None:
        if self.opening and not self.groups:
            self.turns = [*self.lead]
        else:
            self.turns = [*self.lead, self.user]
            for group in self.groups:
                self.turns += group
        self.plain = all(map(is_plain, self.turns))

    def ledger(self, cost: Cost) -> Ledger:
        """Return what is known of its costs by this counter; those by another are forgotten."""
        if self._ledger is None or self._ledger.cost is not cost:
            self._ledger = Ledger(cost)
        return self._ledger

    def cost(self, cost: Cost) -> int:
        """Return what its turns cost together; each of them is counted once."""
        return self.costs(cost)[-1]

    def costs(self, cost: Cost) -> Sequence[int]:
        """Return what they cost up to each of them, from 0."""
        return self.ledger(cost).sums(self.turns)

    def replace_end(self, turns: int, groups: Sequence[Group]) -> None:
        """Replace its last turns, which are whole groups, by these groups, in its place."""
        own, at = self.groups, len(self.turns) - turns
        assert isinstance(own, list)
        before = self.turns[at:]
        del self.turns[at:]
        while turns > 0:
            turns -= len(own.pop())
        kept = len(own)
        for group in groups:
            own.append(group)
            self.turns += group
            self.plain = self.plain and all(map(is_plain, group))
        if self._ledger is not None:
            for turn, now in zip(before, self.turns[at:], strict=False):
                if turn is not now:
                    break
                at += 1
            self._ledger.cut(at, kept)


class Totals:
    """The sums of what the exchanges of a chat cost, kept while it grows.

    Each window is asked where it begins; with the sums that is a search. The last exchange is
    left out, since it grows. The others are counted from the end, as far as windows need them,
    each in the form in which a window shows it. `bound` tells those of two bounds apart.
    """

    __slots__ = ("_condensed", "_cost", "_exchanges", "_long", "_shown", "bound", "first", "sums")

    def __init__(
        self,
        exchanges: Sequence[Exchange],
        cost: Cost,
        shown: Callable[[Exchange], Exchange],
        bound: object,
    ) -> None:
        self.bound = bound
        self._exchanges, self._cost, self._shown = exchanges, cost, shown
        self._begin()

    def _begin(self) -> None:
        self.first: int = max(0, len(self._exchanges) - 1)
        """The index of the first exchange that was counted."""
        self.sums: list[int] = [0] * (self.first + 1)
        """By index; the difference of two is the cost from the one exchange to the other."""
        self._condensed: dict[int, Exchange] = {}
        self._long: list[int] = []

    def extend(self) -> None:
        """Take up the exchanges that are no longer the last one."""
        for index in range(len(self.sums) - 1, len(self._exchanges) - 1):
            self.sums.append(self.sums[-1] + self._count(index))

    def reach(self, first: int, most: int | None = None) -> None:
        """Count the exchanges back to `first`, or until a sum is below `most`."""
        while self.first > first and (most is None or self.sums[self.first] >= most):
            self.first -= 1
            self.sums[self.first] = self.sums[self.first + 1] - self._count(self.first)

    def cut(self, first: int) -> None:
        """Forget the exchanges from this one on, which have changed."""
        if first < self.first:
            self._begin()
            return
        del self.sums[first + 1 :]
        while self._long and self._long[-1] >= first:
            del self._condensed[self._long.pop()]

    def condensed(self, start: int) -> dict[int, Exchange]:
        """Return the exchanges that are condensed, from this one on, by index."""
        return {at: self._condensed[at] for at in self._long[bisect_left(self._long, start) :]}

    def next_condensed(self, start: int, end: int) -> int:
        """Return the index of the next one that is condensed, from `start` on, or `end`."""
        at = bisect_left(self._long, start)
        return min(end, self._long[at]) if at < len(self._long) else end

    def _count(self, index: int) -> int:
        exchange = self._exchanges[index]
        shown = self._shown(exchange)
        if shown is not exchange:
            self._condensed[index] = shown
            insort(self._long, index)
        return shown.cost(self._cost)
