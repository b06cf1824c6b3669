"""The cog: it records what users say, and hands the session to whoever asks.

discord.py runs all handlers of a message at the same time, so nothing can be sure to run
before a bot's own handler. So a message is recorded on read: the cog's listener and every
handler call the same function, and whoever comes first records it.
"""

from __future__ import annotations

import asyncio
import logging
from collections.abc import AsyncGenerator, Awaitable, Callable, Coroutine
from contextlib import AsyncExitStack, asynccontextmanager, suppress
from inspect import isawaitable
from typing import Any, Final, Literal, Unpack, get_args
from weakref import WeakSet, WeakValueDictionary

import discord
from discord.ext import commands

from turnkeep import Sender, SessionKey, SessionStore, TurnkeepError
from turnkeep.adapter import ChatSession, Recorder, RecorderOptions

from ._capture import Capture
from ._content import content_of, pressed_of
from ._message import (
    PREFIX,
    Scope,
    Where,
    author_of,
    is_addressed,
    scope_function,
    sender_of,
    session_key,
    source_id,
)
from ._outlet import DiscordOutlet

logger: Final = logging.getLogger("turnkeep")

Bot = commands.Bot | commands.AutoShardedBot
Context = commands.Context[Any]

Record = (
    Literal["all", "handled", "addressed"] | Callable[[discord.Message], bool | Awaitable[bool]]
)
"""What is recorded: every message, those for which a handler asks for the session, those that
are said to the bot, or those of which a function, async or not, says so."""

EVENT: Final = "on_session_message"
_PRESSED: Final = (discord.InteractionType.component, discord.InteractionType.modal_submit)


