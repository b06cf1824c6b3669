"""One bot on Telegram and on Discord, over one store: python examples/both_channels.py

Each chat of each platform is a session of its own; they never mix. /reset begins anew, /retry
answers again, /export sends what is kept, /forget erases it.

It needs: pip install 'turnkeep[examples]' (in a checkout: pip install '.[examples]').

Environment: TELEGRAM_TOKEN and DISCORD_TOKEN. OPENAI_API_KEY, OPENAI_BASE_URL (any
OpenAI-compatible server) and MODEL; without a key a small offline responder answers.
TURNKEEP_STORE is the folder (default: ./sessions). TELEGRAM_API_URL is for a Bot API server
of your own.
"""

import asyncio
import gc
import logging
import os
from collections.abc import AsyncIterator, Awaitable, Callable
from contextlib import suppress

import discord
from aiogram import Bot, Dispatcher, Router
from aiogram.client.session.aiohttp import AiohttpSession
from aiogram.client.telegram import TelegramAPIServer
from aiogram.filters import Command
from aiogram.types import Message
from discord import app_commands
from discord.ext import commands

from turnkeep import Reply, SessionStore
from turnkeep.adapter import ChatSession
from turnkeep_aiogram import SessionMiddleware, privacy_router
from turnkeep_discord import PrivacyCog, SessionCog, is_addressed
from turnkeep_discord import chat_session as session_of

MODEL = os.environ.get("MODEL", "gpt-4o-mini")
SYSTEM = "You are a helpful assistant in a chat. Answer briefly."
SORRY = "Sorry, that went wrong. /retry tries again."

Say = Callable[[str], Awaitable[object]]
"""Sends a text of the bot's own, which is no part of the conversation."""


# What is the same on both.


async def ask(reply: Reply) -> AsyncIterator[str]:
    """What the model says to the conversation so far, piece by piece."""
    history = await reply.get_history(max_tokens=4000, overflow="truncate")
    if not history:
        return  # /retry, before anything was said
    if not os.environ.get("OPENAI_API_KEY"):
        said = [message["content"] for message in history if message["role"] == "user"]
        yield f"You said: {said[-1]}\n"
        yield f"I remember {len(said)} messages of this chat. The first was: {said[0]}"
        return
    from openai import AsyncOpenAI

    async with AsyncOpenAI() as client:
        stream = await client.chat.completions.create(
            model=MODEL, messages=[{"role": "system", "content": SYSTEM}, *history], stream=True
        )
        async for chunk in stream:
            if chunk.choices and chunk.choices[0].delta.content:
                yield chunk.choices[0].delta.content


async def answer(session: ChatSession, *, again: bool = False) -> None:
    await session.answer(ask, replace=again, nothing="I have nothing to say.")


async def reset(session: ChatSession, say: Say) -> None:
    await session.clear()
    await say("A new conversation.")


async def retry(session: ChatSession) -> None:
    await answer(session, again=True)


# Telegram.

router = Router()


@router.message(Command("start", "help"))
async def on_start(message: Message) -> None:
    await message.answer(
        "I remember what we say. /reset begins anew, /retry answers again, "
        "/export sends you what I keep, /forget erases it."
    )


async def decides(message: Message) -> bool:
    """In a group, only its administrators begin anew, or have an answer made again."""
    if message.chat.type == "private" or message.from_user is None:
        return True
    if message.sender_chat is not None:  # an administrator who stays anonymous, or a channel
        return message.sender_chat.id == message.chat.id
    member = await message.chat.get_member(message.from_user.id)
    return member.status in ("creator", "administrator")


@router.message(Command("reset"), decides)
async def on_reset(message: Message, chat_session: ChatSession) -> None:
    await reset(chat_session, message.answer)


@router.message(Command("retry"), decides)
async def on_retry(_: Message, chat_session: ChatSession) -> None:
    await retry(chat_session)


@router.message()
async def on_message(_: Message, chat_session: ChatSession) -> None:
    if chat_session.turn is not None:  # else it is an unknown command, or nobody wrote it
        await answer(chat_session)


# Discord.


class DiscordBot(commands.Bot):
    def __init__(self, store: SessionStore) -> None:
        intents = discord.Intents.default()
        intents.message_content = True
        super().__init__(
            command_prefix=(),  # slash commands alone
            intents=intents,
            # A model can be talked into writing @everyone.
            allowed_mentions=discord.AllowedMentions.none(),
        )
        self.store = store

    async def setup_hook(self) -> None:
        await self.add_cog(SessionCog(self, self.store, busy="queue", failed=SORRY))
        await self.add_cog(PrivacyCog(self))
        await self.add_cog(Conversation(self))
        await self.tree.sync()


class Conversation(commands.Cog):
    def __init__(self, bot: DiscordBot) -> None:
        self.bot = bot

    @commands.Cog.listener()
    async def on_session_message(self, message: discord.Message, session: ChatSession) -> None:
        if await is_addressed(message, self.bot):
            await answer(session)

    # In a server only those who may delete messages; a server can choose others in its settings.
    @app_commands.default_permissions(manage_messages=True)
    @app_commands.command(name="reset", description="Begin a new conversation.")
    async def on_reset(self, interaction: discord.Interaction) -> None:
        await interaction.response.defer()
        await reset(await session_of(self.bot, interaction), interaction.followup.send)

    @app_commands.default_permissions(manage_messages=True)
    @app_commands.command(name="retry", description="Answer the last message again.")
    async def on_retry(self, interaction: discord.Interaction) -> None:
        await interaction.response.defer()
        await retry(await session_of(self.bot, interaction))


async def main() -> None:
    logging.basicConfig(level=logging.INFO)
    telegram_token = os.environ.get("TELEGRAM_TOKEN")
    discord_token = os.environ.get("DISCORD_TOKEN")
    if not telegram_token or not discord_token:
        raise SystemExit("Set TELEGRAM_TOKEN and DISCORD_TOKEN to your bots' tokens.")
    if not os.environ.get("OPENAI_API_KEY"):
        logging.warning("No OPENAI_API_KEY is set: a small offline responder answers.")
    api = os.environ.get("TELEGRAM_API_URL")
    server = AiohttpSession(api=TelegramAPIServer.from_base(api)) if api else None
    dp = Dispatcher()
    # Opened here too: a copy that is being replaced may keep the folder for some seconds yet.
    async with (
        SessionStore(os.environ.get("TURNKEEP_STORE", "./sessions")) as store,
        DiscordBot(store) as discord_bot,
        asyncio.TaskGroup() as group,
    ):
        SessionMiddleware(store, busy="queue", render="markdown", failed=SORRY).setup(dp)
        dp.include_routers(privacy_router(), router)
        group.create_task(discord_bot.start(discord_token))
        gc.freeze()  # or a full collection stops the bot for 0.1 s and more, see docs/speed.md
        await dp.start_polling(Bot(telegram_token, session=server))  # till SIGINT or SIGTERM
        await discord_bot.close()


if __name__ == "__main__":
    with suppress(KeyboardInterrupt):
        asyncio.run(main())
