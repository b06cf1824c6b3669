"""What a Discord message is to turnkeep: whose session, from whom, and what it says."""

from __future__ import annotations

from typing import Final

import discord

from turnkeep import Sender, SessionKey

CHANNEL: Final = "discord"

# What a user writes; every other type is Discord's own notice, also some that `is_system`
# does not count as such (a thread's starter, the result of a poll).
_WRITTEN: Final = (discord.MessageType.default, discord.MessageType.reply)


def session_key(channel_id: int) -> SessionKey:
    """The session of a channel; threads, forum posts and DMs have ids of their own."""
    return SessionKey(CHANNEL, channel_id)


def source_id(message: discord.Message | discord.PartialMessage) -> str:
    """The message's id among all of Discord's, `channel:message`.

    Link a reply to what it was sent as: `await reply.link(source_id(sent))`.
    """
    return f"{message.channel.id}:{message.id}"


def sender_of(message: discord.Message) -> Sender | None:
    """Who wrote the message, or None if no user did: a bot, a webhook, or Discord itself."""
    if message.author.bot or message.webhook_id is not None or message.type not in _WRITTEN:
        return None
    return Sender(str(message.author.id), message.author.display_name)


def text_of(message: discord.Message) -> str:
    """The message's text with mentions as people read them (`@Ada`, `#general`)."""
    return message.clean_content
