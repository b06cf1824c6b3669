"""Ready-made commands by which people see and erase what is kept of them."""

from __future__ import annotations

import io
from typing import Any

import discord
from discord import app_commands
from discord.ext import commands

from turnkeep.adapter import export
from turnkeep.adapter import forget as forget_in

from ._handlers import chat_session
from ._intake import Bot

FORGOTTEN = "What was kept of you here is erased."
NOTHING = "Nothing is kept of you here."


class PrivacyCog(commands.Cog):
    """`/forget` and `/export`: `await bot.add_cog(PrivacyCog(bot))`, then sync the tree.

    Where nobody else wrote in the session, `/forget` erases all of it and `/export` sends all
    of it as a JSON file; else they are about what the one who asks wrote, and the answers to
    it. Only he sees what they say.
    """

    def __init__(self, bot: Bot) -> None:
        self.bot = bot

    @app_commands.command(name="forget", description="Erase what is kept of you here.")
    async def forget(self, interaction: discord.Interaction[Any]) -> None:
        """Erases; called by discord.py."""
        await interaction.response.defer(ephemeral=True)
        session = await chat_session(self.bot, interaction)
        erased = await forget_in(session, sender_id=interaction.user.id)
        await interaction.followup.send(FORGOTTEN if erased else NOTHING, ephemeral=True)

    @app_commands.command(name="export", description="Get what is kept of you here as a file.")
    async def send_export(self, interaction: discord.Interaction[Any]) -> None:
        """Sends the file; called by discord.py."""
        await interaction.response.defer(ephemeral=True)
        session = await chat_session(self.bot, interaction)
        file = await export(session, sender_id=interaction.user.id)
        if file == b"[]":
            await interaction.followup.send(NOTHING, ephemeral=True)
        else:
            sent = discord.File(io.BytesIO(file), "conversation.json")
            await interaction.followup.send(file=sent, ephemeral=True)
