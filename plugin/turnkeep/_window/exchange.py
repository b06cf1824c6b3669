"""An exchange: a user turn and the turns that answer it, as windows show them."""

from __future__ import annotations

from collections.abc import Sequence
from typing import TypeAlias

import msgspec

from .._records.turn import Turn
from .message import is_plain

__all__ = ["Exchange", "Group"]

Group: TypeAlias = Sequence[Turn]
"""Turns that are kept or cut together: an assistant turn with the results of its calls."""


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

    def __post_init__(self) -> None:
        if self.opening and not self.groups:
            self.turns = [*self.lead]
        else:
            self.turns = [*self.lead, self.user]
            for group in self.groups:
                self.turns += group
        self.plain = all(map(is_plain, self.turns))
