"""The intake of messages and interactions: it records them, and returns their session."""

from __future__ import annotations

import asyncio
import logging
from collections.abc import AsyncGenerator, Awaitable, Callable, Sequence
from contextlib import asynccontextmanager
from typing import Any, Final, TypeAlias
from weakref import WeakSet, WeakValueDictionary

import discord
from discord.ext import commands

from turnkeep import Sender, SessionKey, StorageError, StoreLockedError, TurnkeepError
from turnkeep.adapter import (
    AS_MADE,
    ChatSession,
    Content,
    Quoted,
    Recent,
    Recorder,
    RecordFilter,
    RecordOption,
    as_key,
    private_key,
)

from ._asked import asked_of, source_of
from ._backfill import Backfill
from ._chain import earlier_of
from ._content import content_of, quoted_of
from ._ephemeral import interaction_of, is_ephemeral, is_private
from ._in_flight import MessagesInFlight
from ._look import Render
from ._message import (
    PREFIX,
    Scope,
    Where,
    author_id,
    author_of,
    is_addressed,
    is_by_channel,
    is_chained,
    is_per_user,
    scope_function,
    sender_of,
    session_key,
    source_id,
    source_id_at,
)
from ._outlet import DiscordOutlet
from ._pressed import pressed_of
from ._threads import Threads

Bot = commands.Bot | commands.AutoShardedBot
Context = commands.Context[Any]

logger: Final = logging.getLogger("turnkeep")

RecordedEvent: TypeAlias = discord.Message | discord.Interaction
Record: TypeAlias = RecordOption[RecordedEvent]
"""The choice of events to record.

`"all"`: every message. `"handled"`: those for which a handler asks for the session.
`"addressed"`: those that are addressed to the bot. Or a function of the message or interaction,
async or not. A pressed button, a chosen option or a form is recorded only if its handler asks for
the session: menus are no conversation, and forms may ask for secrets.
"""

_MAX_DELETED: Final = 10_000
_OPENING: Final = 3
"""The id that the first message of a thread has at most, behind the thread's title and starter."""
PRESSED: Final = (discord.InteractionType.component, discord.InteractionType.modal_submit)


