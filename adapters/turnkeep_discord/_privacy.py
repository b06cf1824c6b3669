"""Ready-made commands with which people see and erase what is kept of them."""

from __future__ import annotations

import io
from collections.abc import Callable
from typing import Any

import discord
from discord import app_commands
from discord.ext import commands

from turnkeep import Session
from turnkeep.adapter import (
    EXPORT_NAME,
    Asker,
    PrivacyTexts,
    Texts,
    export_file,
    forget_and_report,
    privacy_texts,
    private_key,
    texts_for,
)

from ._ephemeral import is_private
from ._handlers import chat_session
from ._intake import Bot


class _Command(app_commands.Command[Any, ..., None]):
    """A command with descriptions in several languages, which needs no translator."""

    def __init__(self, callback: Any, *, name: str, words: Callable[[PrivacyTexts], str]) -> None:
        super().__init__(name=name, description=words(PrivacyTexts()), callback=callback)
        self._words = words
        self._descriptions: dict[str, str] = {}

    def describe(self, texts: Texts) -> None:
        """Take the descriptions from these words."""
        self.description: str = self._words(texts_for(texts, None))
        found = {one.value: self._words(texts_for(texts, one.value)) for one in discord.Locale}
        self._descriptions = {at: text for at, text in found.items() if text != self.description}

    def to_dict(self, tree: app_commands.CommandTree[Any]) -> dict[str, Any]:
        """Return the command as Discord takes it; called by discord.py."""
        return super().to_dict(tree) | {"description_localizations": self._descriptions}


def _command(name: str, words: Callable[[PrivacyTexts], str]) -> Callable[[Any], _Command]:
    """Make a method the callback of a command; `words` takes its description from the texts."""
    return lambda callback: _Command(callback, name=name, words=words)


class PrivacyCog(commands.Cog):
    """Adds `/forget` and `/export`: `await bot.add_cog(PrivacyCog(bot))`, then sync the tree.

    If nobody else wrote in the session, `/forget` erases all of it, and `/export` sends all of
    it as a JSON file. Otherwise both cover the messages of the person who asks, and the answers
    to those. Both cover what only this person saw in the channel, too. Only this person sees the
    commands' answers.

    - `texts`: the words and the commands' descriptions, as `PrivacyTexts`, or a function from the
      user's language to them.
    - `everything`: export hidden turns, system turns and tool results, too.
    """

    def __init__(self, bot: Bot, *, texts: Texts = privacy_texts, everything: bool = False) -> None:
        self.bot = bot
        self._texts = texts
        self._everything = everything
        for command in self.walk_app_commands():
            if isinstance(command, _Command):
                command.describe(texts)

    @_command("forget", lambda texts: texts.forget)
    async def forget(self, interaction: discord.Interaction[Any]) -> None:
        """Erase what is kept of the user; called by discord.py."""
        await interaction.response.defer(ephemeral=True)
        sessions, asker, words = await self._asked(interaction)
        report = await forget_and_report(sessions, asker=asker, texts=words)
        await interaction.followup.send(report, ephemeral=True)

    @_command("export", lambda texts: texts.export)
    async def send_export(self, interaction: discord.Interaction[Any]) -> None:
        """Send the file; called by discord.py."""
        await interaction.response.defer(ephemeral=True)
        sessions, asker, words = await self._asked(interaction)
        file = await export_file(sessions, asker=asker, everything=self._everything)
        if file is None:
            await interaction.followup.send(words.nothing, ephemeral=True)
        else:
            sent = discord.File(io.BytesIO(file), EXPORT_NAME)
            await interaction.followup.send(file=sent, ephemeral=True)

    async def _asked(
        self, interaction: discord.Interaction[Any]
    ) -> tuple[list[Session], Asker, PrivacyTexts]:
        shared = await chat_session(self.bot, interaction, ephemeral=False)
        own = shared.store.session(private_key(shared.key, interaction.user.id))
        chat = str(interaction.channel_id) if is_private(interaction) else None
        words = texts_for(self._texts, interaction.locale.value)
        return [shared, own], Asker(str(interaction.user.id), chat), words
