"""Names that hold for good: of a session's life, and of a turn in it.

A session's key says where it is, and ids say where a turn stands; a rename, a merge or a
session that begins again after `forget` may change both. A generation names one life of a
session, so a turn that was looked up before can never mean another one.
"""

from __future__ import annotations

import secrets
from datetime import datetime
from typing import NamedTuple

import msgspec

__all__ = ["MAX_ORIGINS", "Expected", "Origin", "TurnRef", "generation_from", "new_generation"]

MAX_ORIGINS = 64
"""A record remembers so many of the generations that were merged into its session."""


class TurnRef(NamedTuple):
    """Names a turn: the generation of its session, and its id there."""

    generation: str
    id: int


class Origin(NamedTuple):
    """A generation that was merged into a session.

    Its turns 1 to `last_id` went up by `ids`, its epochs by `epochs`. The one that was current
    then, `last_epoch`, goes on as `goes_on`: the answer to its last message belongs there.
    """

    generation: str
    ids: int
    epochs: int
    last_id: int
    last_epoch: int
    goes_on: int

    def merged(self, ids: int, epochs: int, *, current: int, goes_on: int) -> Origin:
        """Return the same origin after its session, at epoch `current`, was merged once more."""
        return self._replace(
            ids=self.ids + ids,
            epochs=self.epochs + epochs,
            goes_on=goes_on if self.goes_on == current else self.goes_on + epochs,
        )


class Expected(msgspec.Struct, frozen=True, gc=False):
    """The state of a session that a change was decided on.

    A verb that is given one changes nothing unless the session is in that state: its
    generation, and, where they are not None, its current epoch, its revision, and a turn
    that is still stored.
    """

    generation: str
    epoch: int | None = None
    revision: int | None = None
    turn: int | None = None


def new_generation() -> str:
    """Return a generation that no session ever had: 16 hexadecimal digits."""
    return secrets.token_hex(8)


def generation_from(created_at: datetime) -> str:
    """Return the generation of a session that was stored without one."""
    return f"{int(created_at.timestamp() * 1_000_000):x}"
