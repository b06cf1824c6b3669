"""The messages that a recorded one replies to, for windows that are chains of replies."""

from __future__ import annotations

import logging
from collections.abc import Callable
from datetime import datetime
from typing import Final

import discord

from turnkeep import Sender
from turnkeep.adapter import ChatSession, Earlier

from ._content import Hides, content_of, quoted_of
from ._message import original_of, source_id, source_id_at

logger: Final = logging.getLogger("turnkeep")

MOST_FETCHED: Final = 25
"""The most messages of a chain that are fetched for one message."""


async def earlier_of(
    session: ChatSession,
    message: discord.Message,
    *,
    since: datetime | None,
    sender_of: Callable[[discord.Message], Sender | None],
    hides: Hides,
) -> list[Earlier]:
    """Return the messages above this one in its chain of replies, the oldest first.

    The chain goes up to a message that is recorded, or that may not be: one from before `since`,
    one that `hides` names, or one by another bot. Discord sends one level along; the others are
    fetched.
    """
    found: list[discord.Message] = []
    node = message
    while len(found) < MOST_FETCHED:
        linked = _linked(node)
        if linked is None or await session.find(source_id_at(node.channel.id, linked)) is not None:
            break
        if since is not None and discord.utils.snowflake_time(linked) <= since:
            break
        original = await _original(node, linked)
        if original is None or hides(original):
            break
        if sender_of(original) is None and not _is_own(original):
            break
        found.append(original)
        node = original
    return [
        Earlier(
            content,
            source_id(one),
            sender_of(one),
            one.created_at,
            quoted_of(one, hides) or _link(one),
        )
        for one in reversed(found)
        if (content := content_of(one, hides))
    ]


def _linked(message: discord.Message) -> int | None:
    """Return the id of the message that this one replies to in its channel, or None."""
    reference = message.reference
    is_reply = reference is not None and reference.type is discord.MessageReferenceType.reply
    if reference is None or not is_reply or reference.channel_id != message.channel.id:
        return None
    return reference.message_id


def _link(message: discord.Message) -> tuple[str, None] | None:
    linked = _linked(message)
    return None if linked is None else (source_id_at(message.channel.id, linked), None)


async def _original(message: discord.Message, linked: int) -> discord.Message | None:
    reference = message.reference
    assert reference is not None
    if isinstance(reference.resolved, discord.DeletedReferencedMessage):
        return None
    if (known := original_of(message)) is not None:
        return known
    try:
        reference.resolved = await message.channel.fetch_message(linked)
    except discord.NotFound:
        return None
    except discord.HTTPException as error:
        logger.warning("message %d can't be fetched: %s", linked, error)
        return None
    return original_of(message)


def _is_own(message: discord.Message) -> bool:
    me = message.guild.me if message.guild is not None else None
    return me is not None and message.author.id == me.id
