"""The interactions whose answer only one person sees."""

from __future__ import annotations

from typing import Final

import discord
from discord.ext import commands

from ._message import Where

_UPDATES: Final = (
    discord.InteractionResponseType.deferred_message_update,
    discord.InteractionResponseType.message_update,
)
"""The answers that are about the message of the pressed button, and not about a new one."""


def is_private(where: Where) -> bool:
    """Return whether its channel is the direct messages of one person and the bot."""
    interaction = interaction_of(where)
    if interaction is not None:
        return interaction.context.dm_channel
    return isinstance(where.channel, discord.DMChannel)


def interaction_of(where: Where) -> discord.Interaction | None:
    """Return the interaction, or that of a command's context, if it has one."""
    found = where.interaction if isinstance(where, commands.Context) else where
    return found if isinstance(found, discord.Interaction) else None


async def ephemeral_answer(interaction: discord.Interaction) -> bool | None:
    """Return whether the first answer to an interaction is ephemeral; None if Discord is silent."""
    if interaction.response.type in _UPDATES:
        # It is about the button's own message. A form that a command opened has none.
        return interaction.message is not None and interaction.message.flags.ephemeral
    try:
        return (await interaction.original_response()).flags.ephemeral
    except discord.HTTPException:
        return None


async def is_ephemeral(where: Where) -> bool:
    """Return whether only one person of a channel sees the answer, as far as is known by now.

    It is so if the pressed button stands in an ephemeral message, or if the first answer, which
    may be a deferral, is ephemeral. Direct messages are private in any case.
    """
    interaction = interaction_of(where)
    if interaction is None or is_private(where):
        return False
    if interaction.message is not None and interaction.message.flags.ephemeral:
        return True
    if not interaction.response.is_done():
        return False
    return await ephemeral_answer(interaction) is not False  # the cautious guess
