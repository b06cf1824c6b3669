"""The message that a recorded one replies to, for windows that are chains of replies."""

from __future__ import annotations

from aiogram.types import Message

from turnkeep.adapter import Earlier

from ._content import content_of, quoted_of
from ._message import is_ephemeral, is_of_own_inline_mode, replied_to, sender_of, source_id
from ._services import Hides


def earlier_of(message: Message, hides: Hides) -> list[Earlier]:
    """Return the message that this one replies to, as Telegram sent it along: one level.

    There is no request by which a bot gets an older message. Nothing is returned for what other
    bots wrote, and for what may not be repeated.
    """
    reply = replied_to(message)
    if reply is None or is_ephemeral(reply) or quoted_of(message, hides) is None:
        return []
    source, sender = source_id(reply), sender_of(reply)
    content = content_of(reply, hides)
    if source is None or not content or not (sender is not None or _is_own(reply)):
        return []
    return [Earlier(content, source, sender, reply.date)]


def _is_own(message: Message) -> bool:
    """Return whether the bot wrote the message, or somebody chose it from its results."""
    bot, author = message.bot, message.from_user
    is_author = bot is not None and author is not None and author.id == bot.id
    return is_of_own_inline_mode(message) or (is_author and message.sender_chat is None)
