"""turnkeep keeps the conversations of a chat bot.

>>> import asyncio
>>> async def main():
...     async with SessionStore("memory:") as store:
...         session = store.session("telegram:12345")
...         await session.append("user", "My name is Ada.")
...         return await session.get_history(max_messages=50)
>>> asyncio.run(main())
[{'role': 'user', 'content': 'My name is Ada.'}]
"""

import logging

from ._errors import (
    CopyError,
    InvalidKeyError,
    InvalidMetadataError,
    InvalidTurnError,
    LostAcknowledgementError,
    MissingExtraError,
    PartlyDoneError,
    ReadOnlyError,
    StorageError,
    StoreClosedError,
    StoreLockedError,
    SummaryError,
    TurnkeepError,
    TurnRefusedError,
    TurnTooLargeError,
    UnknownStorageError,
    UnsupportedError,
    WindowError,
    WrongLoopError,
)
from ._logs import SafeLines as _SafeLines
from ._records.info import SessionInfo
from ._records.key import SessionKey
from ._records.media import Media
from ._records.turn import MessageFields, Sender, Turn, TurnFields
from ._records.usage import Usage
from ._session.owed import Unanswered
from ._session.policy import ConsolidationPolicy
from ._session.receipts import Receipt, Remains
from ._session.reply import Reply
from ._session.shown import ShownWindow, build_window
from ._session.spending import Price, Spent
from ._store import Session, SessionStore
from ._window.check import check_messages
from ._window.prefix import broken_prefix
from ._window.tokens import estimate_tokens, tiktoken_counter
from .shapes import Messages

__all__ = [
    "ConsolidationPolicy",
    "CopyError",
    "InvalidKeyError",
    "InvalidMetadataError",
    "InvalidTurnError",
    "LostAcknowledgementError",
    "Media",
    "MessageFields",
    "Messages",
    "MissingExtraError",
    "PartlyDoneError",
    "Price",
    "ReadOnlyError",
    "Receipt",
    "Remains",
    "Reply",
    "Sender",
    "Session",
    "SessionInfo",
    "SessionKey",
    "SessionStore",
    "ShownWindow",
    "Spent",
    "StorageError",
    "StoreClosedError",
    "StoreLockedError",
    "SummaryError",
    "Turn",
    "TurnFields",
    "TurnRefusedError",
    "TurnTooLargeError",
    "TurnkeepError",
    "Unanswered",
    "UnknownStorageError",
    "UnsupportedError",
    "Usage",
    "WindowError",
    "WrongLoopError",
    "broken_prefix",
    "build_window",
    "check_messages",
    "estimate_tokens",
    "tiktoken_counter",
]

logging.getLogger("turnkeep").addFilter(_SafeLines())
