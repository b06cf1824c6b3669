"""Ready-made commands with which people see and erase what is kept of them."""

from __future__ import annotations

import io
from typing import Any

import discord
from discord import app_commands
from discord.ext import commands

from turnkeep.adapter import EXPORT_NAME, NOTHING_KEPT, export_file, forget_and_report

from ._handlers import chat_session
from ._intake import Bot


class PrivacyCog(commands.Cog):
    """Adds `/forget` and `/export`: `await bot.add_cog(PrivacyCog(bot))`, then sync the tree.

    If nobody else wrote in the session, `/forget` erases all of it, and `/export` sends all of
    it as a JSON file. Otherwise both cover the messages of the person who asks, and the answers
    to those. Only this person sees the commands' answers.
    """

    def __init__(self, bot: Bot) -> None:
        self.bot = bot

    @app_commands.command(name="forget", description="Erase what is kept of you here.")
    async def forget(self, interaction: discord.Interaction[Any]) -> None:
        """Erase what is kept of the user; called by discord.py."""
        await interaction.response.defer(ephemeral=True)
        session = await chat_session(self.bot, interaction)
        report = await forget_and_report(session, sender_id=interaction.user.id)
        await interaction.followup.send(report, ephemeral=True)

    @app_commands.command(name="export", description="Get what is kept of you here as a file.")
    async def send_export(self, interaction: discord.Interaction[Any]) -> None:
        """Send the file; called by discord.py."""
        await interaction.response.defer(ephemeral=True)
        session = await chat_session(self.bot, interaction)
        file = await export_file(session, sender_id=interaction.user.id)
        if file is None:
            await interaction.followup.send(NOTHING_KEPT, ephemeral=True)
        else:
            sent = discord.File(io.BytesIO(file), EXPORT_NAME)
            await interaction.followup.send(file=sent, ephemeral=True)