class Intake:
    """Records the events of each channel in their order, and returns their session."""

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
        announce: Callable[[SessionKey, discord.Message], Awaitable[None]],
        render: Render | None,
    ) -> None:
        self._render = render
        self._bot = bot
        self._recorder = recorder
        self._scope: Scope = scope
        self._key_of = scope_function(scope)
        self._is_chained = is_chained(scope)
        self._filter: RecordFilter[RecordedEvent] = RecordFilter(record)
        self._record_commands = record_commands
        self._record_webhooks = record_webhooks
        self._backfill = backfill
        self._announce = announce
        self._threads = Threads(bot, recorder, self._sender, self._ignores)
        self._deleted: Recent[int, None] = Recent(_MAX_DELETED)
        self._edited: Recent[int, discord.Message] = Recent(_MAX_DELETED)
        self._in_flight = MessagesInFlight()
        self._recording: dict[int, asyncio.Task[Any] | None] = {}  # the task, by channel
        self._queues: WeakValueDictionary[int, asyncio.Lock] = WeakValueDictionary()
        self.tasks: WeakSet[asyncio.Task[Any]] = WeakSet()
        """The tasks that asked for a session, or record an event."""

    @property
    def by_handlers(self) -> bool:
        """True where only the events are recorded for which a handler asks for the session."""
        return self._filter.by_handlers

    # Messages.

    async def record_message(self, message: discord.Message) -> ChatSession | None:
        """Record a message and all earlier ones of its channel, and return its session."""
        in_flight = self._in_flight.join(message)
        async with self._in_order(message.channel.id):
            first = in_flight.session
            if first is not None and first.turn is not None and message.id not in self._deleted:
                # Each caller has an outlet of its own, which numbers the messages it sends.
                session = self._session(first.key, message)
                return session.bind(first.turn, answered=first.already_answered)
            key = self.key(message)
            await self._record_missed(message.channel.id, message, key)
            recorded = await self._record(message, key, is_owed=True)
            # While the storage fails, the session is in another store, in memory.
            if recorded is not None and recorded.store is self._recorder.store:
                in_flight.session = recorded
            return recorded

    async def record_missed(self, channel_id: int) -> None:
        """Record the messages of a channel that the bot missed."""
        async with self._in_order(channel_id):
            await self._record_missed(channel_id)

    async def _record_missed(
        self,
        channel_id: int,
        before: discord.Message | None = None,
        key: SessionKey | None = None,
    ) -> None:
        if self._backfill is None:
            return
        fetched = await self._backfill.fetch_missed(channel_id, before, key)
        for message in fetched.edited:
            await self._edit(message)
        if fetched.gone:
            await self._delete(channel_id, fetched.gone)
        for message in fetched.missed:
            if not self.by_handlers:
                await self._record(message, self.key(message))

    async def _record(
        self, message: discord.Message, key: SessionKey | None, *, is_owed: bool = False
    ) -> ChatSession | None:
        if key is None:
            return None
        session = self._session(key, message)
        sender, content = self._sender(message), self.content_of(message)
        if sender is None or not content or not await self._is_recorded(message):
            return session
        if message.id in self._deleted:  # the handler asked after the deletion
            return session
        await self._record_earlier(session, message)
        source = source_id(message)
        if is_owed:
            await self._announce(key, message)
        try:
            received = await self._recorder.receive(
                session,
                content,
                source_id=source,
                sender=sender,
                time=message.created_at,
                quoted=quoted_of(message, self._ignores),
            )
        except Exception:
            await self._recorder.debts.withdraw(source)
            raise
        await self._store_parent(received, message)
        return received

    def _session(self, key: SessionKey, where: Where, *, ephemeral: bool = False) -> ChatSession:
        chained = self._is_chained and where.guild is not None and not ephemeral
        return self._recorder.session(
            key,
            self._outlet(where, ephemeral=ephemeral),
            is_chained=chained,
            fetches=isinstance(where.channel, discord.Thread),
        )

    async def _record_earlier(self, session: ChatSession, message: discord.Message) -> None:
        """Record what a person reads before the message: its thread's beginning, its chain."""
        await self._threads.begin(session, message)
        if not session.is_chained:
            return
        try:
            earlier = await earlier_of(
                session,
                message,
                since=await self._recorder.earlier.since(session),
                sender_of=self._sender,
                hides=self._ignores,
            )
        except (StorageError, StoreLockedError) as error:
            logger.warning("%s: earlier messages are not looked up: %s", session, error)
            return
        await self._recorder.earlier.record(session, earlier)

    async def _store_parent(self, session: ChatSession, message: discord.Message) -> None:
        """Store a thread's parent channel with its session.

        If the channel is deleted, Discord may send no event for its threads.
        """
        thread, turn = message.channel, session.turn
        is_new = turn is not None and turn.id <= _OPENING
        if is_new and isinstance(thread, discord.Thread) and session.key.chat_id == str(thread.id):
            await session.update_metadata(parent=str(thread.parent_id))

    async def edit(self, message: discord.Message) -> None:
        """Edit the message in the history."""
        self._edited[message.id] = message
        async with self._in_order(message.channel.id):
            # Of the edits that wait, the first one writes the latest text.
            latest = self._edited.get(message.id)
            if latest is not None:
                await self._edit(latest)
                if self._edited.get(message.id) is latest:
                    del self._edited[message.id]

    async def _edit(self, message: discord.Message) -> None:
        content = self.content_of(message)
        if self._sender(message) is not None and content:
            self._in_flight.outdate(message.id)
            await self._recorder.edit(source_id(message), content, self.key(message))
            await self._threads.edit(message)

    async def delete(self, channel_id: int, ids: Sequence[int]) -> None:
        """Delete the messages from the history."""
        self._deleted.update(dict.fromkeys(ids))
        async with self._in_order(channel_id):
            await self._delete(channel_id, ids)

    async def _delete(self, channel_id: int, ids: Sequence[int]) -> None:
        # Nothing names the author: scopes that depend on it need a search.
        known = is_by_channel(self._scope)
        await self._recorder.delete(
            [source_id_at(channel_id, one) for one in ids],
            key=session_key(channel_id) if known else None,
            among=None if known else _any_key,
            since=discord.utils.snowflake_time(min(ids)) if ids else None,
        )
        if known:
            await self._threads.delete(channel_id, ids)

    async def forget_channel(self, channel_id: int) -> None:
        """Erase the sessions of a deleted channel, and of the threads that were in it."""
        store, deleted = self._recorder.store, str(channel_id)
        async with self._in_order(channel_id):
            for info in await store.list_sessions(prefix=PREFIX, limit=None):
                if deleted in (info.key.chat_id, info.metadata.get("parent")):
                    await store.forget(info.key)
            if not is_by_channel(self._scope) and self._scope != "user_in_channel":
                # Such a session has messages of several channels.
                await self._recorder.delete_all(f"{deleted}:")

    # Interactions and commands.

    async def record_interaction(
        self,
        where: discord.Interaction | Context,
        prompt: str | None,
        ephemeral: bool | None = None,
    ) -> ChatSession | None:
        """Record an interaction or a command, and return its session; see `SessionCog.session`."""
        channel_id = None if where.channel is None else where.channel.id
        async with self._in_order(channel_id):
            key = self.key(where)
            if key is None:
                return None
            if channel_id is not None:
                await self._record_missed(channel_id, key=key)
            session = await self._session_at(where, key, ephemeral)
            interaction = interaction_of(where)
            content: Content | None = prompt
            if prompt is None and interaction is not None and interaction.type in PRESSED:
                content = pressed_of(interaction) if await self._accepts(interaction) else None
            user, source = author_of(where), source_of(where)
            if not content or self._ignores(where):
                return session
            sender = Sender(str(user.id), user.display_name)
            return await self._recorder.receive(
                session, content, source_id=source, sender=sender, extra=AS_MADE
            )

    async def session_at(self, where: discord.Interaction) -> ChatSession | None:
        """Return the session of the place of an interaction, bound to no message."""
        key = self.key(where)
        return None if key is None else await self._session_at(where, key, None)

    async def _session_at(
        self, where: discord.Interaction | Context, key: SessionKey, ephemeral: bool | None
    ) -> ChatSession:
        if ephemeral is None:
            ephemeral = await is_ephemeral(where)
        if ephemeral and not is_private(where):
            key = private_key(key, author_of(where).id)
        return self._session(key, where, ephemeral=bool(ephemeral))

    def asking(self, session: ChatSession, where: Where) -> ChatSession:
        """Return a session that records the question of a command when its handler asks it."""

        async def ask(prompt: Content | None) -> ChatSession | None:
            content = asked_of(where, self._ignores) if prompt is None else prompt
            if not content or self._ignores(where):
                return None
            user, source = author_of(where), source_of(where)
            sender = Sender(str(user.id), user.display_name)
            quoted: Quoted | None = None
            if isinstance(where, commands.Context) and where.interaction is None:
                await self._record_earlier(session, where.message)
                quoted = quoted_of(where.message, self._ignores)
            return await self._recorder.receive(
                session, content, source_id=source, sender=sender, extra=AS_MADE, quoted=quoted
            )

        return session.asking(ask, by=str(author_id(where)))

    def _outlet(self, where: Where, *, ephemeral: bool = False) -> DiscordOutlet:
        return DiscordOutlet(
            where,
            ephemeral=ephemeral,
            mentions=self._bot.allowed_mentions,
            render=self._render,
        )

    # Keys.

    def key(self, where: Where) -> SessionKey | None:
        """Return the session's key, or None if the scope has none."""
        return as_key(self._key_of(where))

    def key_of_sent(self, message: discord.Message) -> SessionKey | None:
        """Return the session of a message that the bot sent, or None if it is unknown.

        A reply belongs to the session of the message that it answers. If each user has a session,
        any other message in a server is in none that is known.
        """
        if self._ignores(message):
            return None
        if message.flags.ephemeral and not is_private(message):
            key, asked = self.key(message), message.interaction_metadata
            return None if key is None or asked is None else private_key(key, asked.user.id)
        reference = message.reference
        if reference is not None and reference.message_id is not None:
            known = self._recorder.key_of(source_id_at(reference.channel_id, reference.message_id))
            if known is not None:
                return known
        if message.guild is not None and is_per_user(self._scope):
            return None
        return self.key(message)

    def content_of(self, message: discord.Message) -> Content:
        """Return a message as it is recorded, without what may not be recorded of others."""
        return content_of(message, self._ignores)

    def quoted_of(self, message: discord.Message) -> Quoted | None:
        """Return the message that another one repeats, if it may be repeated."""
        return quoted_of(message, self._ignores)

    def _sender(self, message: discord.Message) -> Sender | None:
        return sender_of(message, webhooks=self._record_webhooks)

    @asynccontextmanager
    async def _in_order(self, channel_id: int | None) -> AsyncGenerator[None, None]:
        """Admit one task at a time per channel, in the order of arrival.

        Nothing is awaited before the task has its place in the queue.
        """
        task, channel = asyncio.current_task(), channel_id or 0
        if task is not None:
            self.tasks.add(task)
        if task is not None and self._recording.get(channel) is task:
            raise TurnkeepError(
                f"channel {channel}: its messages are being recorded, and a function that "
                "chooses among them (a command_prefix, a record=) asks for the session, which "
                "waits for that function: read store.session(session_key(channel.id)) there"
            )
        lock = self._queues.setdefault(channel, asyncio.Lock())
        async with lock:
            self._recording[channel] = task
            try:
                yield
            finally:
                self._recording.pop(channel, None)

    async def _is_recorded(self, message: discord.Message) -> bool:
        if self._ignores(message):
            return False
        if not self._record_commands:
            context: Context = await self._bot.get_context(message)
            if context.command is not None:
                return False
        return await self._accepts(message)

    async def _accepts(self, event: RecordedEvent) -> bool:
        async def addressed() -> bool:
            return isinstance(event, discord.Interaction) or await is_addressed(event, self._bot)

        return await self._filter.accepts(event, addressed)

    def _ignores(self, where: Where) -> bool:
        """Return whether its author, its channel, thread or server is ignored."""
        channel = where.channel
        parent = channel.parent_id if isinstance(channel, discord.Thread) else None
        ids = (None if one is None else one.id for one in (author_of(where), channel, where.guild))
        return self._recorder.ignores(*ids, parent)


def _any_key(_: SessionKey) -> bool:
    return True
