"""The parts that every adapter for a chat platform needs, each stated once.

- `_recorder`: records messages; `_changes`: edits and deletions; `_choice`: the `record=` option;
  `_scope`: the `scope=` option
- `_chain` and `_earlier`: reply chains as windows, and the messages fetched for them
- `_chat`: the session that handlers get, and its `answer`; `_speak`: an answer to its end, also
  where it fails; `_wishes` and `_options`: what its author wants then
- `_buttons` and `_again`: the buttons that stop an answer, or ask for another one
- `_outlet`, `_growing` and `_split`: the message that grows; `_blocks`, `_tables`
  and `_unfinished`: the Markdown in it
- `_sent` and `_capture`: the messages that a bot sends beside its replies
- `_overlap` and `_line`: messages that come while another one is being answered; `_admission`:
  commands among them; `_bounds`: how many wait, and how many answers a person gets; `_reset`
  and `_anew`: conversations that start over
- `_later`: messages during a storage's failure; `_drain`: the end of a bot
- `_content` and `_notes`: the content of a turn, and its lines about replies and forwards
- `_feedback`: reactions and votes
- `_export`, `_privacy` and `_privacy_texts`: people see and erase their data
- `_question`: the question of a command; `_owed`, `_progress` and `_resume`: answers that a crash
  cuts off; `_handled`: commands and buttons that come twice
- `_recent`: a bounded memory of events
"""

from .._records.quote import said_in
from ._again import regenerate
from ._blocks import code_parts
from ._bounds import Bounds, RateLimit, Refusal, Refused, RefusedError
from ._buttons import (
    AGAIN,
    AGAIN_LABEL,
    STOP,
    STOP_LABEL,
    Regenerate,
    UnderWay,
    under_way,
)
from ._capture import edit_as_sent, record_as_sent
from ._chain import OPENING
from ._chat import ChatSession
from ._choice import RecordFilter, RecordOption
from ._content import Content, as_content, as_repeated, list_media
from ._drain import drain
from ._earlier import Earlier, forget_place
from ._edits import AS_MADE
from ._export import Asker, export, forget
from ._feedback import Feedback
from ._growing import GrowingMessage
from ._handled import Handled
from ._notes import as_said, note, reply_note
from ._options import AdapterOptions, split_options
from ._outlet import Looks, MessageGoneError, Outlet, SlowDownError, UnreachableError
from ._overlap import Busy, Overlap
from ._pieces import Answer
from ._privacy import EXPORT_NAME, Texts, export_file, forget_and_report, texts_for
from ._privacy_texts import PrivacyTexts, privacy_texts
from ._recent import Recent
from ._recorder import Edits, OnStorageError, Quoted, Recorder, RecorderOptions, ToHandle
from ._reset import ResetPolicy
from ._resume import RESUME, Resumer, TooOld
from ._scope import AccountScope, as_key, private_key
from ._sent import AS_SENT, is_as_sent, is_part_of
from ._speak import Footer
from ._split import split_text
from ._tables import tables_as_code
from ._unfinished import close_marks
from ._wishes import AnswerOptions, Failed, Undelivered

__all__ = [
    "AGAIN",
    "AGAIN_LABEL",
    "AS_MADE",
    "AS_SENT",
    "EXPORT_NAME",
    "OPENING",
    "RESUME",
    "STOP",
    "STOP_LABEL",
    "AccountScope",
    "AdapterOptions",
    "Answer",
    "AnswerOptions",
    "Asker",
    "Bounds",
    "Busy",
    "ChatSession",
    "Content",
    "Earlier",
    "Edits",
    "Failed",
    "Feedback",
    "Footer",
    "GrowingMessage",
    "Handled",
    "Looks",
    "MessageGoneError",
    "OnStorageError",
    "Outlet",
    "Overlap",
    "PrivacyTexts",
    "Quoted",
    "RateLimit",
    "Recent",
    "RecordFilter",
    "RecordOption",
    "Recorder",
    "RecorderOptions",
    "Refusal",
    "Refused",
    "RefusedError",
    "Regenerate",
    "ResetPolicy",
    "Resumer",
    "SlowDownError",
    "Texts",
    "ToHandle",
    "TooOld",
    "Undelivered",
    "UnderWay",
    "UnreachableError",
    "as_content",
    "as_key",
    "as_repeated",
    "as_said",
    "close_marks",
    "code_parts",
    "drain",
    "edit_as_sent",
    "export",
    "export_file",
    "forget",
    "forget_and_report",
    "forget_place",
    "is_as_sent",
    "is_part_of",
    "list_media",
    "note",
    "privacy_texts",
    "private_key",
    "record_as_sent",
    "regenerate",
    "reply_note",
    "said_in",
    "split_options",
    "split_text",
    "tables_as_code",
    "texts_for",
    "under_way",
]
