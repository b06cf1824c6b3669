"""The intake of updates: it maps each one to its session and to the change it makes there."""

from __future__ import annotations

from collections.abc import Callable
from contextlib import AbstractAsyncContextManager, nullcontext
from typing import Any, Final, NamedTuple, TypeAlias
from weakref import WeakValueDictionary

import anyio
from aiogram import Bot
from aiogram.dispatcher.middlewares.user_context import EVENT_CONTEXT_KEY, EventContext
from aiogram.types import CallbackQuery, Message, Update
from aiogram.types.update import UpdateTypeLookupError

from turnkeep import Sender, SessionKey, Turn
from turnkeep.adapter import (
    ChatSession,
    Content,
    Outlet,
    Quoted,
    Recorder,
    RecordFilter,
    RecordOption,
    as_key,
    private_key,
)

from ._addressed import Albums, is_addressed
from ._chain import earlier_of
from ._commands import Commands
from ._content import asked_of, button_of, content_of, quoted_of
from ._forms import Forms
from ._kept_out import KeptOut
from ._message import (
    Event,
    MaybeInaccessible,
    Scope,
    is_chained,
    is_ephemeral,
    is_per_user,
    listener_of,
    message_of,
    scope_function,
    sender_of,
    source_id,
    source_id_at,
    subject_of,
)
from ._migration import migrate, migration_of
from ._pending import PendingUpdates
from ._resume import to_handle
from ._topics import Topics

Record: TypeAlias = RecordOption[Event]
"""The choice of events to record.

`"all"`: every message and pressed button. `"handled"`: those that a handler takes.
`"addressed"`: those that are addressed to the bot. Or a function of the event, async or not.
"""

RECORDED: Final = ("message", "business_message", "channel_post", "callback_query")
EDITED: Final = ("edited_message", "edited_channel_post", "edited_business_message")


class Said(NamedTuple):
    """The sender and the content of an event that is to be recorded."""

    sender: Sender
    content: Content


