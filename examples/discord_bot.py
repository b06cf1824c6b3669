"""A Discord bot that remembers: DISCORD_TOKEN=… python examples/discord_bot.py

It answers direct messages, and in a server who mentions it or replies to it; it hears the others
too. Switch on the message content intent in the developer portal. /ask asks a question, /reset
begins anew, /retry answers again, /export sends you what is kept of you, /forget erases it.

It needs: pip install 'turnkeep[examples]' (in a checkout: pip install '.[examples]').

Environment: DISCORD_TOKEN. OPENAI_API_KEY, OPENAI_BASE_URL (any OpenAI-compatible server) and
MODEL; without a key a small offline responder answers. TURNKEEP_STORE is the folder (default:
./sessions).
"""

import asyncio
import gc
import logging
import os
import signal
from collections.abc import AsyncIterator
from contextlib import suppress

import discord
from discord import app_commands
from discord.ext import commands

from turnkeep import Reply, SessionStore
from turnkeep.adapter import ChatSession
from turnkeep_discord import PrivacyCog, SessionCog, chat_session, is_addressed

MODEL = os.environ.get("MODEL", "gpt-4o-mini")
SYSTEM = "You are a helpful assistant in a chat. Answer briefly."
SORRY = "Sorry, that went wrong. /retry tries again."


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


class MemoryBot(commands.Bot):
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
        await self.add_cog(
            SessionCog(
                self,
                self.store,
                busy="queue",
                failed=SORRY,
                stop=True,  # a button under an answer while it grows
                regenerate=answer,  # and one for another answer below it
            )
        )
        await self.add_cog(PrivacyCog(self))
        await self.add_cog(Conversation(self))
        await self.tree.sync()

    def stop(self) -> None:
        """For `docker stop`: answers under way are stored, and what is said meanwhile is heard."""
        self.stopping = asyncio.create_task(self.close())


class Conversation(commands.Cog):
    def __init__(self, bot: MemoryBot) -> None:
        self.bot = bot

    @commands.Cog.listener()
    async def on_session_message(self, message: discord.Message, session: ChatSession) -> None:
        if await is_addressed(message, self.bot):
            await answer(session)

    @app_commands.command(description="Ask a question.")
    async def ask(self, interaction: discord.Interaction, question: str) -> None:  # noqa: ARG002
        await interaction.response.defer()
        await answer(await chat_session(self.bot, interaction))  # its window ends with `question`

    # In a server only those who may delete messages; a server can choose others in its settings.
    @app_commands.default_permissions(manage_messages=True)
    @app_commands.command(description="Begin a new conversation.")
    async def reset(self, interaction: discord.Interaction) -> None:
        session = await chat_session(self.bot, interaction)
        await session.clear()
        await interaction.response.send_message("A new conversation.")

    @app_commands.default_permissions(manage_messages=True)
    @app_commands.command(description="Answer the last message again.")
    async def retry(self, interaction: discord.Interaction) -> None:
        await interaction.response.defer()
        session = await chat_session(self.bot, interaction)
        await answer(session, again=True)


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
        gc.freeze()  # or a full collection stops the bot for 0.1 s and more, see docs/speed.md
        await bot.start(token)


if __name__ == "__main__":
    with suppress(KeyboardInterrupt):
        asyncio.run(main())
