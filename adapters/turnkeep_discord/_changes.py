"""Edits and deletions on Discord: the intake's changes to what is in the history already."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Final

import discord

from turnkeep import SessionKey
from turnkeep.adapter import Recent, Recorder, forget_place

from ._in_flight import MessagesInFlight
from ._message import PREFIX, is_by_channel, session_key, source_id, source_id_at
from ._order import ChannelOrder
from ._reading import Reading
from ._threads import Threads

_MAX_CHANGED: Final = 10_000


class Changes:
    """Edits and deletes messages in the history, in the order of their channels."""

    def __init__(
        self,
        recorder: Recorder,
        reading: Reading,
        threads: Threads,
        order: ChannelOrder,
        in_flight: MessagesInFlight,
    ) -> None:
        self._recorder = recorder
        self._reading = reading
        self._threads = threads
        self._order = order
        self._in_flight = in_flight
        self._deleted: Recent[int, None] = Recent(_MAX_CHANGED)
        self._edited: Recent[int, discord.Message] = Recent(_MAX_CHANGED)

    def has_deleted(self, message_id: int) -> bool:
        """Return True for a message that was deleted lately, or is about to be."""
        return message_id in self._deleted

    async def edit(self, message: discord.Message) -> None:
        """Edit the message in the history."""
        self._edited[message.id] = message
        async with self._order.admit(message.channel.id):
            # Of the edits that wait, the first one writes the latest text.
            latest = self._edited.get(message.id)
            if latest is not None:
                await self.edit_now(latest)
                if self._edited.get(message.id) is latest:
                    del self._edited[message.id]

    async def edit_now(self, message: discord.Message) -> None:
        """Edit the message, in a task that its channel has admitted."""
        content = self._reading.content_of(message)
        if self._reading.sender_of(message) is not None and content:
            self._in_flight.outdate(message.id)
            await self._recorder.edit(source_id(message), content, self._reading.key(message))
            await self._threads.edit(message)

    async def delete(self, channel_id: int, ids: Sequence[int]) -> None:
        """Delete the messages from the history."""
        self._deleted.update(dict.fromkeys(ids))
        async with self._order.admit(channel_id):
            await self.delete_now(channel_id, ids)

    async def delete_now(self, channel_id: int, ids: Sequence[int]) -> None:
        """Delete the messages, in a task that their channel has admitted."""
        # Nothing names the author: scopes that depend on it need a search.
        known = is_by_channel(self._reading.scope)
        await self._recorder.delete(
            [source_id_at(channel_id, one) for one in ids],
            key=session_key(channel_id) if known else None,
            among=None if known else _any_key,
            since=discord.utils.snowflake_time(min(ids)) if ids else None,
        )
        if known:
            await self._threads.delete(channel_id, ids)

    async def rename_thread(self, thread_id: int, parent_id: int, name: str) -> None:
        """Let a thread's sessions begin with its new title."""
        async with self._order.admit(thread_id):
            await self._threads.rename(thread_id, parent_id, name)

    async def forget_channel(self, channel_id: int) -> None:
        """Erase the sessions of a deleted channel, and of the threads that were in it."""
        store, deleted, scope = self._recorder.store, str(channel_id), self._reading.scope
        async with self._order.admit(channel_id):
            for info in await store.list_sessions(prefix=PREFIX, limit=None):
                if deleted in (info.key.chat_id, info.metadata.get("parent")):
                    await forget_place(store, info)
            if not is_by_channel(scope) and scope != "user_in_channel":
                # Such a session has messages of several channels.
                await self._recorder.delete_all(f"{deleted}:")


def _any_key(_: SessionKey) -> bool:
    return True
