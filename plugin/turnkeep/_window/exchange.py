"""An exchange: a user turn and the turns that answer it, as windows show them."""

from __future__ import annotations

from collections.abc import Sequence

import msgspec

from .._records.turn import Turn
from .ledger import Cost, Group, Ledger
from .message import is_plain

__all__ = ["Exchange", "Group"]


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
