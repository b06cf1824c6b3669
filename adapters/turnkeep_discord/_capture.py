"""What the bot sends by itself, recorded as what it said: an option."""

from __future__ import annotations

import asyncio
import logging
from collections import deque
from collections.abc import Callable, Iterator
from typing import Final, Literal
from weakref import WeakSet

import discord

from turnkeep import Reply, SessionKey, SessionStore, StorageError, StoreLockedError
from turnkeep.adapter import ChatSession, Content, Recent, is_as_sent, record_as_sent

from ._content import content_of, text_of
from ._message import source_id

logger: Final = logging.getLogger("turnkeep")

PAUSE: Final = 1.5
"""For how many seconds a message has to stand still before it is recorded: a placeholder is
edited into an answer, and a growing answer is edited about once a second."""

_MESSAGES_KEPT: Final = 10_000
_SESSIONS_KEPT: Final = 256


class Capture:
    """The bot's own messages, as the gateway tells of them.

    Each waits until it stands still and no reply is open in its session: then it is linked to the
    reply whose words it has, since the gateway tells of it when that may have ended already, or
    else recorded by itself, and later edits of it reach the history.
    """

    def __init__(
        self,
        store: SessionStore,
        key_of: Callable[[discord.Message], SessionKey | None],
    ) -> None:
        self._store = store
        self._key_of = key_of
        self._given: WeakSet[ChatSession] = WeakSet()
        # The gateway tells of a message when its handler may have ended already.
        self._latest: deque[ChatSession] = deque(maxlen=_SESSIONS_KEPT)
        self._known: Recent[int, Literal["linked", "waiting", "recorded"]] = Recent(_MESSAGES_KEPT)
        self._waiting: dict[int, tuple[discord.Message, asyncio.Task[None]]] = {}

    def gave(self, session: ChatSession) -> None:
        """A handler has this session, and may open a reply on it."""
        self._given.add(session)
        self._latest.append(session)

    def sent(self, message: discord.Message) -> None:
        """The bot sent a message; a deferred answer is empty yet, and comes as an edit."""
        if not message.flags.loading and message.id not in self._known and content_of(message):
            self._known[message.id] = "waiting"
            self._wait(message)

    def edited(self, message: discord.Message) -> None:
        """The bot edited a message."""
        state = self._known.get(message.id)
        if state in ("waiting", "recorded"):
            self._wait(message)
        elif state is None and message.interaction_metadata is not None:
            self.sent(message)

    def deleted(self, message_id: int) -> None:
        """A message was deleted."""
        if (waiting := self._waiting.pop(message_id, None)) is not None:
            waiting[1].cancel()

    async def settle(self) -> None:
        """Records what waits; at the end."""
        waiting = list(self._waiting.values())
        for _, task in waiting:
            task.cancel()
        await asyncio.gather(*(task for _, task in waiting), return_exceptions=True)
        for message, _ in waiting:
            await self._record(message)

    def _wait(self, message: discord.Message) -> None:
        self.deleted(message.id)
        self._begin(message)

    def _begin(self, message: discord.Message) -> None:
        self._waiting[message.id] = message, asyncio.create_task(self._later(message))

    async def _later(self, message: discord.Message) -> None:
        await asyncio.sleep(PAUSE)
        key = self._key_of(message)
        if any(session.open_reply for session in self._sessions(key)):
            self._begin(message)
            return
        try:
            await self._record(message)
        except (StorageError, StoreLockedError):
            logger.exception("message %d, which the bot sent, waits to be recorded", message.id)
            self._begin(message)

    async def _record(self, message: discord.Message) -> None:
        key, content = self._key_of(message), content_of(message)
        if key is not None and content:
            await self._place(message, key, content)
        self._waiting.pop(message.id, None)

    async def _place(self, message: discord.Message, key: SessionKey, content: Content) -> None:
        session, source = self._store.session(key), source_id(message)
        if (reply := self._reply_of(key, message)) is not None:
            stood = await session.find(source)
            if stood is not None and is_as_sent(stood):  # as a placeholder that stood long
                await session.delete(stood)
            self._known[message.id] = "linked"
        # A reply that was linked to it has stored it: its source id is known there.
        turn = await record_as_sent(
            session, content, source_id=source, reply=reply, time=message.created_at
        )
        if turn is None:
            return
        if is_as_sent(turn):
            await session.edit(turn, content)  # nothing, unless it was stored before
        self._known[message.id] = "recorded" if is_as_sent(turn) else "linked"

    def _sessions(self, key: SessionKey | None) -> Iterator[ChatSession]:
        return (one for one in {*self._given, *self._latest} if one.key == key)

    def _reply_of(self, key: SessionKey, message: discord.Message) -> Reply | None:
        text = text_of(message)
        found = (session.reply_of(text) for session in self._sessions(key))
        return next((reply for reply in found if reply is not None), None)