class SessionCog(commands.Cog):
    """Records each message that a user writes, in the order of its channel, once.

    `await bot.add_cog(SessionCog(bot, store))` in `setup_hook` is all there is to do; the
    store opens and is left with the cog. Edits and deletions on Discord reach the history.

    Handlers ask `await chat_session(bot, message)`, or listen to the cog's own event, which
    comes when the message is recorded, once for each:

    >>> async def on_session_message(message, chat_session):
    ...     await chat_session.answer("Hello!")

    Those listeners (a method of the bot, or `@bot.listen()`) are what `busy` and `debounce` are
    about; an answered message is not handed to them again. Commands have `ctx.chat_session`.

    `scope` says who shares a session, see `Scope` and `per_account`. `record` says what is
    recorded ("all"), see `Record`; prefix commands only with `record_commands=True`, and what
    a webhook posts, as proxies do, with `record_webhooks=True`. With `capture` what the bot sends
    is recorded too. With `backfill` up to so many messages are fetched of each channel that it
    knows (the 100 latest), when Discord did not replay what was said while the bot was away; they
    are recorded, and not answered. `drain_timeout` is for how many seconds, when the cog is
    removed or the bot closes, the tasks that asked for a session (handlers) are waited for, so
    that their replies are stored. `busy`, `debounce`, `reset`, `edits`, `on_storage_error` and
    `ignore`: see `turnkeep.adapter.RecorderOptions`.
    """

    def __init__(
        self,
        bot: Bot,
        store: SessionStore,
        *,
        scope: Scope = "channel",
        record: Record = "all",
        record_commands: bool = False,
        record_webhooks: bool = False,
        backfill: int = 0,
        capture: bool = False,
        drain_timeout: float = 10,
        **options: Unpack[RecorderOptions],
    ) -> None:
        if not callable(record) and record not in get_args(get_args(Record)[0]):
            raise ValueError(
                f"record is 'all', 'handled', 'addressed' or a function, not {record!r}"
            )
        self.bot = bot
        self.store = store
        self.recorder: Recorder = Recorder(store, PREFIX, **options)
        self._scope = scope
        self._key_of = scope_function(scope)
        self._record = record
        self._record_commands = record_commands
        self._record_webhooks = record_webhooks
        self._backfill = backfill
        self._capture = Capture(store, self._key) if capture else None
        self._drain_timeout = drain_timeout
        self._opened: AsyncExitStack | None = None
        self._queues: WeakValueDictionary[int, asyncio.Lock] = WeakValueDictionary()
        self._handlers: WeakSet[asyncio.Task[Any]] = WeakSet()

    async def cog_load(self) -> None:
        if not self.bot.intents.message_content:
            logger.warning(
                "the message_content intent is off: Discord sends this bot no text but in "
                "direct messages and mentions, so that is all that can be recorded. Set "
                "intents.message_content = True, and switch it on in the developer portal"
            )
        stack = AsyncExitStack()
        await stack.enter_async_context(self.store)
        self._opened = stack

    async def cog_unload(self) -> None:
        # Until the running handlers have stored their replies all stays as it was: the bot
        # may go on, with the cog reloaded, and what is said meanwhile comes only once.
        _leaving[self.bot] = self
        self.bot.add_listener(self.on_message)
        try:
            await self._drain()
        finally:
            self.bot.remove_listener(self.on_message)
            del _leaving[self.bot]
            if self._capture is not None:
                await self._capture.settle()
            await self.recorder.aclose()
            if self._opened is not None:
                await self._opened.aclose()
                self._opened = None

    async def _drain(self) -> None:
        with suppress(TimeoutError):
            async with asyncio.timeout(self._drain_timeout):
                while running := self._running():
                    await asyncio.wait(running)
        if late := self._running():
            logger.warning(
                "%d handlers still run after %g seconds; their replies can't be stored any more",
                len(late),
                self._drain_timeout,
            )

    def _running(self) -> set[asyncio.Task[Any]]:
        """The tasks that asked for a session, but the one that removes the cog."""
        return {task for task in self._handlers if not task.done()} - {asyncio.current_task()}

    # What Discord tells.

    @commands.Cog.listener()
    async def on_message(self, message: discord.Message) -> None:
        """Records the message, and runs what listens to `session_message`; called by discord.py."""
        if self._capture is not None and message.author == self.bot.user:
            return await self._capture.sent(message)
        if self._record == "handled" and not self._listeners():
            return None
        session = await self.record(message)
        if session is None or session.turn is None or not self._listeners():
            return None

        async def handle(bound: ChatSession) -> None:
            await asyncio.gather(*(self._call(one, message, bound) for one in self._listeners()))

        return await self.recorder.overlap.run(session, handle)

    def _listeners(self) -> list[Callable[..., Coroutine[Any, Any, Any]]]:
        own = getattr(self.bot, EVENT, None)
        return [*([] if own is None else [own]), *self.bot.extra_events.get(EVENT, ())]

    async def _call(
        self,
        listener: Callable[..., Coroutine[Any, Any, Any]],
        message: discord.Message,
        session: ChatSession,
    ) -> None:
        try:
            await listener(message, session)
        # As discord.py does it with what listens to its own events.
        except Exception:  # noqa: BLE001
            await self.bot.on_error(EVENT, message, session)

    @commands.Cog.listener()
    async def on_raw_message_edit(self, payload: discord.RawMessageUpdateEvent) -> None:
        """Changes what is recorded of the message; called by discord.py."""
        message = payload.message
        if self._capture is not None and message.author == self.bot.user:
            return await self._capture.edited(message)
        content = content_of(message)
        if self._sender(message) is None or not content:
            return None
        async with self._in_order(payload.channel_id):
            return await self.recorder.edit(source_id(message), content, self._key(message))

    @commands.Cog.listener()
    async def on_raw_message_delete(self, payload: discord.RawMessageDeleteEvent) -> None:
        """Takes what is recorded of the message away; called by discord.py."""
        await self._delete(payload.channel_id, [payload.message_id])

    @commands.Cog.listener()
    async def on_raw_bulk_message_delete(self, payload: discord.RawBulkMessageDeleteEvent) -> None:
        """Takes what is recorded of the messages away; called by discord.py."""
        await self._delete(payload.channel_id, sorted(payload.message_ids))

    async def _delete(self, channel_id: int, ids: list[int]) -> None:
        if self._capture is not None:
            for one in ids:
                self._capture.deleted(one)
        async with self._in_order(channel_id):
            # Who wrote it is not told: with another scope it is looked for.
            known = self._scope in ("channel", commands.BucketType.channel)
            prefix = f"{PREFIX}{channel_id}" if self._scope == "user_in_channel" else PREFIX
            await self.recorder.delete(
                [f"{channel_id}:{one}" for one in ids],
                key=session_key(channel_id) if known else None,
                prefix=prefix,
            )

    @commands.Cog.listener()
    async def on_raw_thread_delete(self, payload: discord.RawThreadDeleteEvent) -> None:
        """Forgets the thread's session; called by discord.py."""
        await self._forget_channel(payload.thread_id)

    @commands.Cog.listener()
    async def on_guild_channel_delete(self, channel: discord.abc.GuildChannel) -> None:
        """Forgets the channel's session; called by discord.py."""
        await self._forget_channel(channel.id)

    async def _forget_channel(self, channel_id: int) -> None:
        async with self._in_order(channel_id):
            prefix = f"{PREFIX}{channel_id}"
            for info in await self.store.list_sessions(prefix=prefix, limit=None):
                if info.key.chat_id == str(channel_id):
                    await self.store.forget(info.key)

    @commands.Cog.listener()
    async def on_interaction(self, interaction: discord.Interaction) -> None:
        """Records a pressed button, a chosen option, a form; called by discord.py."""
        if interaction.type in _PRESSED and self._record != "handled":
            await self.session(interaction)

    async def bot_check_once(self, ctx: Context) -> bool:
        """Gives commands `ctx.chat_session`; called by discord.py before each of them."""
        ctx.chat_session = await self.session(ctx)  # type: ignore[attr-defined]
        return True

    @commands.Cog.listener()
    async def on_ready(self) -> None:
        """Fetches what was missed, if that was asked for; called by discord.py."""
        if not self._backfill:
            return
        newest: dict[int, int] = {}
        for info in await self.store.list_sessions(prefix=PREFIX):
            latest = await self.store.session(info.key).latest()
            for source in () if latest is None else latest.source_ids:
                channel, _, message = source.partition(":")
                if channel.isdecimal() and message.isdecimal():
                    newest[int(channel)] = max(newest.get(int(channel), 0), int(message))
        for channel_id, message_id in newest.items():
            await self._fetch(channel_id, message_id)

    async def _fetch(self, channel_id: int, after: int) -> None:
        channel = self.bot.get_channel(channel_id)
        if not isinstance(channel, discord.abc.Messageable):
            return  # a direct message, which discord.py does not know before it is written in
        async with self._in_order(channel_id):
            try:
                async for message in channel.history(
                    limit=self._backfill, after=discord.Object(after), oldest_first=True
                ):
                    await self._record_next(message)
            except discord.HTTPException as error:
                logger.warning(
                    "channel %d: what was missed can't be fetched: %s", channel_id, error
                )

    # What handlers ask for.

    async def record(self, message: discord.Message) -> ChatSession | None:
        """Records the message unless it is there, and gives its session, bound to it.

        When it returns, the earlier messages of the channel are recorded too. What is not
        recorded (nothing said, no user, a command) gives the session, bound to nothing; None
        where the scope says that there is none.
        """
        async with self._in_order(message.channel.id):
            session = await self._record_next(message)
        return self._given(session)

    def _given(self, session: ChatSession | None) -> ChatSession | None:
        """What a handler gets, in whose replies the bot's messages have their place."""
        if self._capture is not None and session is not None:
            self._capture.gave(session)
        return session

    async def _record_next(self, message: discord.Message) -> ChatSession | None:
        """Records a message whose turn in its channel it is."""
        key = self._key(message)
        if key is None:
            return None
        session = self.recorder.session(key, DiscordOutlet(message))
        sender, content = self._sender(message), content_of(message)
        if sender is None or not content or not await self._is_recorded(message):
            return session
        return await self.recorder.receive(
            session,
            content,
            source_id=source_id(message),
            sender=sender,
            time=message.created_at,
        )

    async def session(
        self, where: discord.Interaction | Context, prompt: str | None = None
    ) -> ChatSession | None:
        """The session of an interaction or a command, when all that came before is recorded.

        A pressed button, a chosen option and a form are recorded, and so is the `prompt` of a
        command; the session is then bound to that, and else to nothing.
        """
        channel_id = None if where.channel is None else where.channel.id
        async with self._in_order(channel_id):
            key = self._key(where)
            if key is None:
                return None
            session = self.recorder.session(key, DiscordOutlet(where))
            interaction = where if isinstance(where, discord.Interaction) else where.interaction
            if prompt is None and interaction is not None and interaction.type in _PRESSED:
                prompt = pressed_of(interaction)
            user = author_of(where)
            if not prompt or self.recorder.ignores(user.id, channel_id):
                return self._given(session)
            source = None if interaction is None else f"interaction:{interaction.id}"
            if isinstance(where, commands.Context) and interaction is None:
                source = source_id(where.message)
            received = await self.recorder.receive(
                session, prompt, source_id=source, sender=Sender(str(user.id), user.display_name)
            )
            return self._given(received)

    def _key(self, where: Where) -> SessionKey | None:
        key = self._key_of(where)
        return SessionKey.parse(key) if isinstance(key, str) else key

    def _sender(self, message: discord.Message) -> Sender | None:
        return sender_of(message, webhooks=self._record_webhooks)

    @asynccontextmanager
    async def _in_order(self, channel_id: int | None) -> AsyncGenerator[None, None]:
        """First come, first served: nothing is awaited before the place in the queue is taken."""
        task = asyncio.current_task()
        if task is not None:
            self._handlers.add(task)
        lock = self._queues.setdefault(channel_id or 0, asyncio.Lock())
        async with lock:
            yield

    async def _is_recorded(self, message: discord.Message) -> bool:
        guild = None if message.guild is None else message.guild.id
        if self.recorder.ignores(message.author.id, message.channel.id, guild):
            return False
        if not self._record_commands:
            context: Context = await self.bot.get_context(message)
            if context.command is not None:
                return False
        if callable(self._record):
            chosen = self._record(message)
            return await chosen if isawaitable(chosen) else chosen
        return self._record != "addressed" or is_addressed(message, self.bot)


_leaving: Final[dict[Bot, SessionCog]] = {}
"""The cogs that are being removed from their bots, as long as that takes."""


async def chat_session(bot: Bot, where: Where, *, prompt: str | None = None) -> ChatSession:
    """The session of a message, an interaction or a command.

    All earlier messages of its channel are recorded first, and a message is too, if it is not
    yet; the session is then bound to it. `prompt` is what somebody says with a command
    (`/ask`), which is recorded so. Raises `TurnkeepError` if the bot has no `SessionCog`, or if
    there is no session there.
    """
    cog = bot.get_cog(SessionCog.__cog_name__) or _leaving.get(bot)
    if not isinstance(cog, SessionCog):
        raise TurnkeepError(
            "this bot has no SessionCog: 'await bot.add_cog(SessionCog(bot, store))' in its "
            "setup_hook"
        )
    if isinstance(where, commands.Context):
        if where.interaction is None and prompt is None:
            session = await cog.record(where.message)
        else:
            session = await cog.session(where, prompt)
    elif isinstance(where, discord.Interaction):
        session = await cog.session(where, prompt)
    else:
        session = await cog.record(where)
    if session is None:
        raise TurnkeepError(
            "there is no session here: the interaction has no channel, or the cog's scope says so"
        )
    return session
