"""turnkeep for discord.py: `await bot.add_cog(SessionCog(bot, store))`, and in any handler
`session = await chat_session(bot, message)`."""

from turnkeep import MissingExtraError

try:
    import discord as _discord  # noqa: F401
except ModuleNotFoundError as error:
    if error.name != "discord":
        raise
    raise MissingExtraError("turnkeep_discord", "discord", "discord.py") from None

from ._cog import SessionCog, chat_session
from ._message import sender_of, session_key, source_id, text_of

__all__ = [
    "SessionCog",
    "chat_session",
    "sender_of",
    "session_key",
    "source_id",
    "text_of",
]
