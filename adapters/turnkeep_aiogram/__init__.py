"""turnkeep for aiogram: `SessionMiddleware(store).setup(dp)`; handlers name `chat_session`."""

from importlib.util import find_spec

from turnkeep import MissingExtraError

if find_spec("aiogram") is None:
    raise MissingExtraError("turnkeep_aiogram", "aiogram", "aiogram")

from ._message import sender_of, session_key, source_id, text_of
from ._middleware import SessionMiddleware

__all__ = ["SessionMiddleware", "sender_of", "session_key", "source_id", "text_of"]
