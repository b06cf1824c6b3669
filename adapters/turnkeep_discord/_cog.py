"""The cog: it records what users say, and hands the session to whoever asks.

discord.py runs all handlers of a message at the same time, so nothing can be sure to run
before a bot's own handler. So a message is recorded on read: the cog's listener and every
handler call the same function, and whoever comes first records it.
"""

from __future__ import annotations

import logging
from contextlib import AsyncExitStack
from typing import Any, Final
from weakref import WeakValueDictionary

import anyio
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
    `record_commands=True`.
    """

    def __init__(self, bot: Bot, store: SessionStore, *, record_commands: bool = False) -> None:
        self.bot = bot
        self.store = store
        self._record_commands = record_commands
        self._opened: AsyncExitStack | None = None
        self._queues: WeakValueDictionary[SessionKey, _Queue] = WeakValueDictionary()

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
        if self._opened is not None:
            await self._opened.aclose()
            self._opened = None

    @commands.Cog.listener()
    async def on_message(self, message: discord.Message) -> None:
        await self.record(message)

    async def record(self, message: discord.Message) -> Session:
        """Records the message unless it is there, and gives its session, bound to it.

        When it returns, the earlier messages of the channel are recorded too. What is not
        recorded (no text, no user, a command) gives the channel's session, bound to nothing.
        """
        key = session_key(message.channel.id)
        session = self.store.session(key)
        sender = sender_of(message)
        # First come, first served; taken before anything is awaited, so in the order of arrival.
        queue = self._queues.setdefault(key, _Queue())
        async with queue.lock:
            text = text_of(message)
            if sender is None or not text.strip() or await self._is_command(message):
                return session
            return await session.receive(
                text, source_id=source_id(message), sender=sender, time=message.created_at
            )

    async def _is_command(self, message: discord.Message) -> bool:
        if self._record_commands:
            return False
        context: Context = await self.bot.get_context(message)
        return context.command is not None


class _Queue:
    """The order of one channel's messages, kept for as long as somebody stands in it."""

    def __init__(self) -> None:
        self.lock = anyio.Lock()


async def chat_session(bot: Bot, where: discord.Message | discord.Interaction | Context) -> Session:
    """The session of a message, an interaction or a command.

    A message is recorded first, if it is not yet, and all earlier ones of its channel; the
    session is then bound to it. Raises `TurnkeepError` if the bot has no `SessionCog`.
    """
    cog = bot.get_cog(SessionCog.__cog_name__)
    if not isinstance(cog, SessionCog):
        raise TurnkeepError(
            "this bot has no SessionCog: 'await bot.add_cog(SessionCog(bot, store))' in its "
            "setup_hook"
        )
    if isinstance(where, discord.Message):
        return await cog.record(where)
    channel = where.channel
    if channel is None:
        raise TurnkeepError("this interaction has no channel, so it has no session")
    return cog.store.session(session_key(channel.id))
