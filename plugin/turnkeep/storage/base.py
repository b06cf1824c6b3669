"""The storage protocol: the one place where its semantics are written.

A storage keeps sessions: for each key the turns in the order of their ids, and one small
record. It never interprets a conversation; windows, exchanges and replies are made of these
verbs by the layers above. So that a storage over a network costs one round trip for an
append and one for a window, each verb is one atomic operation, and none is
read, change, write.

`turnkeep.testing.StorageContract` checks every sentence below.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from datetime import datetime
from typing import Any, Final, Literal, NamedTuple, Protocol

import msgspec

from .._errors import InvalidMetadataError
from .._records.identity import Expected, TurnRef, new_generation
from .._records.info import Merged, SessionInfo, merged
from .._records.key import SessionKey
from .._records.turn import Content, Turn

__all__ = [
    "Appended",
    "Capabilities",
    "Change",
    "Claim",
    "Expected",
    "Found",
    "Hit",
    "Merged",
    "Page",
    "SessionInfo",
    "Snapshot",
    "Storage",
    "TurnRef",
    "begun_info",
    "dedupe_index",
    "is_expected",
    "merge_metadata",
    "merged",
    "shifted",
]

DEDUPE_TURNS: Final = 1000
"""An append compares its source ids and tokens with at least so many of the latest turns."""

MAX_METADATA_BYTES: Final = 8 * 1024

_encode: Final = msgspec.json.Encoder(order="deterministic").encode


class Capabilities(msgspec.Struct, frozen=True, kw_only=True):
    """What a storage can promise, beyond what every storage does.

    `shared`: several stores, of several processes, may be open over the same place at once.
    `remote`: an answer may be lost on its way, so an append needs a token to be tried again.
    `erases`: what is deleted is gone from the storage's own files when the verb returns;
    without it an engine keeps old pages for a while, and says for how long.
    `search`: it has `search`.
    """

    shared: bool = False
    remote: bool = False
    erases: bool = True
    search: bool = False


class Snapshot(NamedTuple):
    """A session's record and some of its turns, as they stood at one moment.

    `complete` is whether the read reached the end: with the newest turns, nothing that was
    asked for stands before the first; with the oldest, nothing stands behind the last. A
    page that is shorter than `limit` may be incomplete, and a full one complete. A page that
    is not complete has at least one turn.
    """

    info: SessionInfo | None
    turns: Sequence[Turn]
    complete: bool = True


class Appended(NamedTuple):
    """What became of each turn of an append, and the session's record after it.

    `turns` has one stored turn for each one given. `new` says of each whether this append
    stored it (or an earlier one under the same token did); where it is false the turn was
    there before, known by a source id. `info` is None where there is no session.
    """

    turns: list[Turn]
    new: list[bool]
    info: SessionInfo | None = None


class Page(NamedTuple):
    """Some of the sessions, and whether the list ends with them."""

    sessions: list[SessionInfo]
    complete: bool


class Found(NamedTuple):
    """Turns with a source id, each with its session's key; and the sessions not looked through.

    `unread` are those that could not be read; they may have such a turn too.
    """

    turns: list[tuple[SessionKey, Turn]]
    unread: list[SessionKey]


class Hit(NamedTuple):
    """A turn that a search found."""

    key: SessionKey
    turn: Turn


class Claim(msgspec.Struct, frozen=True, kw_only=True):
    """A lease on a piece of work in a session, which ends by itself when its owner dies.

    `owner` names the store that holds it. `expires_at` is by the storage's clock. `payload`
    is JSON, what another process needs to take the work over. `taken_over` is whether an
    expired claim of another owner stood in its place; its payload is kept unless another
    one was given.
    """

    key: SessionKey
    name: str
    owner: str
    expires_at: datetime
    payload: dict[str, Any] = {}
    taken_over: bool = False


class Change(msgspec.Struct, frozen=True, kw_only=True):
    """What an edit does to a turn. A field that is UNSET stays."""

    content: Content | msgspec.UnsetType = msgspec.UNSET
    extra: dict[str, Any] | msgspec.UnsetType = msgspec.UNSET
    link: tuple[str, ...] = ()
    """Source ids to add to those the turn has."""

    def apply(self, turn: Turn) -> Turn:
        """Return the turn after this change; `turn` itself, the same object, if nothing changes."""
        changed = msgspec.structs.replace(
            turn,
            content=turn.content if self.content is msgspec.UNSET else self.content,
            extra=turn.extra if self.extra is msgspec.UNSET else self.extra,
            source_ids=tuple(dict.fromkeys(turn.source_ids + self.link)),
        )
        # As JSON: to Python True is 1 and 1.0.
        return turn if _encode(changed) == _encode(turn) else changed


class Storage(Protocol):
    """A place where sessions are kept.

    **Life.** The constructor does no I/O. `open` is called once before any other verb, and
    `aclose` once after the last; `aclose` returns when all that was accepted is stored.
    A storage may be opened again after that.

    **Errors.** A verb that fails raises `StorageError`, never a driver's error, and has
    changed nothing; the session goes on being usable. Where the storage can't know whether
    a change took effect (an answer was lost on the network, a folder's sync failed after a
    rename) it raises `LostAcknowledgementError`, and the change is whole or not there. The
    same call again is then safe: an append under its tokens stores once, and every other
    verb does nothing the second time. A damaged record never makes a reader raise: what can
    be read is read, the rest is kept, counted in `SessionInfo.damaged`, and costs nothing
    else: not the turns behind it, and not the pages after it.

    **Concurrency.** Verbs may run at the same time, of one session too. Those that change a
    session take effect one after the other, in the order in which they were first run by one
    process; the storage decides the order between processes. A cancelled verb has had its
    whole effect or none.

    **Reads.** A read sees everything that was acknowledged before it began, by any process,
    and may see a whole append that is not acknowledged yet; it never sees a part of one. The
    record and the turns of one answer are of one moment.

    **State.** A change that is given `expected` is compared with the session and made in one
    atomic step. Without it the change is made to whatever is there.

    **Clocks.** `created_at`, `updated_at` and `Claim.expires_at` are by one clock, that of the
    storage: the server's, if it has one, else the process's. A turn's `time` is its
    caller's.

    **Turns** are immutable and may be shared: neither side changes what a turn holds. Each
    turn that a verb returns has the session's `generation`, and its `epoch`.

    **Keys and ids** are compared exactly: `a` and `A` differ, in keys, prefixes and source
    ids, and no character is a wildcard.
    """

    @property
    def capabilities(self) -> Capabilities:
        """What this storage promises; the same before `open` and after it."""
        ...

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
        expected: Expected | None = None,
        dedupe: bool = True,
    ) -> Appended | None:
        """Stores the turns, all or none, at the end; they have no id yet and get the next.

        The stored turn has the session's current epoch. A session begins with its first
        turn, in a new generation. With `dedupe`, a turn one of whose source ids is known to
        the session, or stands earlier in `turns`, is not stored: its place in the answer has
        the turn that has it. A turn whose `token` is known was stored by the same append
        before: with or without `dedupe`, its place in the answer has that turn, as new. Each
        turn has a token of its own. The latest `DEDUPE_TURNS` turns, in any epoch, are known
        at least.

        Returns None, and stores nothing, where the session is not as `expected`. An append
        that was done before, so that it has nothing to store and one of its tokens is known,
        gives its turns back all the same. When it returns, what it stored
        survives, to the store's `durability`. The cost does not depend on the length of the
        session.
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

    async def find_all(
        self, source_ids: Sequence[str], *, prefix: str = "", since: datetime | None = None
    ) -> Found:
        """Every turn that has one of these source ids, in all sessions whose key begins so.

        One step where there is an index. Sessions that were last written before `since` may be
        left out. A session that can't be read is named in the answer, and the rest is
        looked through.
        """
        ...

    async def edit(
        self, key: SessionKey, turn_id: int, change: Change, *, expected: Expected | None = None
    ) -> Turn | None:
        """Applies the change to one turn and returns it, or None if there is none.

        The old content is gone when it returns: overwritten or written anew. A change that
        changes nothing (as JSON: `True` is not 1) writes nothing; any other raises the
        session's `revision` by one. Returns None where the session is not as `expected`.
        """
        ...

    async def delete(
        self, key: SessionKey, ids: Sequence[int], *, expected: Expected | None = None
    ) -> list[Turn]:
        """Takes these turns away for good and returns those that were there, ascending.

        Their ids are not used again; their source ids may be. The `revision` goes up by one
        where any was there. Nothing happens where the session is not as `expected`.
        """
        ...

    async def clear(
        self, key: SessionKey, *, erase: bool = False, expected: Expected | None = None
    ) -> bool:
        """Begins a new epoch, without a summary. With `erase` the turns are gone for good.

        Where that erases any, the `revision` goes up by one. The record stays, and the ids go
        on; a session whose current epoch is empty begins another one too. Returns whether it
        did: not without a session, and not where that is not as `expected`.
        """
        ...

    async def consolidate(
        self, key: SessionKey, last_consolidated: int, summary: str, *, expected: Expected
    ) -> bool:
        """Sets the summary and the id it reaches to, in one step. Turns are left as they are.

        An id beyond the last one means the last one. Returns False, and changes nothing,
        unless the session is as `expected` and `last_consolidated` is greater than what the
        session has.
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
        self,
        *,
        prefix: str = "",
        limit: int | None = None,
        after: SessionInfo | None = None,
        order: Literal["written", "key"] = "written",
        metadata: bool = True,
    ) -> Page:
        """The sessions whose key's text begins with `prefix`, the last written first.

        `after` is an item of an earlier page; the list goes on behind it. Sessions written
        at the same time stand in the order of their keys. By `"key"` they stand in the order
        of their keys' texts, by code points, so that a session that is written to meanwhile
        keeps its place. Without `metadata` the records may lack theirs. Aliases are not
        listed. A session that can't be read is left out.
        """
        ...

    async def rename(self, old: SessionKey, new: SessionKey) -> None:
        """Moves a session, and makes `old` an alias: each verb given it means `new`.

        If both have turns, those of `old` become earlier epochs of `new`, the ids of `new`
        go up by the last one of `old`, and the generation is a new one whose `origins` say
        so; see `merged`. Where one of the two has no turns, the other one goes on, in its
        generation. Claims move along; where both sessions have one of a name, that of `new`
        stays. Doing it again does nothing. A crash in the middle leaves the old state or the
        new one, once the storage is open again. A long session that is merged does not hold
        up the others.
        """
        ...

    async def unlink(self, alias: SessionKey) -> bool:
        """Takes an alias back: what is appended under it from now on begins a session.

        What was said under it stays where it is. Returns whether there was such an alias.
        """
        ...

    async def forget(self, key: SessionKey) -> bool:
        """Takes the session away for good, with its claims and all that was set aside of it.

        Returns whether there was one. If `key` is an alias, that alias goes too; other
        aliases stay, and a session that begins under one of them has the name it led to.
        """
        ...

    async def claim(
        self,
        key: SessionKey,
        name: str,
        *,
        owner: str,
        ttl: float,
        payload: Mapping[str, Any] | None = None,
    ) -> Claim | None:
        """Takes a lease for `ttl` seconds; None while another owner's has not expired.

        The same owner's is renewed. An expired one is taken over. Either way its payload is
        kept unless another one is given. With a `ttl` of 0 it has expired at once. A claim
        needs no session, and begins none.
        """
        ...

    async def renew(self, claim: Claim, *, ttl: float) -> bool:
        """Lets a claim last `ttl` seconds from now; False if its owner has it no more.

        One that has expired is renewed if nobody took it over.
        """
        ...

    async def release(self, claim: Claim) -> bool:
        """Ends a claim; False if its owner had it no more. Another owner's is left alone."""
        ...

    async def claims(
        self, *, key: SessionKey | None = None, prefix: str = "", expired: bool | None = None
    ) -> list[Claim]:
        """The claims of one session, or of all whose key begins so, the oldest expiry first.

        With `expired`, only those that have expired, or that have not.
        """
        ...

    async def search(self, text: str, *, prefix: str = "", limit: int = 20) -> list[Hit]:
        """The turns whose text has all these words, the newest first, hidden ones left out.

        Words are compared whole, and without case. A text without a word finds nothing.
        Only with `Capabilities.search`; without it, it raises `UnsupportedError`.
        """
        ...


