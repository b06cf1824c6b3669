"""A Discord bot that remembers: DISCORD_TOKEN=… python examples/discord_bot.py

It answers direct messages, and in a server the messages that mention it. Switch on the
message content intent in the developer portal.

It needs: pip install 'turnkeep[examples]' (in a checkout: pip install '.[examples]').

Environment: DISCORD_TOKEN. OPENAI_API_KEY, OPENAI_BASE_URL (any OpenAI-compatible server) and
MODEL; without a key a small offline responder answers. TURNKEEP_STORE is the folder (default:
./sessions).
"""

import asyncio
import logging
import os
import signal
from collections.abc import AsyncIterator
from contextlib import suppress
from typing import Any, cast

import discord
from discord.ext import commands

from turnkeep import Session, SessionStore
from turnkeep_discord import SessionCog, chat_session, source_id

MODEL = os.environ.get("MODEL", "gpt-4o-mini")
SYSTEM = {"role": "system", "content": "You are a helpful assistant in a chat. Answer briefly."}
MAX_LENGTH = 2000  # characters of a Discord message


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


async def answer(channel: discord.abc.Messageable, session: Session) -> None:
    """Answers the message in hand; what the model said is stored if all of it was sent."""
    if session.already_answered:
        return  # Discord has sent this event before
    try:
        async with session.reply() as reply:
            history = await reply.get_history(max_tokens=4000, overflow="truncate")
            if not history:
                await channel.send("There is nothing to answer.")
                return
            with suppress(discord.HTTPException):  # an answer matters more than its sign
                await channel.typing()
            async for piece in ask(history):
                reply.add_text(piece)
            text = reply.text.strip() or "(the model had nothing to say)"
            for start in range(0, len(text), MAX_LENGTH):
                sent = await channel.send(text[start : start + MAX_LENGTH])
                await reply.link(source_id(sent))
    except Exception:
        logging.exception("No answer in %s", session.key)
        await channel.send("Sorry, that went wrong. /retry tries again.")


class MemoryBot(commands.Bot):
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
        await self.add_cog(SessionCog(self, self.store))
        self.tree.add_command(reset)
        self.tree.add_command(retry)
        self.tree.add_command(forget)
        await self.tree.sync()

    def stop(self) -> None:
        """For `docker stop`: answers under way are stored, and what is said meanwhile is heard."""
        self.stopping = asyncio.create_task(self.close())

    async def on_message(self, message: discord.Message) -> None:
        if message.author.bot:
            return
        session = await chat_session(self, message)
        addressed = message.guild is None or self.user in message.mentions
        if addressed and session.turn is not None:
            await answer(message.channel, session)


Interaction = discord.Interaction[MemoryBot]


@discord.app_commands.command(description="Begin a new conversation.")
async def reset(interaction: Interaction) -> None:
    session = await chat_session(interaction.client, interaction)
    await session.clear()
    await interaction.response.send_message("A new conversation.")


@discord.app_commands.command(description="Answer the last message again.")
async def retry(interaction: Interaction) -> None:
    session = await chat_session(interaction.client, interaction)
    await interaction.response.send_message("Once more:")
    await session.undo(answers_only=True)
    await answer(cast("discord.abc.Messageable", interaction.channel), session)


@discord.app_commands.command(description="Erase this conversation for good.")
async def forget(interaction: Interaction) -> None:
    session = await chat_session(interaction.client, interaction)
    await session.store.forget(session.key)
    await interaction.response.send_message("Everything is erased.")


async def main() -> None:
    discord.utils.setup_logging(level=logging.INFO)
    token = os.environ.get("DISCORD_TOKEN")
    if not token:
        raise SystemExit("Set DISCORD_TOKEN to your bot's token from the developer portal.")
    if not os.environ.get("OPENAI_API_KEY"):
        logging.warning("No OPENAI_API_KEY is set: a small offline responder answers.")
    # Opened here too: a copy that is being replaced may keep the folder for some seconds yet.
    async with (
        SessionStore(os.environ.get("TURNKEEP_STORE", "./sessions")) as store,
        MemoryBot(store) as bot,
    ):
        with suppress(NotImplementedError):  # on Windows
            asyncio.get_running_loop().add_signal_handler(signal.SIGTERM, bot.stop)
        await bot.start(token)


if __name__ == "__main__":
    with suppress(KeyboardInterrupt):
        asyncio.run(main())
