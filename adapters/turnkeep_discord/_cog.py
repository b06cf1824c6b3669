"""The cog: it records what users say, and hands the session to whoever asks.

discord.py runs all handlers of a message at the same time, so nothing can be sure to run
before a bot's own handler. So a message is recorded on read: the cog's listener and every
handler call the same function, and whoever comes first records it.
"""

from __future__ import annotations

import asyncio
import logging
from collections.abc import AsyncGenerator
from contextlib import AsyncExitStack, asynccontextmanager, suppress
from typing import Any, Final
from weakref import WeakSet, WeakValueDictionary

import discord
from discord.ext import commands

from turnkeep import Session, SessionKey, SessionStore, TurnkeepError

from ._message import sender_of, session_key, source_id, text_of

logger: Final = logging.getLogger("turnkeep")

Bot = commands.Bot | commands.AutoShardedBot
Context = commands.Context[Any]


class SessionCog(commands.Cog):
    """Records each message that a user writes, in the order of its channel, once.

    `await bot.add_cog(SessionCog(bot, store))` in `setup_hook` is all there is to do; the
    store opens and is left with the cog. Prefix commands are recorded only with
    `record_commands=True`. `drain_timeout` is for how many seconds, when the cog is removed
    or the bot closes, the tasks that asked for a session (handlers) are waited for, so that
    their replies are stored.
    """

    def __init__(
        self,
        bot: Bot,
        store: SessionStore,
        *,
        record_commands: bool = False,
        drain_timeout: float = 10,
    ) -> None:
        self.bot = bot
        self.store = store
        self._record_commands = record_commands
        self._drain_timeout = drain_timeout
        self._opened: AsyncExitStack | None = None
        self._queues: WeakValueDictionary[SessionKey, asyncio.Lock] = WeakValueDictionary()
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

    @commands.Cog.listener()
    async def on_message(self, message: discord.Message) -> None:
        """Records the message; called by discord.py."""
        await self.record(message)

    async def record(self, message: discord.Message) -> Session:
        """Records the message unless it is there, and gives its session, bound to it.

        When it returns, the earlier messages of the channel are recorded too. What is not
        recorded (no text, no user, a command) gives the channel's session, bound to nothing.
        """
        async with self._in_order(message.channel.id) as session:
            sender, text = sender_of(message), text_of(message)
            if sender is None or not text.strip() or await self._is_command(message):
                return session
            return await session.receive(
                text, source_id=source_id(message), sender=sender, time=message.created_at
            )

    async def session(self, channel_id: int) -> Session:
        """The session of a channel, when all that came before is recorded; bound to nothing."""
        async with self._in_order(channel_id) as session:
            return session

    @asynccontextmanager
    async def _in_order(self, channel_id: int) -> AsyncGenerator[Session, None]:
        """First come, first served: nothing is awaited before the place in the queue is taken."""
        task = asyncio.current_task()
        if task is not None:
            self._handlers.add(task)
        key = session_key(channel_id)
        lock = self._queues.setdefault(key, asyncio.Lock())
        async with lock:
            yield self.store.session(key)

    async def _is_command(self, message: discord.Message) -> bool:
        if self._record_commands:
            return False
        context: Context = await self.bot.get_context(message)
        return context.command is not None


_leaving: Final[dict[Bot, SessionCog]] = {}
"""The cogs that are being removed from their bots, as long as that takes."""


async def chat_session(bot: Bot, where: discord.Message | discord.Interaction | Context) -> Session:
    """The session of a message, an interaction or a command.

    All earlier messages of its channel are recorded first, and a message is too, if it is not
    yet; the session is then bound to it. Raises `TurnkeepError` if the bot has no `SessionCog`.
    """
    cog = bot.get_cog(SessionCog.__cog_name__) or _leaving.get(bot)
    if not isinstance(cog, SessionCog):
        raise TurnkeepError(
            "this bot has no SessionCog: 'await bot.add_cog(SessionCog(bot, store))' in its "
            "setup_hook"
        )
    if isinstance(where, commands.Context) and where.interaction is None:
        where = where.message
    if isinstance(where, discord.Message):
        return await cog.record(where)
    if where.channel is None:
        raise TurnkeepError("this interaction has no channel, so it has no session")
    return await cog.session(where.channel.id)
