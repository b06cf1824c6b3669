"""turnkeep for discord.py: `await bot.add_cog(SessionCog(bot, store))`, and in any handler
`session = await chat_session(bot, message)`."""

from importlib.util import find_spec

from turnkeep import MissingExtraError

if find_spec("discord") is None:
    raise MissingExtraError("turnkeep_discord", "discord", "discord.py")

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