class Intake:
    """Makes the change of each update in the history, and returns its session."""

    def __init__(
        self,
        recorder: Recorder,
        outlet: Callable[[Update, MaybeInaccessible, Bot], Outlet],
        *,
        scope: Scope,
        record: Record,
        record_commands: bool,
        forms: Forms,
        commands: Commands,
    ) -> None:
        self._recorder = recorder
        self._commands = commands
        self._outlet = outlet
        self._key_of = scope_function(scope)
        self._is_scope_known = not callable(scope)
        self._is_per_user = is_per_user(scope)
        self._is_chained = is_chained(scope)
        self._filter: RecordFilter[Event] = RecordFilter(record)
        self._record_commands = record_commands
        self._forms = forms
        self._kept_out = KeptOut(recorder.store)
        self._albums = Albums()
        self._topics = Topics(recorder, self._hides)
        self._pending = PendingUpdates()
        self._locks: WeakValueDictionary[str, anyio.Lock] = WeakValueDictionary()

    @property
    def by_handlers(self) -> bool:
        """True where only the events that a handler takes are recorded."""
        return self._filter.by_handlers

    def key(self, update: Update, data: dict[str, Any]) -> SessionKey | None:
        """Return the session's key, or None for an update without a chat that the bot is in."""
        return self._key_at(update, subject_of(update), data)

    def _key_at(
        self, update: Update, subject: MaybeInaccessible | None, data: dict[str, Any]
    ) -> SessionKey | None:
        if update.guest_message is not None:
            return None
        key = as_key(self._key_of(update, data))
        if key is None or subject is None or not is_ephemeral(subject):
            return key
        bot: Bot = data["bot"]
        listener = listener_of(update, bot.id)
        return None if listener is None else private_key(key, listener)

    def is_change(self, update: Update) -> bool:
        """Return True for an edit or a deletion of messages."""
        changes = (
            update.edited_message
            or update.edited_channel_post
            or update.edited_business_message
            or update.deleted_business_messages
        )
        return changes is not None

    def content_of(self, message: Message) -> Content:
        """Return a message as it is recorded, without what may not be recorded of others."""
        return content_of(message, self._hides)

    def quoted_of(self, message: Message) -> Quoted | None:
        """Return the message that another one repeats, if it may be repeated."""
        return quoted_of(message, self._hides)

    def _hides(self, author: int | None, source: str | None) -> bool:
        return self._recorder.ignores(author) or (source is not None and source in self._kept_out)

    async def keep_out(self, event: Event, bot: Bot) -> None:
        """Let nothing of a message be repeated that is not to be recorded."""
        source = source_id(event) if isinstance(event, Message) else None
        if source is not None:
            await self._kept_out.note(source, bot.id)

    def sessions_of(self, update: Update, data: dict[str, Any]) -> list[ChatSession]:
        """Return the sessions of the chat that may hold something of the person who writes."""
        key, listener = as_key(self._key_of(update, data)), listener_of(update, data["bot"].id)
        if key is None:
            return []
        keys = [key] if listener is None else [key, private_key(key, listener)]
        return [self._recorder.session(one, is_chained=self._is_chained) for one in keys]

    def key_of_sent(self, message: Message) -> SessionKey | None:
        """Return the session of a message that the bot sent, or None if it is unknown.

        If each user of a group has a session, it is the session of the message that it answers.
        """
        if self._recorder.ignores(message.chat.id):
            return None
        context = EventContext(
            chat=message.chat,
            thread_id=message.message_thread_id if message.is_topic_message else None,
            business_connection_id=message.business_connection_id,
            user=message.receiver_user if is_ephemeral(message) else None,
        )
        data = {EVENT_CONTEXT_KEY: context, "bot": message.bot}
        key = self.key(Update(update_id=0, message=message), data)
        if not self._is_per_user or message.chat.type == "private" or is_ephemeral(message):
            return key
        reply = message.reply_to_message
        known = None if reply is None else self._recorder.key_of(source_id(reply) or "")
        # Messages of another bot, or of a business chat, have the same ids.
        return known if _account_scopes(known) == _account_scopes(key) else None

    def session_at(self, update: Update, data: dict[str, Any]) -> ChatSession | None:
        """Return the session of the place that an update comes from, bound to no message."""
        subject = subject_of(update)
        key = self._key_at(update, subject, data)
        if key is None or subject is None:
            return None
        return self._recorder.session(key, self._outlet(update, subject, data["bot"]))

    async def process(self, update: Update, data: dict[str, Any]) -> ChatSession | None:
        """Make the change that the update asks for, and return its session."""
        try:
            kind = update.event_type
        except UpdateTypeLookupError:  # aiogram itself reports it
            return None
        bot: Bot = data["bot"]
        await self._kept_out.load(bot.id)
        if update.deleted_business_messages is not None:
            # It names no user, and a scope function may require one.
            key = self.key(update, data) if self._is_scope_known else None
            await self._delete(update, key, bot)
            return None if key is None else self._recorder.session(key)
        subject = subject_of(update)
        key = self._key_at(update, subject, data)
        if key is None:
            return None
        if subject is None:
            return self._recorder.session(key)
        chained = self._is_chained and subject.chat.type != "private"
        outlet = self._outlet(update, subject, bot)
        session = self._recorder.session(key, outlet, is_chained=chained)
        chat = subject.chat.id
        if kind in EDITED and isinstance(subject, Message):
            await self._pending.wait(chat)
            await self._edit(subject, key)
            source = source_id(subject)
            turn = None if source is None else await self._recorder.find(session, source)
            return session if turn is None else session.bind(turn)
        if kind in RECORDED:
            if isinstance(subject, Message) and (ids := migration_of(subject)) is not None:
                await self._pending.wait(ids[0])  # their messages must move along
                await migrate(self._recorder.store, *ids)
            if isinstance(subject, Message) and kind != "callback_query":
                if subject.forum_topic_edited is not None:
                    await self._pending.wait(chat)
                await self._topics.take(subject)
            self._pending.begin((bot.id, update.update_id), chat)
            # Only its handler tells whether a button is a part of the conversation.
            is_open = kind == "callback_query" and not self._forms.records_all
            if not self.by_handlers and not is_open:
                try:
                    return await self._record_in_order(session, update, data)
                finally:
                    self.end(update, bot)
        return session

    def end(self, update: Update, bot: Bot) -> None:
        """Let changes to this update's message proceed: it is recorded, or won't be."""
        self._pending.end((bot.id, update.update_id))

    async def _record_in_order(
        self, session: ChatSession, update: Update, data: dict[str, Any]
    ) -> ChatSession:
        event = update.callback_query or message_of(update)
        async with self._in_order(session.key, event):
            said = None if event is None else await self.said_by(event, data)
            if event is None or said is None:
                return session
            before = await self._record_earlier_parts(session, event)
            received = await self.receive(session, event, said, update, data["bot"])
            if before and received.turn is not None:
                answered = received.already_answered
                return received.bind(received.turn, joined=before, answered=answered)
            return received

    async def _record_earlier_parts(self, session: ChatSession, event: Event) -> list[Turn]:
        """Record the parts of an album that came before the one that addresses the bot."""
        turns: list[Turn] = []
        for part in self._albums.address(event) if isinstance(event, Message) else ():
            sender, content = sender_of(part), self.content_of(part)
            if sender is not None and content:
                said = Said(sender, content)
                turn = (await self._receive_message(session, part, said)).turn
                turns += [] if turn is None else [turn]
        return turns

    async def record_unhandled(
        self, session: ChatSession, update: Update, data: dict[str, Any]
    ) -> None:
        """Record a pressed button that no handler has taken."""
        if update.callback_query is not None and not self.by_handlers:
            await self._record_in_order(session, update, data)

    def _in_order(self, key: SessionKey, event: Event | None) -> AbstractAsyncContextManager[None]:
        """Admit one update of a session at a time, in their order, if the store does not."""
        decides_at_once = self._filter.decides_at_once and self._forms.decides_at_once
        begins = isinstance(event, Message) and self._topics.may_begin(key, event)
        is_in_order = begins or key.text in self._locks  # others may still wait behind a title
        if not (is_in_order or self._recorder.needs_order or self._is_chained) and decides_at_once:
            return nullcontext()  # the store keeps the order, and writes several at once
        return self._locks.setdefault(key.text, anyio.Lock(fast_acquire=True))

    async def said_by(
        self, event: Event, data: dict[str, Any], *, chosen: bool = False
    ) -> Said | None:
        """Return the part of an event that is recorded, or None if it is not recorded.

        With `chosen`, a handler has asked for it: commands and forms count, and `record=` does
        not.
        """
        bot: Bot = data["bot"]
        message = event.message if isinstance(event, CallbackQuery) else event
        chat = None if message is None else message.chat.id
        sender = sender_of(event)
        if sender is None or self._recorder.ignores(chat, int(sender.id)):
            return None
        if isinstance(event, CallbackQuery):
            content: Content = button_of(event)
        else:
            is_command = self._is_command(event, bot)
            if is_command and not chosen:
                return None
            content = (is_command and asked_of(event, self._hides)) or self.content_of(event)
        if not content:
            return None
        if not chosen and await self._forms.is_filling(bot, data):
            await self.keep_out(event, bot)
            return None

        async def addressed() -> bool:
            if await is_addressed(event, bot):
                return True
            return isinstance(event, Message) and self._albums.is_addressed(event)

        is_recorded = chosen or await self._filter.accepts(event, addressed)
        return Said(sender, content) if is_recorded else None

    def _is_command(self, message: Message, bot: Bot) -> bool:
        """Return whether a message is a command that is not recorded by itself."""
        return not self._record_commands and self._commands.has(message, bot)

    def asking(self, session: ChatSession, event: Event, update: Update, bot: Bot) -> ChatSession:
        """Return a session that records the question of an event when its handler asks it."""

        async def ask(prompt: Content | None) -> ChatSession | None:
            message = event.message if isinstance(event, CallbackQuery) else event
            sender = sender_of(event)
            if sender is None or self._recorder.ignores(
                None if message is None else message.chat.id, int(sender.id)
            ):
                return None
            content = prompt
            if content is None and isinstance(event, Message) and self._is_command(event, bot):
                content = asked_of(event, self._hides)
            if not content:
                return None
            return await self.receive(session, event, Said(sender, content), update, bot)

        asker = sender_of(event)
        return session.asking(ask, by=None if asker is None else asker.id)

    async def receive(
        self, session: ChatSession, event: Event, said: Said, update: Update, bot: Bot
    ) -> ChatSession:
        """Record an event, and return the session bound to it; owe it an answer."""
        if isinstance(event, CallbackQuery):
            bound = await self._recorder.receive(
                session, said.content, source_id=f"button:{event.id}", sender=said.sender
            )
        else:
            bound = await self._receive_message(session, event, said)
        await self._recorder.owe(bound, to_handle(update, bot))
        return bound

    async def _receive_message(
        self, session: ChatSession, message: Message, said: Said
    ) -> ChatSession:
        await self._topics.begin(session, message)
        if session.is_chained:
            await self._recorder.earlier.record(session, earlier_of(message, self._hides))
        received = await self._recorder.receive(
            session,
            said.content,
            source_id=source_id(message),
            sender=said.sender,
            time=message.date,
            quoted=quoted_of(message, self._hides),
        )
        if received.fetches:
            await self._recorder.earlier.note(received)
        return received

    async def _edit(self, message: Message, key: SessionKey) -> None:
        source, content = source_id(message), self.content_of(message)
        if message.bot is not None and self._is_command(message, message.bot):
            content = asked_of(message, self._hides) or content
        if source is not None and content and sender_of(message) is not None:
            await self._recorder.edit(source, content, key)

    async def _delete(self, update: Update, key: SessionKey | None, bot: Bot) -> None:
        deleted = update.deleted_business_messages
        assert deleted is not None
        connection, chat = deleted.business_connection_id, deleted.chat.id
        sources = [source_id_at(chat, one, connection) for one in deleted.message_ids]
        await self._pending.wait(chat)
        own = {"account": str(bot.id), "business": connection}

        # The update does not name the user. With our own scopes, a business chat has one session.
        # A scope function may have put the messages into any, but not into that of another bot
        # or of another connection.
        def may_hold_them(one: SessionKey) -> bool:
            return all(own.get(label, value) == value for label, value in one.scopes)

        await self._recorder.delete(
            sources, key=key, among=None if self._is_scope_known else may_hold_them
        )


def _account_scopes(key: SessionKey | None) -> dict[str, str]:
    scopes = {} if key is None else dict(key.scopes)
    return {label: scopes[label] for label in ("account", "business") if label in scopes}
