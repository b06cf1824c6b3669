"""The promises of a storage, and the answers of its verbs."""

from __future__ import annotations

from collections.abc import Sequence
from typing import NamedTuple

import msgspec

from .._records.info import SessionInfo
from .._records.key import SessionKey
from .._records.turn import Turn

__all__ = ["Appended", "Capabilities", "Found", "Hit", "Page", "Snapshot"]


class Capabilities(msgspec.Struct, frozen=True, kw_only=True):
    """The promises of a storage beyond those that every storage makes.

    - `shared`: several stores, of several processes, may be open over the same place at once.
    - `remote`: an acknowledgement may be lost on the network, so appends need a token for retries.
    - `erases`: deleted bytes are gone from the storage's own files when the verb returns. An
      engine without it keeps old pages for a while, and documents for how long.
    - `search`: it has the verb `search`.
    """

    shared: bool = False
    remote: bool = False
    erases: bool = True
    search: bool = False


class Snapshot(NamedTuple):
    """A session's record and some of its turns, as they stood at one moment.

    `complete` is True if the read reached the end of what was asked for: no such turn stands
    before the first of the newest, or behind the last of the oldest. A page that is shorter than
    `limit` may be incomplete, and a full one complete. An incomplete page has at least one turn.
    """

    info: SessionInfo | None
    turns: Sequence[Turn]
    complete: bool = True


class Appended(NamedTuple):
    """The outcome of an append for each of its turns, and the session's record after it.

    `turns` has one stored turn for each given one. `new` is True for a turn that this append
    stored, or an earlier append under the same token. It is False for a duplicate: the stored
    turn has one of its source ids. `info` is None if there is no session.
    """

    turns: list[Turn]
    new: list[bool]
    info: SessionInfo | None = None


class Page(NamedTuple):
    """Some of the sessions. `complete` is True if no more follow."""

    sessions: list[SessionInfo]
    complete: bool


class Found(NamedTuple):
    """Turns with a source id, each with its session's key.

    `unread` are the sessions that could not be read. They may have such turns too.
    """

    turns: list[tuple[SessionKey, Turn]]
    unread: list[SessionKey]


class Hit(NamedTuple):
    """A turn that a search found. `snippet` is the piece of its text around a word found."""

    key: SessionKey
    turn: Turn
    snippet: str = ""
