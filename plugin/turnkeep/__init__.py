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

from ._check import check_messages
from ._consolidate import ConsolidationPolicy
from ._errors import (
    InvalidKeyError,
    InvalidMetadataError,
    InvalidTurnError,
    MissingExtraError,
    ReadOnlyError,
    StorageError,
    StoreClosedError,
    StoreLockedError,
    SummaryError,
    TurnkeepError,
    TurnTooLargeError,
    UnknownStorageError,
    WindowError,
)
from ._info import SessionInfo
from ._key import SessionKey
from ._media import Media
from ._reply import Reply
from ._session import Session
from ._store import SessionStore
from ._tokens import estimate_tokens, tiktoken_counter
from ._turn import Sender, Turn

__all__ = [
    "ConsolidationPolicy",
    "InvalidKeyError",
    "InvalidMetadataError",
    "InvalidTurnError",
    "Media",
    "MissingExtraError",
    "ReadOnlyError",
    "Reply",
    "Sender",
    "Session",
    "SessionInfo",
    "SessionKey",
    "SessionStore",
    "StorageError",
    "StoreClosedError",
    "StoreLockedError",
    "SummaryError",
    "Turn",
    "TurnTooLargeError",
    "TurnkeepError",
    "UnknownStorageError",
    "WindowError",
    "check_messages",
    "estimate_tokens",
    "tiktoken_counter",
]
