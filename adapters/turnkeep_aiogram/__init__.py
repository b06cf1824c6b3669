"""turnkeep for aiogram: `SessionMiddleware(store).setup(dp)`; handlers name `chat_session`."""

from turnkeep import MissingExtraError

try:
    import aiogram as _aiogram  # noqa: F401
except ModuleNotFoundError as error:
    if error.name != "aiogram":
        raise
    raise MissingExtraError("turnkeep_aiogram", "aiogram", "aiogram") from None

from ._message import sender_of, session_key, source_id, text_of
from ._middleware import SessionMiddleware

__all__ = ["SessionMiddleware", "sender_of", "session_key", "source_id", "text_of"]
