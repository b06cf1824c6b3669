"""What adapters for chat platforms are made of; `turnkeep_aiogram` and `turnkeep_discord` are two.

Where to find what: `_recorder` what is recorded, `_changes` edits and deletions, `_chat` the
session that handlers get and its `answer`, `_outlet` and `_split` the message that grows,
`_sent` what a bot sends beside that, `_overlap` messages that come while another is answered,
`_reset` when a conversation begins anew, `_later` what a failing storage did not take, `_notes`
the lines that tell of replies and forwards, `_export` what people see and erase of it.
"""

from ._changes import AS_MADE
from ._chat import Answer, ChatSession
from ._export import export, forget
from ._notes import note
from ._outlet import GrowingMessage, MessageGoneError, Outlet, SlowDownError
from ._overlap import Busy, Overlap
from ._recorder import Edits, OnStorageError, Quoted, Recorder, RecorderOptions
from ._reset import ResetPolicy
from ._sent import AS_SENT, is_as_sent, is_part_of
from ._split import split_text

__all__ = [
    "AS_MADE",
    "AS_SENT",
    "Answer",
    "Busy",
    "ChatSession",
    "Edits",
    "GrowingMessage",
    "MessageGoneError",
    "OnStorageError",
    "Outlet",
    "Overlap",
    "Quoted",
    "Recorder",
    "RecorderOptions",
    "ResetPolicy",
    "SlowDownError",
    "export",
    "forget",
    "is_as_sent",
    "is_part_of",
    "note",
    "split_text",
]
