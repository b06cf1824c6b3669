"""What a storage must do: the one place where it is written.

A storage keeps sessions: for each key the turns in the order of their ids, and one small
record. It never interprets a conversation; windows, exchanges and replies are made of these
verbs by the layers above. So that a storage over a network costs one round trip for an
append and one for a window, each verb is one atomic operation, and none is
read, change, write.

`turnkeep.testing.StorageContract` checks every sentence below.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any, NamedTuple, Protocol

import msgspec

from .._errors import InvalidMetadataError
from .._records.info import EpochId, SessionInfo
from .._records.key import SessionKey
from .._records.turn import Content, Turn

__all__ = ["Appended", "Change", "EpochId", "SessionInfo", "Snapshot", "Storage"]

DEDUPE_TURNS = 1000
"""How many of the latest turns an append compares its source ids with, at least."""


class Snapshot(NamedTuple):
    """A session's record and some of its turns, as they stood at one moment."""

    info: SessionInfo | None
    turns: Sequence[Turn]


class Appended(NamedTuple):
    """What became of each turn of an append.

    `turns` has one stored turn for each one given. `new` says of each whether it was
    stored now; where it is false the turn was there before, known by a source id.
    """

    turns: list[Turn]
    new: list[bool]


class Change(msgspec.Struct, frozen=True, kw_only=True):
    """What an edit does to a turn. A field that is UNSET stays."""

    content: Content | msgspec.UnsetType = msgspec.UNSET
    extra: dict[str, Any] | msgspec.UnsetType = msgspec.UNSET
    link: tuple[str, ...] = ()
    """Source ids to add to those the turn has."""

    def apply(self, turn: Turn) -> Turn:
        """The turn after this change; equal to `turn` if nothing changes."""
        return msgspec.structs.replace(
            turn,
            content=turn.content if self.content is msgspec.UNSET else self.content,
            extra=turn.extra if self.extra is msgspec.UNSET else self.extra,
            source_ids=tuple(dict.fromkeys(turn.source_ids + self.link)),
        )


