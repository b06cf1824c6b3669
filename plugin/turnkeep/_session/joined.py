"""The messages that one answer is for, by ids of one generation."""

from __future__ import annotations

from collections.abc import Sequence

from .._records.identity import TurnRef
from .._records.key import SessionKey
from .._records.turn import Turn
from .desk import Desk

__all__ = ["answered_by"]


async def answered_by(
    desk: Desk, key: SessionKey, to: Turn, joined: Sequence[Turn]
) -> tuple[TurnRef, tuple[int, ...]]:
    """Return the name of the message that an answer is for, and the ids of the joined ones.

    Some may have been received before a merge and some after it, so that their own ids are of
    several generations. A joined message that is gone with its session is left out.
    """
    if all(one.generation == to.generation for one in joined):
        return to.ref, tuple(one.id for one in joined)
    info = await desk.info(key)
    place = None if info is None else info.place(to.ref)
    if info is None or place is None:  # its session was forgotten, and nothing is answered
        return to.ref, ()
    places = [info.place(one.ref) for one in joined]
    also = tuple(one for one in places if one is not None)
    return TurnRef(info.generation, place), also
