"""The record of a session: everything about it except its turns."""

from __future__ import annotations

import copy
import sys
from collections.abc import Iterable
from datetime import datetime
from typing import Any, Final, NamedTuple

import msgspec

from .identity import MAX_ORIGINS, Expected, Origin, TurnRef, new_generation
from .key import SessionKey

__all__ = ["Merged", "SessionInfo", "merged", "own_copy"]

replace: Final = msgspec.structs.replace


class SessionInfo(msgspec.Struct, frozen=True, kw_only=True, gc=False):
    """A session's record.

    - `turns` counts the stored turns of all epochs.
    - `last_id` is the highest id ever given.
    - `epoch` is the current epoch.
    - `last_consolidated` is the id up to which turns are folded into `summary`.
    - `generation` names this life of the session. It is new after `forget` and after a merge of
      two sessions.
    - `revision` rises with each change of an older turn: an edit, a deletion, a linked id.
    - `damaged` counts the unreadable places found so far, in storages that can have them.
    - `origins` are the generations that were merged into this one.
    """

    key: SessionKey
    created_at: datetime
    updated_at: datetime
    metadata: dict[str, Any] = {}
    turns: int = 0
    last_id: int = 0
    epoch: int = 1
    last_consolidated: int = 0
    summary: str | None = None
    generation: str = ""
    revision: int = 0
    damaged: int = 0
    origins: tuple[Origin, ...] = ()

    def without_counts(self) -> SessionInfo:
        """Return the record without `damaged`, which only some storages count."""
        return msgspec.structs.replace(self, damaged=0)

    def ref(self, turn_id: int) -> TurnRef:
        """Return the first name that this turn ever had. A merge does not change it."""
        for origin in self.origins:
            if origin.ids < turn_id <= origin.ids + origin.last_id:
                return TurnRef(origin.generation, turn_id - origin.ids)
        return TurnRef(self.generation, turn_id)

    def place(self, ref: TurnRef) -> int | None:
        """Return the id that a turn has now, or None if it belongs to another life."""
        if ref.generation == self.generation:
            return ref.id
        for origin in self.origins:
            if origin.generation == ref.generation and ref.id <= origin.last_id:
                return ref.id + origin.ids
        return None

    def first_place(self, refs: Iterable[TurnRef]) -> int:
        """Return the lowest id that one of these turns has in the current epoch.

        Return `sys.maxsize` if none of them is there. A merge may have moved one to an earlier
        epoch.
        """
        here = (ref for ref in refs if self.epoch_of(ref.generation) == self.epoch)
        places = (self.place(ref) for ref in here)
        return min((place for place in places if place is not None), default=sys.maxsize)

    @property
    def epoch_name(self) -> tuple[str, int]:
        """The lasting name of the current epoch."""
        return self.generation, self.epoch

    def expected(self, *, turn: int | None = None, revision: bool = False) -> Expected:
        """Return this state, for a change that is decided on it."""
        return Expected(self.generation, self.epoch, self.revision if revision else None, turn)

    def moved(self, expected: Expected) -> Expected | None:
        """Return what an expectation from before a merge means now; None if it was no merge.

        An epoch that was current at the merge is still current.
        """
        for origin in self.origins:
            if origin.generation == expected.generation != self.generation:
                epoch, turn = expected.epoch, expected.turn
                if epoch is not None:
                    epoch = origin.goes_on if epoch == origin.last_epoch else epoch + origin.epochs
                return Expected(
                    self.generation, epoch, None, None if turn is None else turn + origin.ids
                )
        return None

    def epoch_of(self, generation: str) -> int:
        """Return the epoch that the last turns of a merged generation have now.

        For the session's own generation, and after a later `clear`, it is the current epoch.
        """
        for origin in self.origins:
            if origin.generation == generation and origin.goes_on == self.epoch:
                return origin.last_epoch + origin.epochs
        return self.epoch

    def asked_in(self, turn_id: int) -> int:
        """Return the epoch of a turn to which an answer belongs to the current epoch.

        It is an earlier one for a turn that a merge moved there; see `epoch_of`.
        """
        return self.epoch_of(self.ref(turn_id).generation)

    def shift(self, generation: str) -> int:
        """Return how far a merge raised the ids of a generation; 0 for the session's own."""
        return next((one.ids for one in self.origins if one.generation == generation), 0)


def own_copy(info: SessionInfo) -> SessionInfo:
    """Return a copy for the caller. Changing its metadata changes nothing stored."""
    if not info.metadata:
        return info
    return replace(info, metadata=copy.deepcopy(info.metadata))


class Merged(NamedTuple):
    """The record of two merged sessions, and how far the newer one's ids and epochs rise."""

    info: SessionInfo
    ids: int
    epochs: int


def _latest(origins: tuple[Origin, ...], most: int) -> tuple[Origin, ...]:
    """Return so many origins: each merge puts one before and one behind those of earlier ones."""
    if len(origins) <= most:
        return origins
    return origins[: most // 2] + origins[len(origins) - (most - most // 2) :]


def merged(old: SessionInfo, new: SessionInfo) -> Merged:
    """Return the record of `new` after the turns of `old` became its earlier epochs.

    If one of the two has no turns, the other continues unchanged, under the key of `new` and
    with the metadata of both.
    """
    metadata = {**old.metadata, **new.metadata}
    damaged = old.damaged + new.damaged
    if not new.turns or not old.turns:
        going_on = new if new.turns else old
        info = replace(going_on, key=new.key, metadata=metadata, damaged=damaged)
        return Merged(info, 0, 0)
    ids, epochs = old.last_id, old.epoch
    current = epochs + new.epoch
    room = MAX_ORIGINS - 2
    half = max(room // 2, room - len(new.origins))
    olds = _latest(old.origins, half)
    news = _latest(new.origins, room - len(olds))
    origins = [
        *(one.merged(0, 0, current=old.epoch, goes_on=current) for one in olds),
        Origin(old.generation, 0, 0, old.last_id, old.epoch, current),
        *(one.merged(ids, epochs, current=new.epoch, goes_on=current) for one in news),
        Origin(new.generation, ids, epochs, new.last_id, new.epoch, current),
    ]
    info = replace(
        new,
        created_at=min(old.created_at, new.created_at),
        metadata=metadata,
        turns=old.turns + new.turns,
        last_id=ids + new.last_id,
        epoch=current,
        last_consolidated=ids + new.last_consolidated if new.summary else 0,
        generation=new_generation(),
        revision=max(old.revision, new.revision) + 1,
        damaged=damaged,
        origins=tuple(origins),
    )
    return Merged(info, ids, epochs)
