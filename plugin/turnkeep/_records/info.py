"""The record of a session: all that is known of it but its turns."""

from __future__ import annotations

import copy
from datetime import datetime
from typing import Any, TypeAlias

import msgspec

from .key import SessionKey

EpochId: TypeAlias = tuple[datetime, int]
"""Names one epoch for good: a session that was forgotten and began anew has another."""


class SessionInfo(msgspec.Struct, frozen=True, kw_only=True, gc=False):
    """A session's record.

    `turns` counts what is stored, in all epochs. `last_id` is the highest id ever given.
    `epoch` is the current one. `last_consolidated` is the id up to which turns are folded
    into `summary`. `damaged` counts the unreadable places met so far, where a storage can
    have such.
    """

    key: SessionKey
    created_at: datetime
    updated_at: datetime
    metadata: dict[str, Any] = {}
    turns: int = 0
    last_id: int = 0
    epoch: int = 1
    last_consolidated: int = 0
    summary: str | None = None
    damaged: int = 0

    @property
    def epoch_id(self) -> EpochId:
        """What names the current epoch for good."""
        return self.created_at, self.epoch


def own_copy(info: SessionInfo) -> SessionInfo:
    """The record for a caller to keep: changing its metadata changes nothing stored."""
    if not info.metadata:
        return info
    return msgspec.structs.replace(info, metadata=copy.deepcopy(info.metadata))
