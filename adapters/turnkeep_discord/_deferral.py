"""The deferral of an interaction whose handler waits: Discord gives it three seconds."""

from __future__ import annotations

import asyncio
import logging
from typing import Final

import discord

logger: Final = logging.getLogger("turnkeep")

_DEFER_AFTER: Final = 1.5
"""The seconds after which an interaction is deferred.

Discord ends its token after three without a response
(https://discord.com/developers/docs/interactions/receiving-and-responding).
"""


class Deferral:
    """Defers an interaction by itself, unless something responds to it before."""

    def __init__(self, interaction: discord.Interaction, *, ephemeral: bool) -> None:
        self._interaction = interaction
        self._ephemeral = ephemeral
        self.has_begun: bool = False
        """True if it has told Discord to wait."""
        self._task = asyncio.create_task(self._defer_in_time())

    async def _defer_in_time(self) -> None:
        await asyncio.sleep(_DEFER_AFTER)
        if self._interaction.response.is_done():
            return
        self.has_begun = True
        try:
            await self._interaction.response.defer(ephemeral=self._ephemeral)
        except discord.DiscordException as error:
            logger.info("interaction %d could not be deferred: %s", self._interaction.id, error)

    async def end(self) -> None:
        """Leave the response to the caller. What was sent already takes effect first."""
        if not self.has_begun:
            self._task.cancel()
            return
        await asyncio.wait([self._task])
