"""Lasting names: of one life of a session, and of a turn in it.

A key says where a session is, and an id says where a turn stands in it. Both may change: by a
rename, by a merge, or when a session begins again after `forget`. A generation names one life
of a session. With it, a turn that was looked up earlier can never mean another turn.
"""

from __future__ import annotations

import secrets
from datetime import datetime
from typing import NamedTuple

import msgspec

__all__ = ["MAX_ORIGINS", "Expected", "Origin", "TurnRef", "generation_from", "new_generation"]

MAX_ORIGINS = 64
"""The most merged generations that a session's record remembers."""


class TurnRef(NamedTuple):
    """The lasting name of a turn: its session's generation, and its id there."""

    generation: str
    id: int


class Origin(NamedTuple):
    """A generation that was merged into a session.

    The merge raised the ids of its turns 1 to `last_id` by `ids`, and its epochs by `epochs`.
    `last_epoch` was current at the merge. That epoch continues as `goes_on`: an answer to its
    last message is stored there.
    """

    generation: str
    ids: int
    epochs: int
    last_id: int
    last_epoch: int
    goes_on: int

    def merged(self, ids: int, epochs: int, *, current: int, goes_on: int) -> Origin:
        """Return the origin after another merge of its session, which was at epoch `current`."""
        return self._replace(
            ids=self.ids + ids,
            epochs=self.epochs + epochs,
            goes_on=goes_on if self.goes_on == current else self.goes_on + epochs,
        )


class Expected(msgspec.Struct, frozen=True, gc=False):
    """The state of a session that a change was decided on.

    A verb that gets one changes nothing unless the session is still in that state. It compares
    the generation, and each other field that is not None: the current epoch, the revision, and
    the id of a turn that must still be stored.
    """

    generation: str
    epoch: int | None = None
    revision: int | None = None
    turn: int | None = None


def new_generation() -> str:
    """Return a new generation: 16 random hexadecimal digits."""
    return secrets.token_hex(8)


def generation_from(created_at: datetime) -> str:
    """Return a generation for a session that was stored without one."""
    return f"{int(created_at.timestamp() * 1_000_000):x}"
