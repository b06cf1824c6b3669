"""One bot on Telegram and on Discord, over one store: python examples/both_channels.py

Each chat of each platform is a session of its own; they never mix.

It needs: pip install 'turnkeep[examples]' (in a checkout: pip install '.[examples]').

Environment: TELEGRAM_TOKEN and DISCORD_TOKEN. OPENAI_API_KEY, OPENAI_BASE_URL (any
OpenAI-compatible server) and MODEL; without a key a small offline responder answers.
TURNKEEP_STORE is the folder (default: ./sessions). TELEGRAM_API_URL is for a Bot API server
of your own.
"""

import asyncio
import logging
import os
from collections.abc import AsyncIterator, Awaitable, Callable
from contextlib import suppress
from typing import Any

import discord
from aiogram import Bot, Dispatcher, F
from aiogram.client.session.aiohttp import AiohttpSession
from aiogram.client.telegram import TelegramAPIServer
from aiogram.exceptions import TelegramRetryAfter
from aiogram.filters import Command, CommandObject
from aiogram.types import Message
from discord.ext import commands

import turnkeep_aiogram
import turnkeep_discord
from turnkeep import Session, SessionStore

MODEL = os.environ.get("MODEL", "gpt-4o-mini")
SYSTEM = {"role": "system", "content": "You are a helpful assistant in a chat. Answer briefly."}

Send = Callable[[str], Awaitable[str | None]]
"""Sends one text to the chat and gives the source id of the message that it became."""


async def ask(history: list[dict[str, Any]]) -> AsyncIterator[str]:
    """The model's answer to a window, piece by piece."""
    if not os.environ.get("OPENAI_API_KEY"):
        said = [message["content"] for message in history if message["role"] == "user"]
        yield f"You said: {said[-1]}\n"
        yield f"I remember {len(said)} messages of this chat. The first was: {said[0]}"
        return
    from openai import AsyncOpenAI

    messages: Any = [SYSTEM, *history]
    async with AsyncOpenAI() as client:
        stream = await client.chat.completions.create(model=MODEL, messages=messages, stream=True)
        async for chunk in stream:
            if chunk.choices and chunk.choices[0].delta.content:
                yield chunk.choices[0].delta.content


async def answer(session: Session, send: Send, max_length: int) -> None:
    """Answers the message in hand; what the model said is stored if all of it was sent."""
    if session.already_answered:
        return  # the platform has sent this message before
    try:
        async with session.reply() as reply:
            history = await reply.get_history(max_tokens=4000, overflow="truncate")
            if not history:
                await send("There is nothing to answer.")
                return
            async for piece in ask(history):
                reply.add_text(piece)
            text = reply.text.strip() or "(the model had nothing to say)"
            for start in range(0, len(text), max_length):
                await reply.link(await send(text[start : start + max_length]))
    except Exception:
        logging.exception("No answer in %s", session.key)
        await send("Sorry, that went wrong. /retry tries again.")


async def run_command(name: str, session: Session, send: Send, max_length: int) -> None:
    """/reset, /retry and /forget are the same on both platforms."""
    if name == "reset":
        await session.clear()
        await send("A new conversation.")
    elif name == "forget":
        await session.store.forget(session.key)
        await send("Everything is erased.")
    elif name == "retry":
        await session.undo(answers_only=True)
        await answer(session, send, max_length)
    else:
        await send("I remember what we say. /reset, /retry and /forget do as they are called.")


def telegram_dispatcher(store: SessionStore) -> Dispatcher:
    dp = Dispatcher()
    turnkeep_aiogram.SessionMiddleware(store).setup(dp)

    def sender(message: Message) -> Send:
        async def send(text: str) -> str | None:
            return turnkeep_aiogram.source_id(await message.answer(text))

        return send

    @dp.message(Command("start", "help", "reset", "retry", "forget"))
    async def on_command(message: Message, command: CommandObject, chat_session: Session) -> None:
        await run_command(command.command, chat_session, sender(message), 4096)

    @dp.message(F.text | F.caption)
    async def on_message(message: Message, chat_session: Session) -> None:
        if chat_session.turn is not None:  # else it is an unknown command, or written by a bot
            await answer(chat_session, sender(message), 4096)

    return dp


async def patiently(make_request: Any, bot: Bot, method: Any) -> Any:
    """Waits where Telegram says "too many requests", and tries again."""
    while True:
        try:
            return await make_request(bot, method)
        except TelegramRetryAfter as error:
            await asyncio.sleep(error.retry_after)


class DiscordBot(commands.Bot):
    def __init__(self, store: SessionStore) -> None:
        intents = discord.Intents.default()
        intents.message_content = True
        super().__init__(
            commands.when_mentioned,
            intents=intents,
            help_command=None,
            # A model can be talked into writing @everyone.
            allowed_mentions=discord.AllowedMentions.none(),
        )
        self.store = store

    async def setup_hook(self) -> None:
        await self.add_cog(turnkeep_discord.SessionCog(self, self.store))
        for name in ("reset", "retry", "forget"):
            self.tree.add_command(slash(name))
        await self.tree.sync()

    async def on_message(self, message: discord.Message) -> None:
        if message.author.bot:
            return

        async def send(text: str) -> str:
            return turnkeep_discord.source_id(await message.channel.send(text))

        session = await turnkeep_discord.chat_session(self, message)
        if session.turn is not None and (message.guild is None or self.user in message.mentions):
            await answer(session, send, 2000)


def slash(name: str) -> discord.app_commands.Command[Any, Any, Any]:
    @discord.app_commands.command(name=name, description=f"{name} this conversation")
    async def run(interaction: discord.Interaction[DiscordBot]) -> None:
        await interaction.response.defer()

        async def send(text: str) -> str:
            return turnkeep_discord.source_id(await interaction.followup.send(text, wait=True))

        session = await turnkeep_discord.chat_session(interaction.client, interaction)
        await run_command(name, session, send, 2000)

    return run


async def main() -> None:
    logging.basicConfig(level=logging.INFO)
    tokens = os.environ.get("TELEGRAM_TOKEN"), os.environ.get("DISCORD_TOKEN")
    if not tokens[0] or not tokens[1]:
        raise SystemExit("Set TELEGRAM_TOKEN and DISCORD_TOKEN to your bots' tokens.")
    if not os.environ.get("OPENAI_API_KEY"):
        logging.warning("No OPENAI_API_KEY is set: a small offline responder answers.")
    api = os.environ.get("TELEGRAM_API_URL")
    server = AiohttpSession(api=TelegramAPIServer.from_base(api)) if api else None
    telegram = Bot(tokens[0], session=server)
    telegram.session.middleware(patiently)
    # Opened here too: a copy that is being replaced may keep the folder for some seconds yet.
    async with (
        SessionStore(os.environ.get("TURNKEEP_STORE", "./sessions")) as store,
        DiscordBot(store) as bot,
        asyncio.TaskGroup() as group,
    ):
        group.create_task(bot.start(tokens[1]))
        await telegram_dispatcher(store).start_polling(telegram)  # till SIGINT or SIGTERM
        await bot.close()


if __name__ == "__main__":
    with suppress(KeyboardInterrupt):
        asyncio.run(main())
