"""What a message or an interaction says of the history, and the session it is in."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncGenerator
from contextlib import asynccontextmanager
from typing import Any, Final, TypeAlias
from weakref import WeakSet, WeakValueDictionary

import discord
from discord.ext import commands

from turnkeep import Sender, SessionKey, TurnkeepError
from turnkeep.adapter import (
    AS_MADE,
    ChatSession,
    Recent,
    Recorder,
    RecordFilter,
    RecordOption,
    as_key,
)

from ._backfill import Backfill
from ._content import content_of, quoted_of
from ._message import (
    PREFIX,
    Scope,
    Where,
    author_of,
    is_addressed,
    is_per_user,
    scope_function,
    sender_of,
    session_key,
    source_id,
    source_id_at,
)
from ._outlet import DiscordOutlet
from ._pressed import pressed_of

Bot = commands.Bot | commands.AutoShardedBot
Context = commands.Context[Any]

RecordedEvent: TypeAlias = discord.Message | discord.Interaction
Record: TypeAlias = RecordOption[RecordedEvent]
"""What is recorded: every message, those for which a handler asks for the session, those that
are said to the bot, or those of which a function, async or not, says so; it is asked for pressed
buttons and the like, too."""

_DELETED_KEPT: Final = 10_000
PRESSED: Final = (discord.InteractionType.component, discord.InteractionType.modal_submit)


class Intake:
    """Records what comes of each channel in its order, and gives its session."""

    def __init__(
        self,
        bot: Bot,
        recorder: Recorder,
        *,
        scope: Scope,
        record: Record,
        record_commands: bool,
        record_webhooks: bool,
        backfill: Backfill | None,
    ) -> None:
        self._bot = bot
        self._recorder = recorder
        self._scope: Scope = scope
        self._key_of = scope_function(scope)
        self._filter: RecordFilter[RecordedEvent] = RecordFilter(record)
        self._record_commands = record_commands
        self._record_webhooks = record_webhooks
        self._backfill = backfill
        self._deleted: Recent[int, None] = Recent(_DELETED_KEPT)
        self._holders: dict[int, asyncio.Task[Any] | None] = {}
        self._queues: WeakValueDictionary[int, asyncio.Lock] = WeakValueDictionary()
        self.tasks: WeakSet[asyncio.Task[Any]] = WeakSet()
        """The tasks that asked for a session, or record something."""

    @property
    def by_handlers(self) -> bool:
        """Whether only that is recorded for which a handler asks for the session."""
        return self._filter.by_handlers

    # Messages.

    async def message(self, message: discord.Message) -> ChatSession | None:
        """Records the message, and all before it in its channel, and gives its session."""
        async with self._in_order(message.channel.id):
            await self._fill(message.channel.id, message, self.key(message))
            return await self._next(message)

    async def fill(self, channel_id: int) -> None:
        """Records what was missed in the channel."""
        async with self._in_order(channel_id):
            await self._fill(channel_id)

    async def _fill(
        self,
        channel_id: int,
        before: discord.Message | None = None,
        key: SessionKey | None = None,
    ) -> None:
        if self._backfill is not None:
            for message in await self._backfill.missed(channel_id, before, key):
                if not self.by_handlers:
                    await self._next(message)

    async def _next(self, message: discord.Message) -> ChatSession | None:
        """Records a message whose turn in its channel it is."""
        key = self.key(message)
        if key is None:
            return None
        session = self._recorder.session(key, DiscordOutlet(message))
        sender, content = self._sender(message), content_of(message)
        if sender is None or not content or not await self._is_recorded(message):
            return session
        if message.id in self._deleted:  # and whoever asks for its session comes late
            return session
        received = await self._recorder.receive(
            session,
            content,
            source_id=source_id(message),
            sender=sender,
            time=message.created_at,
            quoted=quoted_of(message),
        )
        await self._note_parent(received, message)
        return received

    async def _note_parent(self, session: ChatSession, message: discord.Message) -> None:
        """Notes of a thread's session where it is; Discord may tell of that one's end alone."""
        thread, turn = message.channel, session.turn
        is_new = turn is not None and turn.id == 1
        if is_new and isinstance(thread, discord.Thread) and session.key.chat_id == str(thread.id):
            await session.update_metadata(parent=str(thread.parent_id))

    async def edit(self, message: discord.Message) -> None:
        """Changes what is recorded of the message."""
        content = content_of(message)
        if self._sender(message) is not None and content:
            async with self._in_order(message.channel.id):
                await self._recorder.edit(source_id(message), content, self.key(message))

    async def delete(self, channel_id: int, ids: list[int]) -> None:
        """Takes what is recorded of the messages away."""
        self._deleted.update(dict.fromkeys(ids))
        async with self._in_order(channel_id):
            # Who wrote it is not told: with another scope it is looked for.
            known = self._scope in ("channel", commands.BucketType.channel)
            await self._recorder.delete(
                [source_id_at(channel_id, one) for one in ids],
                key=session_key(channel_id) if known else None,
                among=None if known else _anywhere,
                since=discord.utils.snowflake_time(min(ids)) if ids else None,
            )

    async def forget_channel(self, channel_id: int) -> None:
        """Forgets the sessions of a channel that is gone, and of the threads that were in it."""
        store, gone = self._recorder.store, str(channel_id)
        async with self._in_order(channel_id):
            for info in await store.list_sessions(prefix=PREFIX, limit=None):
                if gone in (info.key.chat_id, info.metadata.get("parent")):
                    await store.forget(info.key)
            if self._scope not in ("channel", commands.BucketType.channel, "user_in_channel"):
                await self._recorder.delete_all(f"{gone}:")  # beside what was said elsewhere

    # Interactions and commands.

    async def interaction(
        self, where: discord.Interaction | Context, prompt: str | None
    ) -> ChatSession | None:
        """The session of an interaction or a command, when all that came before is recorded.

        A pressed button, a chosen option and a form are recorded, and so is the `prompt` of a
        command; the session is then bound to that, and else to nothing.
        """
        channel_id = None if where.channel is None else where.channel.id
        async with self._in_order(channel_id):
            key = self.key(where)
            if key is None:
                return None
            if channel_id is not None:
                await self._fill(channel_id, key=key)
            session = self._recorder.session(key, DiscordOutlet(where))
            interaction = where if isinstance(where, discord.Interaction) else where.interaction
            if prompt is None and interaction is not None and interaction.type in PRESSED:
                prompt = pressed_of(interaction) if await self._is_chosen(interaction) else None
            user = author_of(where)
            if not prompt or self._ignores(where):
                return session
            source = None if interaction is None else f"interaction:{interaction.id}"
            if isinstance(where, commands.Context) and interaction is None:
                source = source_id(where.message)
            sender = Sender(str(user.id), user.display_name)
            return await self._recorder.receive(
                session, prompt, source_id=source, sender=sender, extra=AS_MADE
            )

    # Keys.

    def key(self, where: Where) -> SessionKey | None:
        """The session's key; None where the scope says that there is none."""
        return as_key(self._key_of(where))

    def key_of_sent(self, message: discord.Message) -> SessionKey | None:
        """The session that a message of the bot's belongs to; None where that can't be told.

        Where users have their own, it is that of the message that it replies to.
        """
        if self._ignores(message):
            return None
        reference = message.reference
        if reference is not None and reference.message_id is not None:
            known = self._recorder.key_of(source_id_at(reference.channel_id, reference.message_id))
            if known is not None:
                return known
        if message.guild is not None and is_per_user(self._scope):
            return None
        return self.key(message)

    def _sender(self, message: discord.Message) -> Sender | None:
        return sender_of(message, webhooks=self._record_webhooks)

    @asynccontextmanager
    async def _in_order(self, channel_id: int | None) -> AsyncGenerator[None, None]:
        """First come, first served: nothing is awaited before the place in the queue is taken."""
        task, channel = asyncio.current_task(), channel_id or 0
        if task is not None:
            self.tasks.add(task)
        if task is not None and self._holders.get(channel) is task:
            raise TurnkeepError(
                f"channel {channel}: its messages are being recorded, and what chooses among them "
                "(a command_prefix, a record=) asks for the session that waits for it: read "
                "store.session(session_key(channel.id)) there instead"
            )
        lock = self._queues.setdefault(channel, asyncio.Lock())
        async with lock:
            self._holders[channel] = task
            try:
                yield
            finally:
                self._holders.pop(channel, None)

    async def _is_recorded(self, message: discord.Message) -> bool:
        if self._ignores(message):
            return False
        if not self._record_commands:
            context: Context = await self._bot.get_context(message)
            if context.command is not None:
                return False
        return await self._is_chosen(message)

    async def _is_chosen(self, event: RecordedEvent) -> bool:
        async def addressed() -> bool:
            return isinstance(event, discord.Interaction) or await is_addressed(event, self._bot)

        return await self._filter.accepts(event, addressed)

    def _ignores(self, where: Where) -> bool:
        """Whether nothing is recorded of its author, its channel or thread, or its server."""
        channel = where.channel
        parent = channel.parent_id if isinstance(channel, discord.Thread) else None
        ids = (None if one is None else one.id for one in (author_of(where), channel, where.guild))
        return self._recorder.ignores(*ids, parent)


def _anywhere(_: SessionKey) -> bool:
    return True
