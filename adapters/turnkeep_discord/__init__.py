"""turnkeep for discord.py: `await bot.add_cog(SessionCog(bot, store))` sets it up.

In any handler: `session = await chat_session(bot, message)`.
"""

from importlib.util import find_spec

from turnkeep import MissingExtraError

if find_spec("discord") is None:
    raise MissingExtraError("turnkeep_discord", "discord", "discord.py")

from ._cog import SessionCog
from ._content import content_of, text_of
from ._context import SessionContext
from ._handlers import chat_session, in_turn, record_sent
from ._intake import Record
from ._look import Render
from ._message import Scope, Where, is_addressed, per_account, sender_of, session_key, source_id
from ._outlet import DiscordOutlet
from ._pressed import pressed_of
from ._privacy import PrivacyCog

__all__ = [
    "DiscordOutlet",
    "PrivacyCog",
    "Record",
    "Render",
    "Scope",
    "SessionCog",
    "SessionContext",
    "Where",
    "chat_session",
    "content_of",
    "in_turn",
    "is_addressed",
    "per_account",
    "pressed_of",
    "record_sent",
    "sender_of",
    "session_key",
    "source_id",
    "text_of",
]
