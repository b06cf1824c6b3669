"""turnkeep for aiogram: `SessionMiddleware(store).setup(dp)`; handlers name `chat_session`."""

from importlib.util import find_spec

from turnkeep import MissingExtraError

if find_spec("aiogram") is None:
    raise MissingExtraError("turnkeep_aiogram", "aiogram", "aiogram")

from ._addressed import is_addressed
from ._content import button_of, content_of, text_of
from ._current import chat_session
from ._forms import RecordStates
from ._intake import Record
from ._message import Event, Scope, per_account, sender_of, session_key, source_id
from ._middleware import SessionMiddleware
from ._outlet import Render, TelegramOutlet
from ._privacy import privacy_router

__all__ = [
    "Event",
    "Record",
    "RecordStates",
    "Render",
    "Scope",
    "SessionMiddleware",
    "TelegramOutlet",
    "button_of",
    "chat_session",
    "content_of",
    "is_addressed",
    "per_account",
    "privacy_router",
    "sender_of",
    "session_key",
    "source_id",
    "text_of",
]
