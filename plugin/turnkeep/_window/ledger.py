"""The costs of an exchange, kept while it grows.

An agent asks for a window in every round, and each round adds a group to the same exchange. So
each turn is counted once, and the sums from the exchange's beginning are kept: to find how many
groups have to go is then a search, however many there are.
"""

from __future__ import annotations

from bisect import bisect_left
from collections.abc import Callable, Sequence
from typing import TypeAlias

from .._records.turn import Turn

__all__ = ["Cost", "Group", "Ledger", "Older", "one_message"]

Cost: TypeAlias = Callable[[Turn], int]

Group: TypeAlias = Sequence[Turn]
"""Turns that are kept or cut together: an assistant turn with the results of its calls."""


def one_message(_: Turn) -> int:
    """Return the cost of a turn for a bound in messages."""
    return 1


class Ledger:
    """The costs of one exchange by one counter."""

    __slots__ = ("_sums", "cost", "older")

    def __init__(self, cost: Cost) -> None:
        self.cost = cost
        self.older: Older | None = None
        """The groups before its newest one, once some had to go."""
        self._sums = [0]

    def sums(self, turns: Sequence[Turn]) -> Sequence[int]:
        """Return what the turns of the exchange cost up to each; only new ones are counted."""
        sums = self._sums
        if len(sums) <= len(turns):
            cost, sum = self.cost, sums[-1]
            for turn in turns[len(sums) - 1 :]:
                sum += cost(turn)
                sums.append(sum)
        return sums

    def cut(self, turns: int, groups: int) -> None:
        """Forget all behind so many turns and groups, which are no longer what they were."""
        del self._sums[turns + 1 :]
        if self.older is not None:
            self.older.cut(groups)


class Older:
    """The groups of an exchange beside its newest one, in the order in which they go.

    Tool groups go first, the oldest first; then the oldest of the others.
    """

    __slots__ = ("_others", "_shorten", "_tools", "cost", "groups", "most", "next")

    def __init__(
        self, cost: Cost, most: int | None, shorten: Callable[[Group, int, Cost], Group]
    ) -> None:
        self.cost = cost
        self.most = most
        """A tool group is shortened so that it costs at most this; None if it is not shortened."""
        self.groups: dict[int, Group] = {}
        """The groups as they are shown, by their places."""
        self.next = 0
        """The place behind the last one."""
        self._shorten = shorten
        self._tools, self._others = _Sums(), _Sums()

    @property
    def tools(self) -> list[int]:
        """The places of those with calls."""
        return self._tools.places

    def extend(self, groups: Sequence[Group], end: int) -> None:
        """Take up the groups at the places up to `end`."""
        for place in range(self.next, end):
            self.add(place, groups[place])

    def add(self, place: int, group: Group) -> None:
        """Take up the group at a place behind all others."""
        is_tools = len(group) > 1
        if is_tools and self.most is not None:
            group = self._shorten(group, self.most, self.cost)
        self.groups[place] = group
        self.next = place + 1
        sums = self._tools if is_tools else self._others
        sums.add(place, sum(map(self.cost, group)), len(group))

    def cut(self, end: int) -> None:
        """Forget the groups from this place on."""
        for place in range(end, self.next):
            del self.groups[place]
        self.next = min(self.next, end)
        self._tools.cut(end)
        self._others.cut(end)

    def total(self, cost: Cost) -> int:
        """Return what all of them cost."""
        return self._tools.by(cost)[-1] + self._others.by(cost)[-1]

    def to_drop(self, cost: Cost, wanted: int) -> int:
        """Return how many have to go so that what goes costs at least so much, or all."""
        tools, others = self._tools.by(cost), self._others.by(cost)
        if wanted <= tools[-1]:
            return bisect_left(tools, wanted)
        return len(tools) - 1 + min(bisect_left(others, wanted - tools[-1]), len(others) - 1)

    def left(self, cost: Cost, gone: int) -> int:
        """Return what the rest costs when so many have gone."""
        tools, others = self._tools.by(cost), self._others.by(cost)
        most = len(tools) - 1
        return self.total(cost) - tools[min(gone, most)] - others[max(0, gone - most)]

    def kept(self, gone: int) -> list[int]:
        """Return the places of the rest when so many have gone."""
        tools, others = self._tools.places, self._others.places
        return sorted([*tools[gone:], *others[max(0, gone - len(tools)) :]])


class _Sums:
    """The costs of groups, each added to those before it."""

    __slots__ = ("_costs", "_turns", "places")

    def __init__(self) -> None:
        self.places: list[int] = []
        self._costs, self._turns = [0], [0]

    def by(self, cost: Cost) -> list[int]:
        """Return the sums, from 0, by messages or by the counter."""
        return self._turns if cost is one_message else self._costs

    def add(self, place: int, cost: int, turns: int) -> None:
        self.places.append(place)
        self._costs.append(self._costs[-1] + cost)
        self._turns.append(self._turns[-1] + turns)

    def cut(self, end: int) -> None:
        count = bisect_left(self.places, end)
        del self.places[count:], self._costs[count + 1 :], self._turns[count + 1 :]
