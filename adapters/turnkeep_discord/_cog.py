"""The cog: it records what users say, and hands the session to whoever asks.

discord.py runs all handlers of a message at the same time, so nothing can be sure to run
before a bot's own handler. So a message is recorded on read: the cog's listener and every
handler call the same function, and whoever comes first records it.
"""

from __future__ import annotations

import asyncio
import logging
from collections.abc import Callable, Coroutine
from contextlib import AsyncExitStack
from typing import Any, Final, Unpack

import discord
from discord.ext import commands

from turnkeep import SessionKey, SessionStore
from turnkeep.adapter import ChatSession, Recorder, RecorderOptions, drain

from ._backfill import Backfill
from ._capture import Capture
from ._content import content_of
from ._intake import PRESSED, Bot, Context, Intake, Record
from ._message import Scope, source_id
from ._once import cancelled_once
from ._reload import Gap, gap_of

logger: Final = logging.getLogger("turnkeep")

EVENT: Final = "on_session_message"


class SessionCog(commands.Cog):
    """Records each message that a user writes, in the order of its channel, once.

    `await bot.add_cog(SessionCog(bot, store))` in `setup_hook` is all there is to do; the
    store opens and is left with the cog. Edits and deletions on Discord reach the history.

    Handlers ask `await chat_session(bot, message)`, or listen to the cog's own event, which
    comes when the message is recorded, once for each:

    >>> async def on_session_message(message, chat_session):
    ...     await chat_session.answer("Hello!")

    Those listeners (a method of the bot, or `@bot.listen()`), and what is run by `in_turn`, are
    what `busy` and `debounce` are about; an answered message is not handed to them again.
    Commands have `ctx.chat_session`.

    `scope` says who shares a session, see `Scope` and `per_account`. `record` says what is
    recorded ("all"), see `Record`; prefix commands only with `record_commands=True`, and what
    a webhook posts, as proxies do, with `record_webhooks=True`. With `capture` what the bot sends
    is recorded too. With `backfill` at most so many missed messages of a channel are fetched when
    Discord did not replay what was said while the bot was away; they are recorded, and not
    answered. `drain_timeout` is for how many seconds, when the cog is removed or the bot closes,
    the tasks that asked for a session (handlers) are waited for, so that their replies are stored.
    `busy`, `debounce`, `reset`, `edits`, `on_storage_error` and `ignore`: see
    `turnkeep.adapter.RecorderOptions`.
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
        if isinstance(backfill, bool) or backfill < 0:
            raise ValueError(f"backfill is a whole number of messages, 0 or more, not {backfill!r}")
        self.bot = bot
        self.store = store
        self.recorder: Recorder = Recorder(store, **options)
        self._backfill = Backfill(bot, store, backfill) if backfill else None
        self._intake = Intake(
            bot,
            self.recorder,
            scope=scope,
            record=record,
            record_commands=record_commands,
            record_webhooks=record_webhooks,
            backfill=self._backfill,
        )
        self._capture = Capture(store, self._intake.key_of_sent) if capture else None
        self._drain_timeout = drain_timeout
        self._opened: AsyncExitStack | None = None
        self.is_followed: bool = False
        """Whether, when it is removed, another one is expected, which is to miss nothing."""

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
        if self.bot.is_ready() and self._backfill is not None:
            self._backfill.begin()  # what was said while there was no cog
        # Nothing is awaited from here until discord.py has added the listeners.
        if (gap := gap_of(self.bot)) is not None:
            gap.hand_over(dict(self.get_listeners()))

    async def cog_unload(self) -> None:
        # Until the running handlers have stored their replies all stays as it was: the bot
        # may go on, with the cog reloaded, and what is said meanwhile comes only once.
        leaving[self.bot] = self
        for name, listener in self.get_listeners():
            self.bot.add_listener(listener, name)
        async with AsyncExitStack() as stack:  # each is done, whatever happens to the one before
            if self._opened is not None:
                stack.push_async_callback(self._opened.aclose)
                self._opened = None
            stack.push_async_callback(self.recorder.aclose)
            if self._capture is not None:
                stack.push_async_callback(self._capture.settle)
            try:
                await drain(
                    lambda: len(self._running()),
                    lambda: asyncio.wait(self._running()),
                    self._drain_timeout,
                )
            finally:
                if self.is_followed:
                    Gap(self.bot, dict(self.get_listeners()))
                for name, listener in self.get_listeners():
                    self.bot.remove_listener(listener, name)
                del leaving[self.bot]

    def _running(self) -> set[asyncio.Task[Any]]:
        """The tasks that asked for a session, but the one that removes the cog."""
        tasks = {task for task in self._intake.tasks if not task.done()}
        return tasks - {asyncio.current_task()}

    # What Discord tells.

    @commands.Cog.listener()
    async def on_message(self, message: discord.Message) -> None:
        """Records the message, and runs what listens to `session_message`; called by discord.py."""
        if self._capture is not None and message.author == self.bot.user:
            return self._capture.sent(message)
        if self._intake.by_handlers and not self._listeners():
            return None
        session = await self.record(message)
        if session is None or session.turn is None or not self._listeners():
            return None

        async def handle(bound: ChatSession) -> None:
            await cancelled_once(self._call_all(message, bound))

        return await self.recorder.overlap.run(session, handle)

    def _listeners(self) -> list[Callable[..., Coroutine[Any, Any, Any]]]:
        own = getattr(self.bot, EVENT, None)
        return [*([] if own is None else [own]), *self.bot.extra_events.get(EVENT, ())]

    async def _call_all(self, message: discord.Message, session: ChatSession) -> None:
        calls = (self._call(one, message, session) for one in self._listeners())
        await asyncio.gather(*calls)

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
            return self._capture.edited(message)
        return await self._intake.edit(message)

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
        await self._intake.delete(channel_id, ids)

    @commands.Cog.listener()
    async def on_raw_thread_delete(self, payload: discord.RawThreadDeleteEvent) -> None:
        """Forgets the thread's session; called by discord.py."""
        await self._intake.forget_channel(payload.thread_id)

    @commands.Cog.listener()
    async def on_guild_channel_delete(self, channel: discord.abc.GuildChannel) -> None:
        """Forgets the channel's session; called by discord.py."""
        await self._intake.forget_channel(channel.id)

    @commands.Cog.listener()
    async def on_interaction(self, interaction: discord.Interaction) -> None:
        """Records a pressed button, a chosen option, a form; called by discord.py."""
        if interaction.type in PRESSED and not self._intake.by_handlers:
            await self.session(interaction)

    async def bot_check_once(self, ctx: Context) -> bool:
        """Gives commands `ctx.chat_session`; called by discord.py before each of them."""
        session = self.session(ctx) if ctx.interaction else self.record(ctx.message)
        ctx.chat_session = await session  # type: ignore[attr-defined]
        return True

    @commands.Cog.listener()
    async def on_connect(self) -> None:
        """Notes that nothing of before will be replayed; called by discord.py."""
        if self._backfill is not None:
            self._backfill.begin()

    @commands.Cog.listener()
    async def on_ready(self) -> None:
        """Fetches what was missed, if that was asked for; called by discord.py."""
        if self._backfill is not None:
            for channel_id in await self._backfill.channels():
                await self._intake.fill(channel_id)

    # What handlers ask for.

    async def record(self, message: discord.Message) -> ChatSession | None:
        """Records the message unless it is there, and gives its session, bound to it.

        When it returns, the earlier messages of the channel are recorded too. What is not
        recorded (nothing said, no user, a command) gives the session, bound to nothing; None
        where the scope says that there is none.
        """
        return self._gave(await self._intake.message(message))

    async def session(
        self, where: discord.Interaction | Context, prompt: str | None = None
    ) -> ChatSession | None:
        """The session of an interaction or a command, when all that came before is recorded.

        A pressed button, a chosen option and a form are recorded, and so is the `prompt` of a
        command; the session is then bound to that, and else to nothing.
        """
        return self._gave(await self._intake.interaction(where, prompt))

    def _gave(self, session: ChatSession | None) -> ChatSession | None:
        """What a handler gets, in whose replies the bot's messages have their place."""
        if self._capture is not None and session is not None:
            self._capture.gave(session)
        return session

    async def record_sent(
        self,
        message: discord.Message,
        text: str | None = None,
        *,
        key: SessionKey | str | None = None,
    ) -> None:
        """Records what the bot sent outside of a handler: `record_sent(await channel.send(…))`.

        `text` is what the model said, where that is not what was sent. `key` is the session
        (that of the channel), and has to be given where each user has his own, and the message
        replies to nobody; else it raises `TurnkeepError`.
        """
        key = self._intake.key_of_sent(message) if key is None else key
        await self.recorder.record_sent(
            key,
            content_of(message),
            source_id=source_id(message),
            text=text,
            time=message.created_at,
        )


leaving: Final[dict[Bot, SessionCog]] = {}
"""The cogs that are being removed from their bots, as long as that takes."""
