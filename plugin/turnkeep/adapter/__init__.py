"""What adapters for chat platforms are made of; `turnkeep_aiogram` and `turnkeep_discord` are two.

Where to find what: `_recorder` what is recorded, `_chat` the session that handlers get and its
`answer`, `_outlet` and `_split` the message that grows, `_overlap` messages that come while
another is answered, `_reset` when a conversation begins anew, `_later` what a failing storage did
not take, `_notes` the lines that tell of replies and forwards, `_export` a conversation as a file.
"""

from ._chat import Answer, ChatSession
from ._export import export
from ._notes import note
from ._outlet import GrowingMessage, MessageGoneError, Outlet, SlowDownError
from ._overlap import Busy, Overlap
from ._recorder import Edits, OnStorageError, Recorder, RecorderOptions
from ._reset import ResetPolicy
from ._split import split_text

__all__ = [
    "Answer",
    "Busy",
    "ChatSession",
    "Edits",
    "GrowingMessage",
    "MessageGoneError",
    "OnStorageError",
    "Outlet",
    "Overlap",
    "Recorder",
    "RecorderOptions",
    "ResetPolicy",
    "SlowDownError",
    "export",
    "note",
    "split_text",
]
