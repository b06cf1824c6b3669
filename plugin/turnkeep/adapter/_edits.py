"""Edits of messages, with the lines that repeat them in the turns that reply to them."""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from typing import Any, Final

from msgspec.structs import replace

from .._records.info import SessionInfo
from .._records.key import SessionKey
from .._records.media import Media
from .._records.quote import is_gone, quoted_source, requoted, said_in
from .._records.turn import Turn
from .._session.desk import Desk
from .._session.reading import Turns
from .._session.rewriting import redacted, rewrite
from ..storage.base import Change
from ._content import cut_to_fit
from ._notes import reply_note
from ._places import Places

__all__ = ["AS_MADE", "Edits"]

AS_MADE: Final[Mapping[str, Any]] = {"as_made": True}
"""In a turn's `extra`: a command made its content, so an edit of the message changes nothing."""


class Edits:
    """The edits of several messages of one session, as one rewrite of it."""

    def __init__(self, desk: Desk, key: SessionKey, places: Places) -> None:
        self._desk = desk
        self._key = key
        self._places = places
        self._failed: dict[str, Exception] = {}

    async def apply(self, edits: Mapping[str, Change]) -> Mapping[str, Exception]:
        """Make edits by the messages' source ids; return those that the store's `redact` refuses.

        Messages that are not recorded, or as a command made them, stay as they are.
        """

        async def plan(_: SessionInfo) -> Mapping[int, Change]:
            self._failed = {}
            edited = await self._edited(edits)
            turns = {**{turn.id: turn for turn in edited.values()}, **await self._quoting(edited)}
            return {one.id: Change(content=one.content, extra=one.extra) for one in turns.values()}

        await rewrite(self._desk, self._key, plan)
        return self._failed

    async def _edited(self, edits: Mapping[str, Change]) -> dict[str, Turn]:
        """Return the changed messages by their source ids."""
        desk, key = self._desk, self._key
        edited: dict[str, Turn] = {}
        for source_id, edit in edits.items():
            async with desk.use(key) as storage:
                turn = await storage.find(key, source_id)
            if turn is None or turn.extra.get("as_made"):
                continue
            try:
                after = redacted(desk, key, turn, edit).apply(turn)
            except Exception as error:  # noqa: BLE001 - the user's `redact` may raise anything
                self._failed[source_id] = error
                continue
            if is_gone(turn):  # a deleted repetition does not come back
                after = _requoted(after, None)
            if after.content != turn.content:
                edited[source_id] = after
        return edited

    async def _quoting(self, edited: Mapping[str, Turn]) -> dict[int, Turn]:
        """Return the turns that repeat these messages, with their new beginnings."""
        key, places = self._key, self._places
        is_shared = self._desk.is_shared
        sought = {
            source_id: turn
            for source_id, turn in edited.items()
            if is_shared
            or not places.knows(source_id, at=key)
            or key in places.repetitions([source_id])
        }
        if not sought:
            return {}
        now = {turn.id: turn for turn in edited.values()}
        quoting: dict[int, Turn] = {}
        first = min(turn.id for turn in sought.values())
        async for turn in Turns(self._desk, key, "all", first):
            source_id = quoted_source(turn)
            message = None if source_id is None else sought.get(source_id)
            if message is not None and source_id is not None:
                name = None if message.sender is None else message.sender.name
                own = " ".join(one.text for one in message.media if not one.repeated)
                line = reply_note(name, said_in(message) or own)
                after = _requoted(now.get(turn.id, turn), line, message.media)
                quoting[turn.id] = self._fitting(after)
                places.note_repetition(source_id, key, turn.time)
        for source_id in sought:
            places.note_look(source_id, key)
        return quoting

    def _fitting(self, turn: Turn) -> Turn:
        most: Any = cut_to_fit(turn.content, self._desk.max_turn_bytes)
        return replace(turn, content=most)


def _requoted(turn: Turn, line: str | None, media: Iterable[Media] = ()) -> Turn:
    content, extra = requoted(turn, line, media)
    return replace(turn, content=content, extra=extra)
