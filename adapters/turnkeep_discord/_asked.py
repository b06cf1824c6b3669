"""The question of a command, as far as the command itself tells it."""

from __future__ import annotations

import copy
import logging
from typing import Any, Final, NamedTuple

import discord
from discord.ext import commands

from turnkeep.adapter import Content, Quoted, as_content, as_said

from ._content import Hides, about, asked_about, content_of, quoted, quoted_of
from ._ephemeral import interaction_of
from ._message import Where, source_id
from ._pressed import uploads

logger: Final = logging.getLogger("turnkeep")


def source_of(where: Where) -> str | None:
    """Return the source id of an event."""
    if (interaction := interaction_of(where)) is not None:
        return f"interaction:{interaction.id}"
    message = where.message if isinstance(where, commands.Context) else where
    return source_id(message) if isinstance(message, discord.Message) else None


class Asked(NamedTuple):
    """What a command asks, and the message that it asks about."""

    content: Content = ""
    quoted: Quoted | None = None


async def asked_of(where: Where, hides: Hides) -> Asked:
    """Return what a command asks, or nothing if that is unknown.

    - `!ask what is it?`: the words behind the command, and what is attached. A command without
      either that replies to a message asks about that message.
    - `/ask question: what is it?`: the option of a slash command that takes text, if there is
      exactly one, and what is attached. Without a text, the attachments alone.
    - a command in the menu of a message asks about that message.
    """
    interaction = interaction_of(where)
    if interaction is not None:
        if interaction.type is not discord.InteractionType.application_command:
            return Asked()
        data: Any = interaction.data or {}
        if data.get("type") == discord.AppCommandType.message.value:
            return await _of_menu(interaction, data, hides)
        texts = _texts_in(data)
        if len(texts) > 1:
            return Asked()
        return Asked(as_content(map(as_said, texts), [*uploads(data).values()]))
    if not isinstance(where, commands.Context) or where.command is None:
        return Asked()
    asked = copy.copy(where.message)
    asked.content = _words_of(where)
    content = content_of(asked, hides) or asked_about(asked, hides)
    return Asked(content, quoted_of(asked, hides))


async def _of_menu(interaction: discord.Interaction, data: Any, hides: Hides) -> Asked:
    client, number = interaction.client, int(data["target_id"])
    message = discord.utils.get(client.cached_messages, id=number)
    if message is None and interaction.channel_id is not None:
        channel = client.get_partial_messageable(interaction.channel_id)
        try:
            message = await channel.fetch_message(number)
        except discord.HTTPException as error:  # the bot may be no member there
            logger.info("message %d can't be fetched: %s", number, error)
    return Asked() if message is None else Asked(about(message, hides), quoted(message, hides))


def _texts_in(data: Any) -> list[str]:
    found: list[str] = []
    for option in data.get("options", ()):
        if option["type"] == discord.AppCommandOptionType.string.value:
            found.append(str(option["value"]))
        found += _texts_in(option)  # of a command in a group
    return found


def _words_of(context: commands.Context[Any]) -> str:
    """Return the words behind the prefix, the command's groups, and its name."""
    text = context.message.content.removeprefix(context.prefix or "")
    for name in (*context.invoked_parents, context.invoked_with or ""):
        text = text.lstrip().removeprefix(name)
    return text.strip()
