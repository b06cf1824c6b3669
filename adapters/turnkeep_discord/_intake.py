"""The intake of messages and interactions: it records them, and returns their session."""

from __future__ import annotations

import logging
from functools import partial
from typing import Any, Final, TypeAlias

import discord
from discord.ext import commands

from turnkeep import Sender, SessionKey, StorageError, StoreLockedError
from turnkeep.adapter import (
    AS_MADE,
    ChatSession,
    Content,
    Recorder,
    RecordFilter,
    RecordOption,
    as_said,
    private_key,
)

from ._asked import Asked, asked_of, source_of
from ._backfill import Backfill
from ._chain import earlier_of
from ._changes import Changes
from ._ephemeral import interaction_of, is_ephemeral, is_private
from ._in_flight import MessagesInFlight
from ._look import Render
from ._message import (
    Where,
    author_id,
    author_of,
    is_addressed,
    is_chained,
    source_id,
)
from ._order import ChannelOrder
from ._outlet import DiscordOutlet
from ._pressed import pressed_of
from ._reading import Reading
from ._resume import Resume
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

_OPENING: Final = 3
"""The id that the first message of a thread has at most, behind the thread's title and starter."""
PRESSED: Final = (discord.InteractionType.component, discord.InteractionType.modal_submit)


class Intake:
    """Records the events of each channel in their order, and returns their session."""

    def __init__(
        self,
        bot: Bot,
        recorder: Recorder,
        reading: Reading,
        *,
        record: Record,
        record_commands: bool,
        backfill: Backfill | None,
        resume: Resume,
        render: Render | None,
    ) -> None:
        self._render = render
        self._bot = bot
        self._recorder = recorder
        self._reading = reading
        self._is_chained = is_chained(reading.scope)
        self._filter: RecordFilter[RecordedEvent] = RecordFilter(record)
        self._record_commands = record_commands
        self._backfill = backfill
        self._resume = resume
        self._in_flight = MessagesInFlight()
        self._threads = Threads(bot, recorder, reading.sender_of, reading.ignores)
        self.order: Final = ChannelOrder()
        self.changes: Final = Changes(recorder, reading, self._threads, self.order, self._in_flight)

    @property
    def by_handlers(self) -> bool:
        """True where only the events are recorded for which a handler asks for the session."""
        return self._filter.by_handlers

    # Messages.

    async def record_message(self, message: discord.Message) -> ChatSession | None:
        """Record a message and all earlier ones of its channel, and return its session."""
        in_flight = self._in_flight.join(message)
        async with self.order.admit(message.channel.id):
            first, is_deleted = in_flight.session, self.changes.has_deleted(message.id)
            if first is not None and first.turn is not None and not is_deleted:
                # Each caller has an outlet of its own, which numbers the messages it sends.
                session = self._session(first.key, message)
                return session.bind(first.turn, answered=first.already_answered)
            key = self._reading.key(message)
            await self._record_missed(message.channel.id, message, key)
            recorded = await self._record(message, key, is_owed=True)
            # While the storage fails, the session is in another store, in memory.
            if recorded is not None and recorded.store is self._recorder.store:
                in_flight.session = recorded
            return recorded

    async def has_recorded(self, message: discord.Message) -> bool:
        """Return True if another task has just recorded this message, or is about to.

        The bot's own handlers often ask first: then the cog has nothing left to do.
        """
        in_flight = self._in_flight.known(message)
        if in_flight is None:
            return False
        async with self.order.admit(message.channel.id):
            return in_flight.session is not None

    async def record_missed(self, channel_id: int) -> None:
        """Record the messages of a channel that the bot missed."""
        async with self.order.admit(channel_id):
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
            await self.changes.edit_now(message)
        if fetched.gone:
            await self.changes.delete_now(channel_id, fetched.gone)
        for message in fetched.missed:
            if not self.by_handlers:
                await self._record(message, self._reading.key(message))

    async def _record(
        self, message: discord.Message, key: SessionKey | None, *, is_owed: bool = False
    ) -> ChatSession | None:
        if key is None:
            return None
        session = self._session(key, message)
        sender, content = self._reading.sender_of(message), self._reading.content_of(message)
        if sender is None or not content or not await self._is_recorded(message):
            return session
        if self.changes.has_deleted(message.id):  # the handler asked after the deletion
            return session
        await self._record_earlier(session, message)
        source = source_id(message)
        if is_owed:
            await self._resume.announce(key, message)
        try:
            received = await self._recorder.receive(
                session,
                content,
                source_id=source,
                sender=sender,
                time=message.created_at,
                quoted=self._reading.quoted_of(message),
            )
        except Exception:  # any: what is not recorded is owed no answer
            await self._recorder.debts.withdraw(source)
            raise
        await self._store_parent(received, message)
        if received.fetches:
            await self._recorder.earlier.note(received)
        return received

    def _session(self, key: SessionKey, where: Where, *, ephemeral: bool = False) -> ChatSession:
        chained = self._is_chained and where.guild is not None and not ephemeral
        return self._recorder.session(
            key,
            self._outlet(where, ephemeral=ephemeral),
            is_chained=chained,
            # A thread's first message is fetched, also from a channel that is no thread.
            fetches=where.guild is not None and not ephemeral,
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
                sender_of=self._reading.sender_of,
                hides=self._reading.ignores,
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

    # Interactions and commands.

    async def record_interaction(
        self,
        where: discord.Interaction | Context,
        prompt: str | None,
        ephemeral: bool | None = None,
    ) -> ChatSession | None:
        """Record an interaction or a command, and return its session; see `SessionCog.session`."""
        channel_id = None if where.channel is None else where.channel.id
        async with self.order.admit(channel_id):
            key = self._reading.key(where)
            if key is None:
                return None
            if channel_id is not None:
                await self._record_missed(channel_id, key=key)
            session = await self._session_at(where, key, ephemeral)
            interaction = interaction_of(where)
            content: Content | None = None if prompt is None else as_said(prompt)
            if prompt is None and interaction is not None and interaction.type in PRESSED:
                content = pressed_of(interaction) if await self._accepts(interaction) else None
            user, source = author_of(where), source_of(where)
            if not content or self._reading.ignores(where):
                return session
            sender = Sender(str(user.id), user.display_name)
            return await self._recorder.receive(
                session, content, source_id=source, sender=sender, extra=AS_MADE
            )

    async def session_at(self, where: discord.Interaction) -> ChatSession | None:
        """Return the session of the place of an interaction, bound to no message."""
        key = self._reading.key(where)
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
            asked = (
                await asked_of(where, self._reading.ignores) if prompt is None else Asked(prompt)
            )
            content, quoted = asked
            if not content or self._reading.ignores(where):
                return None
            user, source = author_of(where), source_of(where)
            sender = Sender(str(user.id), user.display_name)
            here = await self._where_it_is_seen(session, where)
            message: discord.Message | None = None
            if isinstance(where, commands.Context) and where.interaction is None:
                message = where.message
                await self._record_earlier(session, message)
                quoted = self._reading.quoted_of(message)
                await self._resume.announce(session.key, message)
            try:
                asked_in = await self._recorder.receive(
                    here, content, source_id=source, sender=sender, extra=AS_MADE, quoted=quoted
                )
            except Exception:  # any: what is not recorded is owed no answer
                await self._recorder.debts.withdraw(source or "")
                raise
            if message is not None:
                await self._resume.take(asked_in, message)
            elif isinstance(asked_in.outlet, DiscordOutlet) and asked_in.turn is not None:
                asked_in.outlet.take_back = partial(asked_in.delete, asked_in.turn)
            return asked_in

        return session.asking(ask, by=str(author_id(where)))

    async def _where_it_is_seen(self, session: ChatSession, where: Where) -> ChatSession:
        """Return the session of a command, or its person's own if it was deferred as ephemeral.

        A hybrid command has its session before it can be deferred.
        """
        outlet = session.outlet
        if not isinstance(outlet, DiscordOutlet) or outlet.is_for_one:
            return session
        if not await is_ephemeral(where):
            return session
        outlet.answer_in_private()
        return self._recorder.session(private_key(session.key, author_of(where).id), outlet)

    def _outlet(self, where: Where, *, ephemeral: bool = False) -> DiscordOutlet:
        return DiscordOutlet(
            where,
            ephemeral=ephemeral,
            mentions=self._bot.allowed_mentions,
            render=self._render,
        )

    async def _is_recorded(self, message: discord.Message) -> bool:
        if self._reading.ignores(message):
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
