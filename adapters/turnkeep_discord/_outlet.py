"""How an answer reaches a Discord channel: sent, and edited as it grows."""

from __future__ import annotations

from contextlib import suppress
from typing import Any, Final

import discord
from discord.ext import commands

from turnkeep import TurnkeepError
from turnkeep.adapter import MessageGoneError

from ._message import Where, source_id

_MENTIONS: Final = discord.AllowedMentions(everyone=False, roles=False)


class DiscordOutlet:
    """Answers where a message, an interaction or a command came from.

    Discord takes 2,000 characters at a time, and about five edits in five seconds
    (https://discord.com/developers/docs/topics/rate-limits); discord.py itself waits where
    Discord asks for it. The answer to an interaction that was deferred takes its place,
    ephemeral or not. What a model says mentions people, and never everyone or a role.
    """

    limit: int = 2000
    pace: float = 1.2
    drafts: bool = False

    def __init__(self, where: Where) -> None:
        interaction = where.interaction if isinstance(where, commands.Context) else where
        self._interaction = interaction if isinstance(interaction, discord.Interaction) else None
        self._channel: Any = where.channel
        self._sent: list[discord.Message] = []
        self._is_ephemeral: bool | None = None
        """Whether the answer is for one user's eyes; None where that is not known yet."""

    async def working(self) -> None:
        """Shows "typing", or defers an interaction; an answer matters more than its sign."""
        with suppress(discord.HTTPException):
            if self._interaction is None:
                await self._channel.typing()
            elif not self._interaction.response.is_done():
                await self._interaction.response.defer()
                self._is_ephemeral = False
            else:
                await self._know(self._interaction)

    async def _know(self, interaction: discord.Interaction) -> None:
        """Asks for the first answer, which the bot's own code gave or deferred."""
        if self._is_ephemeral is None:
            with suppress(discord.HTTPException):
                self._is_ephemeral = (await interaction.original_response()).flags.ephemeral

    async def send(self, text: str) -> str | None:
        """Sends a piece of the answer; see `turnkeep.adapter.Outlet`, as for `edit`."""
        sent = await self._send(text)
        self._sent.append(sent)
        return source_id(sent)

    async def _send(self, text: str) -> discord.Message:
        interaction = self._interaction
        if interaction is None or interaction.is_expired():  # after a quarter of an hour
            if interaction is not None and self._is_ephemeral is not False:
                raise TurnkeepError(
                    f"interaction {interaction.id} has expired, and its answer was to be seen by "
                    "one user alone: it is not sent to the whole channel"
                )
            sent: discord.Message = await self._channel.send(text, allowed_mentions=_MENTIONS)
            return sent
        if not interaction.response.is_done():
            await interaction.response.send_message(text, allowed_mentions=_MENTIONS)
            self._is_ephemeral = False
            sent = await interaction.original_response()
        else:
            await self._know(interaction)
            # The first one takes the place, and the sort, of what was deferred.
            hidden = self._is_ephemeral is not False
            sent = await interaction.followup.send(
                text, wait=True, ephemeral=hidden, allowed_mentions=_MENTIONS
            )
        return sent

    async def edit(self, number: int, text: str) -> None:
        try:
            message = self._sent[number]
            self._sent[number] = await message.edit(content=text, allowed_mentions=_MENTIONS)
        except discord.NotFound as error:
            raise MessageGoneError(str(error)) from error

    async def draft(self, text: str) -> None:
        """Does nothing: Discord shows no drafts."""