class Storage(Protocol):
    """A place where sessions are kept.

    **Life.** The constructor does no I/O. `open` is called once before any other verb, and
    `aclose` once after the last; `aclose` returns when all that was accepted is stored.
    A storage may be opened again after that.

    **Errors.** A verb that fails raises `StorageError` and has changed nothing, and the
    session goes on being usable. A damaged record never makes a reader raise: what can be
    read is read, and the rest is kept and counted in `SessionInfo.damaged`.

    **Concurrency.** Verbs may run at the same time, of one session too. Those that change a
    session take effect one after the other, in the order in which they were first run. A
    cancelled verb has had its whole effect or none.

    **Turns** are immutable and may be shared: neither side changes what a turn holds.
    """

    async def open(self) -> None:
        """Gets hold of what it needs. Raises `StoreLockedError` where that is owned."""
        ...

    async def aclose(self) -> None:
        """Stores all that was accepted and lets go."""
        ...

    async def append(
        self,
        key: SessionKey,
        turns: Sequence[Turn],
        *,
        epoch: EpochId | None = None,
        dedupe: bool = True,
    ) -> Appended | None:
        """Stores the turns, all or none, at the end; they have no id yet and get the next.

        The stored turn has the session's current epoch. A session begins with its first
        turn. With `dedupe`, a turn one of whose source ids is known to the session, or
        stands earlier in `turns`, is not stored: its place in the answer has the turn that
        has it. The latest `DEDUPE_TURNS` turns, in any epoch, are known at least.

        With `epoch` it stores nothing and returns None unless that is the session's current
        epoch still. When it returns, what it stored survives, to the store's `durability`.
        The cost does not depend on the length of the session.
        """
        ...

    async def read(
        self,
        key: SessionKey,
        *,
        after: int = 0,
        before: int | None = None,
        limit: int | None = None,
        newest: bool = True,
    ) -> Snapshot:
        """The record, and the turns with `after < id < before`, ascending, in any epoch.

        With `limit`, at most that many: the newest of them, or the oldest if not `newest`.
        The cost of reading the newest does not depend on the length of the session. A
        session that does not exist has `info` None and no turns.
        """
        ...

    async def find(self, key: SessionKey, source_id: str) -> Turn | None:
        """The latest turn with this source id, however old, or None."""
        ...

    async def edit(self, key: SessionKey, turn_id: int, change: Change) -> Turn | None:
        """Applies the change to one turn and returns it, or None if there is none.

        The old content is gone when it returns: overwritten or written anew. A change that
        changes nothing writes nothing.
        """
        ...

    async def delete(self, key: SessionKey, ids: Sequence[int]) -> list[Turn]:
        """Takes these turns away for good and returns those that were there, ascending.

        Their ids are not used again; their source ids may be.
        """
        ...

    async def clear(self, key: SessionKey, *, erase: bool = False) -> None:
        """Begins a new epoch, without a summary. With `erase` the turns are gone for good.

        The record stays, and the ids go on. Without a session it does nothing.
        """
        ...

    async def consolidate(
        self, key: SessionKey, last_consolidated: int, summary: str, *, epoch: EpochId
    ) -> bool:
        """Sets the summary and the id it reaches to, in one step. Turns are left as they are.

        An id beyond the last one means the last one.
        Returns False, and changes nothing, unless `epoch` is the current one and
        `last_consolidated` is greater than what the session has.
        """
        ...

    async def update_metadata(
        self, key: SessionKey, changes: Mapping[str, Any]
    ) -> Mapping[str, Any]:
        """Merges the changes, top level, a None taking its key away; returns what results.

        Raises `InvalidMetadataError` where that is over `MAX_METADATA_BYTES` encoded. A
        session that does not exist begins.
        """
        ...

    async def sessions(
        self, *, prefix: str = "", limit: int | None = None, after: SessionInfo | None = None
    ) -> list[SessionInfo]:
        """The sessions whose key's text begins with `prefix`, the last written first.

        `after` is an item of an earlier page; the list goes on behind it. Sessions written
        at the same time stand in the order of their keys. Aliases are not listed.
        """
        ...

    async def rename(self, old: SessionKey, new: SessionKey) -> None:
        """Moves a session, and makes `old` an alias: each verb given it means `new`.

        If both have turns, those of `old` become earlier epochs of `new`, and the ids of
        `new` go up by the last one of `old`. Doing it again does nothing. A crash in the
        middle leaves the old state or the new one, once the storage is open again.
        """
        ...

    async def forget(self, key: SessionKey) -> bool:
        """Takes the session away for good, with all that was set aside of it.

        Returns whether there was one. If `key` is an alias, that alias goes too; other
        aliases stay, and a session that begins under one of them has the name it led to.
        """
        ...


MAX_METADATA_BYTES = 8 * 1024


def merge_metadata(
    key: SessionKey, present: Mapping[str, Any], changes: Mapping[str, Any]
) -> dict[str, Any]:
    """`present` with `changes` (JSON, checked) applied; the limit is kept here, once."""
    merged = {name: value for name, value in {**present, **changes}.items() if value is not None}
    size = len(msgspec.json.encode(merged))
    if size > MAX_METADATA_BYTES:
        raise InvalidMetadataError(
            f"session {key}: metadata of {size:,} bytes is over its limit of "
            f"{MAX_METADATA_BYTES:,}; keep large values elsewhere and a reference here"
        )
    return merged


def dedupe_index(turns: Sequence[Turn]) -> dict[str, Turn]:
    """Which of these turns has which source id, the latest if several do."""
    return {source: turn for turn in turns for source in turn.source_ids}


def merged_info(old: SessionInfo, new: SessionInfo) -> SessionInfo:
    """The record of `new` after the turns of `old` became its earlier epochs."""
    return msgspec.structs.replace(
        new,
        created_at=min(old.created_at, new.created_at),
        metadata={**old.metadata, **new.metadata},
        turns=old.turns + new.turns,
        last_id=old.last_id + new.last_id,
        epoch=old.epoch + new.epoch,
        last_consolidated=old.last_id + new.last_consolidated if new.summary else 0,
        damaged=old.damaged + new.damaged,
    )


def shifted(turn: Turn, ids: int, epochs: int) -> Turn:
    """A turn of `new` in its place behind the turns of `old`."""
    return msgspec.structs.replace(
        turn,
        id=turn.id + ids,
        epoch=turn.epoch + epochs,
        answers=None if turn.answers is None else turn.answers + ids,
        also_answers=tuple(one + ids for one in turn.also_answers),
    )
