"""The question of a command, as far as the command itself tells it."""

from __future__ import annotations

import copy
from typing import Any

import discord
from discord.ext import commands

from turnkeep.adapter import Content

from ._content import Hides, asked_about, content_of
from ._ephemeral import interaction_of
from ._message import Where, source_id


def source_of(where: Where) -> str | None:
    """Return the source id of an event."""
    if (interaction := interaction_of(where)) is not None:
        return f"interaction:{interaction.id}"
    message = where.message if isinstance(where, commands.Context) else where
    return source_id(message) if isinstance(message, discord.Message) else None


def asked_of(where: Where, hides: Hides) -> Content:
    """Return what a command asks, or nothing if that is unknown.

    - `!ask what is it?`: the words behind the command, and what is attached. A command without
      either that replies to a message asks about that message.
    - `/ask question: what is it?`: the option of a slash command that takes text, if there is
      exactly one.
    """
    interaction = interaction_of(where)
    if interaction is not None:
        if interaction.type is not discord.InteractionType.application_command:
            return ""
        texts = _texts_in(interaction.data or {})
        return texts[0] if len(texts) == 1 else ""
    if not isinstance(where, commands.Context) or where.command is None:
        return ""
    asked = copy.copy(where.message)
    asked.content = _words_of(where)
    return content_of(asked, hides) or asked_about(asked, hides)


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