def begun_info(key: SessionKey, now: datetime) -> SessionInfo:
    """Return the record of a session that begins now."""
    return SessionInfo(key=key, created_at=now, updated_at=now, generation=new_generation())


def is_expected(info: SessionInfo | None, expected: Expected | None) -> bool:
    """Return whether a session is as expected; the expected turn is the storage's to look up."""
    if expected is None:
        return True
    return (
        info is not None
        and info.generation == expected.generation
        and expected.epoch in (None, info.epoch)
        and expected.revision in (None, info.revision)
    )


def merge_metadata(
    key: SessionKey, present: Mapping[str, Any], changes: Mapping[str, Any]
) -> dict[str, Any]:
    """Return `present` with `changes` (JSON, checked) applied; the limit is kept here, once."""
    merged = {name: value for name, value in {**present, **changes}.items() if value is not None}
    size = len(msgspec.json.encode(merged))
    if size > MAX_METADATA_BYTES:
        raise InvalidMetadataError(
            f"session {key}: metadata of {size:,} bytes is over its limit of "
            f"{MAX_METADATA_BYTES:,}; keep large values elsewhere and a reference here"
        )
    return merged


def dedupe_index(turns: Sequence[Turn]) -> dict[str, Turn]:
    """Map each source id to the latest of these turns that has it."""
    return {source: turn for turn in turns for source in turn.source_ids}


def shifted(turn: Turn, ids: int, epochs: int, generation: str) -> Turn:
    """Return a turn of the newer session in its place behind the turns of the older one."""
    return msgspec.structs.replace(
        turn,
        id=turn.id + ids,
        epoch=turn.epoch + epochs,
        answers=None if turn.answers is None else turn.answers + ids,
        also_answers=tuple(one + ids for one in turn.also_answers),
        generation=generation,
    )
