"""What the bot sends by itself, recorded as what it said: an option."""

from __future__ import annotations

import asyncio
from collections import OrderedDict
from collections.abc import Callable
from typing import Final, Literal
from weakref import WeakSet

import discord

from turnkeep import SessionKey, SessionStore
from turnkeep.adapter import ChatSession

from ._content import content_of
from ._message import source_id

PAUSE: Final = 1.5
"""For how many seconds a message has to stand still before it is recorded: a placeholder is
edited into an answer, and a growing answer is edited about once a second."""

_KEPT: Final = 10_000


class Capture:
    """The bot's own messages, as the gateway tells of them.

    One that comes while a reply is open in its channel is a part of that reply. Any other is
    recorded once it stands still, and later edits of it reach the history.
    """

    def __init__(
        self,
        store: SessionStore,
        key_of: Callable[[discord.Message], SessionKey | None],
    ) -> None:
        self._store = store
        self._key_of = key_of
        self._given: WeakSet[ChatSession] = WeakSet()
        self._known: OrderedDict[int, Literal["linked", "waiting", "recorded"]] = OrderedDict()
        self._waiting: dict[int, tuple[discord.Message, asyncio.Task[None]]] = {}

    def gave(self, session: ChatSession) -> None:
        """A handler has this session, and may open a reply on it."""
        self._given.add(session)

    async def sent(self, message: discord.Message) -> None:
        """The bot sent a message; a deferred answer is empty yet, and comes as an edit."""
        if message.flags.loading or message.id in self._known or not content_of(message):
            return
        key = self._key_of(message)
        replies = [one.open_reply for one in self._given if one.key == key]
        reply = next((one for one in replies if one is not None), None)
        if reply is not None:
            self._note(message.id, "linked")
            await reply.link(source_id(message))
        elif key is not None:
            self._wait(message)

    async def edited(self, message: discord.Message) -> None:
        state = self._known.get(message.id)
        if state == "waiting":
            self._wait(message)
        elif state == "recorded" and (key := self._key_of(message)) is not None:
            await self._store.session(key).edit(source_id(message), content_of(message))
        elif state is None and message.interaction_metadata is not None:
            await self.sent(message)

    def deleted(self, message_id: int) -> None:
        if (waiting := self._waiting.pop(message_id, None)) is not None:
            waiting[1].cancel()

    async def settle(self) -> None:
        """Records what waits; at the end."""
        for message, task in list(self._waiting.values()):
            task.cancel()
            await self._record(message)

    def _wait(self, message: discord.Message) -> None:
        self.deleted(message.id)
        self._note(message.id, "waiting")
        self._waiting[message.id] = message, asyncio.create_task(self._later(message))

    async def _later(self, message: discord.Message) -> None:
        await asyncio.sleep(PAUSE)
        await self._record(message)

    async def _record(self, message: discord.Message) -> None:
        self._waiting.pop(message.id, None)
        key, content = self._key_of(message), content_of(message)
        if key is None or not content:
            return
        # A reply that was linked to it has stored it: its source id is known there.
        turn = await self._store.session(key).append(
            "assistant", content, source_id=source_id(message), time=message.created_at
        )
        self._note(message.id, "recorded" if len(turn.source_ids) == 1 else "linked")

    def _note(self, message_id: int, state: Literal["linked", "waiting", "recorded"]) -> None:
        self._known[message_id] = state
        if len(self._known) > _KEPT:
            self._known.popitem(last=False)
