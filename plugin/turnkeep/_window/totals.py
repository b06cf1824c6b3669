"""The tokens of a chat's exchanges, kept while the chat grows.

Each window is asked where it begins. With the sums of the exchanges that is a search, however
many there are.
"""

from __future__ import annotations

from bisect import bisect_left, insort
from collections.abc import Sequence

from .exchange import Exchange
from .fit import Bound, condensed

__all__ = ["Totals"]


class Totals:
    """The sums of what exchanges cost for a bound in tokens.

    The last exchange is left out, since it grows. All others are condensed if they are very
    long. They are counted from the end, as far as windows need them.
    """

    __slots__ = ("_condensed", "_exchanges", "_long", "bound", "first", "sums")

    def __init__(self, bound: Bound, exchanges: Sequence[Exchange]) -> None:
        self.bound = bound
        self._exchanges = exchanges
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
            self.sums.append(self.sums[-1] + self._cost(index))

    def reach(self, first: int, most: int | None = None) -> None:
        """Count the exchanges back to `first`, or until a sum is below `most`."""
        while self.first > first and (most is None or self.sums[self.first] >= most):
            self.first -= 1
            self.sums[self.first] = self.sums[self.first + 1] - self._cost(self.first)

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

    def _cost(self, index: int) -> int:
        exchange, bound = self._exchanges[index], self.bound
        cost = exchange.cost(bound.cost)
        if exchange.plain or cost <= bound.most // 2:
            return cost
        exchange = self._condensed[index] = condensed(exchange, bound)
        insort(self._long, index)
        return exchange.cost(bound.cost)
