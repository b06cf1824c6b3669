"""What an update says of the history, and the session it is in."""

from __future__ import annotations

from collections.abc import Callable
from contextlib import AbstractAsyncContextManager, nullcontext
from functools import partial
from typing import Any, Final, TypeAlias
from weakref import WeakValueDictionary

import anyio
from aiogram import Bot
from aiogram.dispatcher.middlewares.user_context import EVENT_CONTEXT_KEY, EventContext
from aiogram.types import CallbackQuery, Message, Update
from aiogram.types.update import UpdateTypeLookupError

from turnkeep import SessionKey
from turnkeep.adapter import ChatSession, Outlet, Recorder, RecordFilter, RecordOption, as_key

from ._content import button_of, content_of, quoted_of
from ._message import (
    Event,
    MaybeInaccessible,
    Scope,
    about_of,
    is_addressed,
    is_command,
    is_per_user,
    message_of,
    scope_function,
    sender_of,
    source_id,
    source_id_at,
)
from ._migration import migrate, migration_of
from ._under_way import UnderWay

Record: TypeAlias = RecordOption[Event]
"""What is recorded: every message, those that a handler takes, those that are said to the bot,
or those of which a function, async or not, says so."""

RECORDED: Final = ("message", "business_message", "channel_post", "callback_query")
EDITED: Final = ("edited_message", "edited_channel_post", "edited_business_message")


