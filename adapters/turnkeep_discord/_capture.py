"""The capture of messages that the bot sends beside its replies: an option."""

from __future__ import annotations

import asyncio
import logging
from collections import deque
from collections.abc import Callable, Iterator
from contextlib import suppress
from typing import Final, Literal
from weakref import WeakSet

import discord

from turnkeep import Reply, SessionKey, SessionStore, StorageError, StoreLockedError
from turnkeep.adapter import ChatSession, Content, Quoted, Recent, is_as_sent, record_as_sent

from ._content import text_of
from ._message import source_id

logger: Final = logging.getLogger("turnkeep")

PAUSE: Final = 1.5
"""The seconds for which a message has to stay unchanged before it is recorded.

A placeholder is edited into an answer, and a growing answer is edited about once a second.
"""

_MAX_MESSAGES: Final = 10_000
_MAX_SESSIONS: Final = 256


class Capture:
    """Records the bot's own messages, as they come from the gateway.

    Each message waits until it stays unchanged and no reply is open in its session. Then it is
    linked to the reply that has its text. The gateway may deliver a message when that reply has
    ended, so replies that were just stored count too. A message without such a reply is recorded
    as it was sent, and its later edits reach the history.
    """

    def __init__(
        self,
        store: SessionStore,
        key_of: Callable[[discord.Message], SessionKey | None],
        content_of: Callable[[discord.Message], Content],
        quoted_of: Callable[[discord.Message], Quoted | None],
    ) -> None:
        self._store = store
        self._key_of = key_of
        self._content_of = content_of
        self._quoted_of = quoted_of
        self._alive: WeakSet[ChatSession] = WeakSet()
        # A message may come when its handler, and the handler's session, are gone.
        self._latest: deque[ChatSession] = deque(maxlen=_MAX_SESSIONS)
        self._states: Recent[int, Literal["linked", "waiting", "recorded"]] = Recent(_MAX_MESSAGES)
        self._waiting: dict[int, tuple[discord.Message, asyncio.Task[None]]] = {}
        self._lives: dict[int, str] = {}  # the generations of their sessions when they came

    def add_session(self, session: ChatSession) -> None:
        """Add a session that a handler gets, and may open a reply on."""
        self._alive.add(session)
        self._latest.append(session)

    def on_sent(self, message: discord.Message) -> None:
        """Take in a message that the bot sent."""
        # A deferred answer is still empty; its text comes as an edit.
        if (
            not message.flags.loading
            and message.id not in self._states
            and self._content_of(message)
        ):
            self._states[message.id] = "waiting"
            self._restart_wait(message)

    def on_edited(self, message: discord.Message) -> None:
        """Take in an edit of a message that the bot sent."""
        state = self._states.get(message.id)
        if state in ("waiting", "recorded"):
            self._restart_wait(message)
        elif state is None and message.interaction_metadata is not None:
            self.on_sent(message)

    def on_deleted(self, message_id: int) -> None:
        """Drop a deleted message that waits."""
        self._stop_wait(message_id)
        self._lives.pop(message_id, None)

    async def record_waiting(self) -> None:
        """Record all messages that still wait; called when the cog is removed."""
        waiting = list(self._waiting.values())
        for _, task in waiting:
            task.cancel()
        await asyncio.gather(*(task for _, task in waiting), return_exceptions=True)
        for message, _ in waiting:
            await self._record(message)
        self._lives.clear()

    def _restart_wait(self, message: discord.Message) -> None:
        self._stop_wait(message.id)
        self._start_wait(message)

    def _stop_wait(self, message_id: int) -> None:
        if (waiting := self._waiting.pop(message_id, None)) is not None:
            waiting[1].cancel()

    def _start_wait(self, message: discord.Message) -> None:
        self._waiting[message.id] = message, asyncio.create_task(self._record_unchanged(message))

    async def _record_unchanged(self, message: discord.Message) -> None:
        key = self._key_of(message)
        if key is not None and message.id not in self._lives:
            with suppress(StorageError, StoreLockedError):
                info = await self._store.session(key).info()
                self._lives[message.id] = "" if info is None else info.generation
        await asyncio.sleep(PAUSE)
        if any(session.open_reply for session in self._sessions_of(key)):
            self._start_wait(message)
            return
        try:
            await self._record(message)
        except (StorageError, StoreLockedError):
            logger.exception("message %d, which the bot sent, waits to be recorded", message.id)
            self._start_wait(message)

    async def _record(self, message: discord.Message) -> None:
        key, content = self._key_of(message), self._content_of(message)
        if key is not None and content and await self._lives_on(message, key):
            await self._link_or_append(message, key, content)
        self._waiting.pop(message.id, None)
        self._lives.pop(message.id, None)

    async def _lives_on(self, message: discord.Message, key: SessionKey) -> bool:
        """Return False if the message's session was forgotten while it waited."""
        life = self._lives.get(message.id)
        if not life:
            return True
        info = await self._store.session(key).info()
        return info is not None and life in (
            info.generation,
            *(one.generation for one in info.origins),
        )

    async def _link_or_append(
        self, message: discord.Message, key: SessionKey, content: Content
    ) -> None:
        session, source = self._store.session(key), source_id(message)
        if (reply := self._reply_of(key, message)) is not None:
            earlier = await session.find(source)
            if earlier is not None and is_as_sent(earlier):  # a placeholder, unchanged for long
                await session.delete(earlier)
            self._states[message.id] = "linked"
        turn = await record_as_sent(
            session,
            content,
            source_id=source,
            reply=reply,
            time=message.created_at,
            quoted=self._quoted_of(message),
        )
        if turn is None:
            return
        # The turn is the model's own if a reply was linked to the message by its handler.
        if is_as_sent(turn):
            await session.edit(turn, content)  # changes only a turn that was recorded before
        self._states[message.id] = "recorded" if is_as_sent(turn) else "linked"

    def _sessions_of(self, key: SessionKey | None) -> Iterator[ChatSession]:
        return (one for one in {*self._alive, *self._latest} if one.key == key)

    def _reply_of(self, key: SessionKey, message: discord.Message) -> Reply | None:
        text = text_of(message)
        found = (session.reply_of(text) for session in self._sessions_of(key))
        return next((reply for reply in found if reply is not None), None)
