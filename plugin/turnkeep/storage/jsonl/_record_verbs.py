"""The verbs that change a session's record, each by one metadata line."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from typing import Any, Final

import msgspec

from ..._records.key import SessionKey
from ..._records.turn import Turn
from ..base import Expected, SessionInfo
from ..rules import is_expected, merge_metadata, restored
from . import _clock
from ._chat import Chat
from ._chats import REWRITING, Needs
from ._place import FileChanged
from ._several import FolderVerbs

replace: Final = msgspec.structs.replace


class RecordVerbs(FolderVerbs):
    """Resets, summaries, metadata, and records that are copied from elsewhere."""

    async def clear(
        self, key: SessionKey, *, erase: bool = False, expected: Expected | None = None
    ) -> bool:
        def note(chat: Chat) -> bytes | None:
            if chat.info is None:
                return None
            chat.earlier = chat.info.turns
            return chat.note("clear", epoch=chat.info.epoch + 1, summary=None)

        async def take(chat: Chat) -> bool:
            if chat.info is None or not await self._chats.is_expected(chat, expected):
                return False
            epoch = chat.info.epoch + 1
            info = replace(
                chat.info,
                epoch=epoch,
                summary=None,
                turns=0,
                revision=chat.info.revision + bool(chat.info.turns),
                updated_at=_clock.now(),
            )
            try:
                where = f"session {chat.key}"
                await self._workers.run(where, self._folder.erase, chat.path, info)
            finally:
                self._chats.drop(chat)
            return True

        if not erase:
            return await self._note(key, note, expected)
        self._check_writable(key)
        return await self._chats.with_file(key, take, REWRITING)

    async def consolidate(
        self, key: SessionKey, last_consolidated: int, summary: str, *, expected: Expected
    ) -> bool:
        def note(chat: Chat) -> bytes | None:
            if chat.info is None:
                return None
            reached = min(last_consolidated, chat.info.last_id)
            if reached <= chat.info.last_consolidated:
                return None
            return chat.note("consolidate", last_consolidated=reached, summary=summary)

        return await self._note(key, note, expected)

    async def restore(self, info: SessionInfo, turns: Sequence[Turn]) -> bool:
        def note(chat: Chat) -> bytes | None:
            done = restored(chat.info, info, turns)
            return None if done is None or chat.key != info.key else chat.restore(*done)

        return await self._note(info.key, note)

    async def update_metadata(
        self, key: SessionKey, changes: Mapping[str, Any]
    ) -> Mapping[str, Any]:
        merged: dict[str, Any] = {}

        def note(chat: Chat) -> bytes:
            nonlocal merged
            merged = merge_metadata(chat.key, chat.info.metadata if chat.info else {}, changes)
            return chat.note("metadata", metadata=merged)

        await self._note(key, note)
        return merged

    async def _note(
        self,
        key: SessionKey,
        note: Callable[[Chat], bytes | None],
        expected: Expected | None = None,
    ) -> bool:
        """Add the metadata line that `note` makes; False if it makes none."""
        self._check_writable(key)
        needs = Needs(write=True)
        while True:
            async with self._chats.session(key, needs) as chat:
                there = at_hand(chat, expected)
                if there is None and not needs.settled:
                    needs = REWRITING
                    continue
                try:
                    if not (there or await self._chats.is_expected(chat, expected)):
                        return False
                except FileChanged:
                    self._chats.drop(chat)
                    continue
                size = chat.size
                line = note(chat)
                if line is None or chat.info is None:
                    return False
                batch = chat.batch = self._writer.stage(chat, size, line)
                version = chat.version
            if await self._chats.written(chat, batch, version):
                return True


def at_hand(chat: Chat, expected: Expected | None) -> bool | None:
    """Return whether a session is as expected; None if its file has to be looked into."""
    if expected is None:
        return True
    if not is_expected(chat.info, expected):
        return False
    return True if expected.turn is None else chat.stores(expected.turn)