class Intake:
    """Takes each update in: records, edits or deletes, and gives its session."""

    def __init__(
        self,
        recorder: Recorder,
        outlet: Callable[[MaybeInaccessible, Bot], Outlet],
        *,
        scope: Scope,
        record: Record,
        record_commands: bool,
    ) -> None:
        self._recorder = recorder
        self._outlet = outlet
        self._key_of = scope_function(scope)
        self._is_scope_known = not callable(scope)
        self._is_per_user = is_per_user(scope)
        self._filter: RecordFilter[Event] = RecordFilter(record)
        self._record_commands = record_commands
        self._under_way = UnderWay()
        self._locks: WeakValueDictionary[str, anyio.Lock] = WeakValueDictionary()

    @property
    def by_handlers(self) -> bool:
        """Whether only what a handler takes is recorded."""
        return self._filter.by_handlers

    def key(self, update: Update, data: dict[str, Any]) -> SessionKey | None:
        """The session's key; None for what is of no chat, or of one that the bot is not in."""
        if update.guest_message is not None:
            return None
        return as_key(self._key_of(update, data))

    def key_of_sent(self, message: Message) -> SessionKey | None:
        """The session that a message of the bot's belongs to; None where that can't be told.

        Where the users of a group have their own, it is that of the message that it replies to.
        """
        if self._recorder.ignores(message.chat.id):
            return None
        context = EventContext(
            chat=message.chat,
            thread_id=message.message_thread_id if message.is_topic_message else None,
            business_connection_id=message.business_connection_id,
        )
        data = {EVENT_CONTEXT_KEY: context, "bot": message.bot}
        key = self.key(Update(update_id=0, message=message), data)
        if not self._is_per_user or message.chat.type == "private":
            return key
        reply = message.reply_to_message
        known = None if reply is None else self._recorder.key_of(source_id(reply) or "")
        # Another bot, or a business chat, has messages with the same ids.
        return known if _whose(known) == _whose(key) else None

    async def take(self, update: Update, data: dict[str, Any]) -> ChatSession | None:
        """Does what the update says of the history, and gives its session."""
        try:
            kind = update.event_type
        except UpdateTypeLookupError:  # aiogram says so itself
            return None
        bot: Bot = data["bot"]
        if update.deleted_business_messages is not None:
            # It names nobody, which a function of the user's may not expect.
            key = self.key(update, data) if self._is_scope_known else None
            await self._delete(update, key)
            return None if key is None else self._recorder.session(key)
        key = self.key(update, data)
        if key is None:
            return None
        about = about_of(update)
        session = self._recorder.session(key, None if about is None else self._outlet(about, bot))
        if about is None:
            return session
        chat = about.chat.id
        if kind in EDITED and isinstance(about, Message):
            await self._under_way.wait(chat)
            await self._edit(about, key)
            source = source_id(about)
            turn = None if source is None else await self._recorder.find(session, source)
            return session if turn is None else session.bind(turn)
        if kind in RECORDED:
            if isinstance(about, Message) and (ids := migration_of(about)) is not None:
                await self._under_way.wait(ids[0])  # it moves along
                await migrate(self._recorder.store, *ids)
            self._under_way.begin((bot.id, update.update_id), chat)
            if not self.by_handlers:
                try:
                    return await self._record_next(session, update, bot)
                finally:
                    self.decided(update, bot)
        return session

    def decided(self, update: Update, bot: Bot) -> None:
        """Whether the update is recorded is decided, and done; what changes it may come."""
        self._under_way.end((bot.id, update.update_id))

    async def _record_next(self, session: ChatSession, update: Update, bot: Bot) -> ChatSession:
        event = update.callback_query or message_of(update)
        async with self._in_order(session.key):
            if event is not None and await self.is_recorded(event, bot):
                return await self.receive(session, event)
            return session

    def _in_order(self, key: SessionKey) -> AbstractAsyncContextManager[None]:
        """First come, first served, where the store does not see to it by itself."""
        if self._filter.decides_at_once and not self._recorder.needs_order:
            return nullcontext()  # the store keeps the order, and shares its writes
        return self._locks.setdefault(key.text, anyio.Lock(fast_acquire=True))

    async def is_recorded(self, event: Event, bot: Bot, *, chosen: bool = False) -> bool:
        """Whether somebody said something here that is to be recorded, or was `chosen` to be."""
        message = event.message if isinstance(event, CallbackQuery) else event
        chat = None if message is None else message.chat.id
        sender = sender_of(event)
        if sender is None or self._recorder.ignores(chat, int(sender.id)):
            return False
        if isinstance(event, Message):
            if is_command(event) and not (self._record_commands or chosen):
                return False
            if not content_of(event):
                return False
        if chosen:
            return True
        return await self._filter.accepts(event, partial(is_addressed, event, bot))

    async def receive(self, session: ChatSession, event: Event) -> ChatSession:
        """Records what somebody said, and gives the session bound to it."""
        sender = sender_of(event)
        assert sender is not None
        if isinstance(event, CallbackQuery):
            return await self._recorder.receive(
                session, button_of(event), source_id=f"button:{event.id}", sender=sender
            )
        return await self._recorder.receive(
            session,
            content_of(event),
            source_id=source_id(event),
            sender=sender,
            time=event.date,
            quoted=quoted_of(event),
        )

    async def _edit(self, message: Message, key: SessionKey) -> None:
        source, content = source_id(message), content_of(message)
        if source is not None and content and sender_of(message) is not None:
            await self._recorder.edit(source, content, key)

    async def _delete(self, update: Update, key: SessionKey | None) -> None:
        deleted = update.deleted_business_messages
        assert deleted is not None
        sources = [source_id_at(deleted.chat.id, one) for one in deleted.message_ids]
        await self._under_way.wait(deleted.chat.id)
        # Whoever deletes is not named. The chat is one person's, so that a scope of ours has all
        # of it in one session; a function may have put it anywhere but into the bot's own chat,
        # whose messages have the same ids.
        business = ("business", deleted.business_connection_id)

        def may_have(one: SessionKey) -> bool:
            return business in one.scopes or one.chat_id != str(deleted.chat.id)

        await self._recorder.delete(
            sources, key=key, among=None if self._is_scope_known else may_have
        )


def _whose(key: SessionKey | None) -> dict[str, str]:
    scopes = {} if key is None else dict(key.scopes)
    return {label: scopes[label] for label in ("account", "business") if label in scopes}
