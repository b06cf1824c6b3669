"""The way of an answer into a Discord channel: sent, and edited as it grows."""

from __future__ import annotations

from contextlib import suppress
from typing import Any, Final

import discord
from discord.ext import commands

from turnkeep import TurnkeepError
from turnkeep.adapter import MessageGoneError

from ._ephemeral import is_private
from ._message import Where, source_id

_ALLOWED_MENTIONS: Final = discord.AllowedMentions(everyone=False, roles=False)


class DiscordOutlet:
    """Sends answers to the channel of a message, an interaction or a command.

    - A message has at most 2,000 characters.
    - Discord allows about five edits in five seconds
      (https://discord.com/developers/docs/topics/rate-limits); discord.py itself waits if Discord
      asks for it.
    - The answer to a deferred interaction replaces the placeholder, and is ephemeral if that is.
    - The model's text can mention people, but neither everyone nor a role.
    """

    limit: int = 2000
    pace: float = 1.2
    drafts: bool = False

    def __init__(self, where: Where, *, ephemeral: bool = False) -> None:
        interaction = where.interaction if isinstance(where, commands.Context) else where
        self._interaction = interaction if isinstance(interaction, discord.Interaction) else None
        self._channel: Any = where.channel
        self._sent: list[discord.Message] = []
        self._is_for_one = ephemeral or is_private(where)
        self._is_ephemeral: bool | None = True if ephemeral else None
        """True if only one user sees the answer; None as long as that is unknown."""

    async def working(self) -> None:
        """Show "typing", or defer an interaction."""
        with suppress(discord.HTTPException):  # the answer matters more than this sign
            if self._interaction is None:
                await self._channel.typing()
            elif not self._interaction.response.is_done():
                self._is_ephemeral = bool(self._is_ephemeral)
                await self._interaction.response.defer(ephemeral=self._is_ephemeral)
            else:
                await self._ask_if_ephemeral(self._interaction)

    async def _ask_if_ephemeral(self, interaction: discord.Interaction) -> None:
        """Ask Discord about the first answer, which the bot's own code gave or deferred."""
        if self._is_ephemeral is None:
            with suppress(discord.HTTPException):
                self._is_ephemeral = (await interaction.original_response()).flags.ephemeral
        if self._is_ephemeral and not self._is_for_one:
            raise TurnkeepError(
                f"interaction {interaction.id}: only one user is to see the answer, and the "
                "session is that of the whole channel: call chat_session or in_turn after "
                "defer(ephemeral=True), or give it ephemeral=True"
            )

    async def send(self, text: str) -> str | None:
        """Send a piece of the answer and return its source id; see `turnkeep.adapter.Outlet`."""
        sent = await self._send_message(text)
        self._sent.append(sent)
        return source_id(sent)

    async def _send_message(self, text: str) -> discord.Message:
        interaction = self._interaction
        if interaction is None or interaction.is_expired():  # it expires after 15 minutes
            if interaction is not None and self._is_ephemeral is not False:
                raise TurnkeepError(
                    f"interaction {interaction.id} has expired, and only one user was to see its "
                    "answer: it is not sent to the whole channel"
                )
            sent: discord.Message = await self._channel.send(
                text, allowed_mentions=_ALLOWED_MENTIONS
            )
            return sent
        if not interaction.response.is_done():
            self._is_ephemeral = bool(self._is_ephemeral)
            await interaction.response.send_message(
                text, ephemeral=self._is_ephemeral, allowed_mentions=_ALLOWED_MENTIONS
            )
            sent = await interaction.original_response()
        else:
            await self._ask_if_ephemeral(interaction)
            # Without an answer from Discord, assume that only one user may see it.
            hidden = self._is_ephemeral is not False
            sent = await interaction.followup.send(
                text, wait=True, ephemeral=hidden, allowed_mentions=_ALLOWED_MENTIONS
            )
        return sent

    async def edit(self, number: int, text: str) -> None:
        """Replace the text of the `number`th sent message; see `turnkeep.adapter.Outlet`."""
        try:
            message = self._sent[number]
            self._sent[number] = await message.edit(
                content=text, allowed_mentions=_ALLOWED_MENTIONS
            )
        except discord.NotFound as error:
            raise MessageGoneError(str(error)) from error

    async def draft(self, text: str) -> None:
        """Do nothing: Discord has no drafts."""
