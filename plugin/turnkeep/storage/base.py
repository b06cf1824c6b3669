"""The storage protocol: the one place where its semantics are written.

A storage keeps sessions: for each key the turns in the order of their ids, and one small
record. It never interprets a conversation. The layers above make windows, exchanges and replies
of these verbs. Each verb is one atomic operation, never read, change, write. So a storage over a
network needs one round trip for an append, and one for a window.

`turnkeep.testing.StorageContract` checks every sentence of it. `rules` has those that are the same
computation in every storage. The values that the verbs take and return are in `_results`,
`_change` and `_leases`; the last one has the verbs for leases too.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from datetime import datetime
from typing import Any, Final, Literal, Protocol

from .._records.identity import Expected, TurnRef
from .._records.info import Merged, SessionInfo, merged
from .._records.key import SessionKey
from .._records.turn import Turn
from ._change import Change
from ._leases import Claim, Leases
from ._results import Appended, Capabilities, Found, Hit, Page, Snapshot

__all__ = [
    "DEDUPE_TURNS",
    "MAX_METADATA_BYTES",
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
    "merged",
]

DEDUPE_TURNS: Final = 1000
"""The number of latest turns that an append deduplicates against, at least."""

MAX_METADATA_BYTES: Final = 8 * 1024
"""The most bytes of a session's metadata, encoded as JSON."""


class Storage(Leases, Protocol):
    """A place that keeps sessions.

    **Life.** The constructor does no I/O. `open` is called once before any other verb, and
    `aclose` once after the last. `aclose` returns when everything that was accepted is stored.
    A storage may be opened again after that.

    **Errors.** A verb that fails raises `StorageError`, never a driver's error. It has changed
    nothing, and the session stays usable. `LostAcknowledgementError` is raised if the storage
    can't know whether a change took effect: an answer was lost on the network, or a folder's
    sync failed after a rename. Then the change is there as a whole, or not at all, and the call
    can be repeated safely: an append under its tokens stores once, and every other verb does
    nothing the second time. A damaged record never makes a reader raise. The readable part is
    read; the rest is kept, and counted in `SessionInfo.damaged`. It costs neither the turns
    behind it nor the pages after it.

    **Concurrency.** Verbs may run at the same time, also on one session. Changes of one session
    take effect one after the other: within a process in the order of the calls, and between
    processes in the storage's order. A cancelled verb has had its whole effect or none.

    **Reads.** A read sees everything that any process acknowledged before it began. It may see a
    whole append that is not acknowledged yet, and never a part of one. The record and the turns
    of one answer are of one moment.

    **State.** A change with `expected` compares the session and changes it in one atomic step.
    Without `expected` it changes whatever is there.

    **Clocks.** `created_at`, `updated_at` and `Claim.expires_at` are by the storage's one clock:
    the server's if it has one, else the process's. A turn's `time` is its caller's.

    **Turns** are immutable and may be shared: neither side changes what a turn holds. Each turn
    that a verb returns has the session's `generation`, and its `epoch`.

    **Keys and ids** are compared exactly. `a` and `A` differ in keys, prefixes and source ids,
    and no character is a wildcard.
    """

    @property
    def capabilities(self) -> Capabilities:
        """The promises of this storage, the same before `open` and after it."""
        ...

    async def open(self) -> None:
        """Take hold of the place. Raises `StoreLockedError` if another process owns it."""
        ...

    async def aclose(self) -> None:
        """Store all that was accepted, and let go."""
        ...

    async def append(
        self,
        key: SessionKey,
        turns: Sequence[Turn],
        *,
        expected: Expected | None = None,
        dedupe: bool = True,
        at: TurnRef | None = None,
    ) -> Appended | None:
        """Store the turns, all or none, at the end. They have no id yet, and get the next ids.

        A stored turn has the session's current epoch. A session begins with its first turn, in a
        new generation.

        - With `dedupe`, a turn is a duplicate if the session, or an earlier one of `turns`, has
          one of its source ids. It is not stored: the answer has the other turn in its place.
        - A turn whose `token` is known was stored by the same append before, with or without
          `dedupe`. The answer has the stored turn in its place, as new. Each turn has its own
          token.
        - At least the latest `DEDUPE_TURNS` turns, in any epoch, are compared. If the last turn
          that an append stored is among them, all of its tokens are known, however many they are.
        - `at` is the name that the first of the turns is to get. Nothing is stored, and the
          answer is None, if it would get another one, if some of the turns are known and others
          are new, or if new ones are duplicates of each other. A session that begins, at id 1,
          has the generation of `at`.

        Return None, and store nothing, if the session is not as `expected`. A repeated append,
        which has nothing to store and a token that is known, returns its turns all the same.
        After it returns, the turns survive as the store's `durability` says. The cost does not
        depend on the length of the session.
        """
        ...

    async def restore(self, info: SessionInfo, turns: Sequence[Turn]) -> bool:
        """Store turns with their own ids, epochs and tokens, and `info` as the session's record.

        So a session is copied from another storage, a part with each call. The ids ascend, and
        may have gaps. Turns up to the session's `last_id` are left out: an earlier call stored
        them. A session that does not exist begins. The record becomes `info`, its times and its
        `last_id` included, but for two fields: `turns` are counted, and `damaged` stays.

        Return False, and store nothing, if the key is an alias, or if the session there is of
        another generation, or has a later `updated_at`, or a higher `last_id`. `last_id` of
        `info` is not lower than any of the ids, and `last_consolidated` not higher than it.
        """
        ...

    async def aliases(self, *, prefix: str = "") -> dict[SessionKey, SessionKey]:
        """Return the aliases that begin with the prefix, each with the key that it leads to.

        That is the key of a session, or of one that has not begun.
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
        """Return the record, and the turns with `after < id < before`, ascending, in any epoch.

        `limit` bounds their number: they are the newest, or the oldest if not `newest`. The cost
        of reading the newest does not depend on the length of the session. A session that does
        not exist has `info` None and no turns.
        """
        ...

    async def find(self, key: SessionKey, source_id: str) -> Turn | None:
        """Return the latest turn with this source id, however old, or None."""
        ...

    async def find_all(
        self, source_ids: Sequence[str], *, prefix: str = "", since: datetime | None = None
    ) -> Found:
        """Return every turn with one of these source ids, in all sessions with the prefix.

        A storage with an index does it in one step. It may leave out sessions that were last
        written before `since`. The answer names the sessions that can't be read, and has the
        turns of all others.
        """
        ...

    async def edit(
        self, key: SessionKey, turn_id: int, change: Change, *, expected: Expected | None = None
    ) -> Turn | None:
        """Apply the change to one turn and return it, or None if there is no such turn.

        When it returns, the old content is erased: overwritten, or left out of a new file. A
        change that changes nothing writes nothing (compared as JSON: `True` is not 1). Any other
        raises the session's `revision` by one. Return None if the session is not as `expected`.
        """
        ...

    async def delete(
        self, key: SessionKey, ids: Sequence[int], *, expected: Expected | None = None
    ) -> list[Turn]:
        """Delete these turns for good, and return those that were there, ascending.

        Their ids are never used again. Their source ids may be. If any was there, the `revision`
        rises by one. Nothing happens if the session is not as `expected`.
        """
        ...

    async def change(
        self,
        key: SessionKey,
        changes: Mapping[int, Change | None],
        *,
        expected: Expected | None = None,
    ) -> list[Turn]:
        """Edit and delete several turns in one step: each id has its change, or None to delete.

        Every sentence of `edit` and `delete` holds for each turn. Return the turns that were
        there, ascending: an edited turn as it is now, a deleted one as it was. The `revision`
        rises by one if any turn was changed. A reader sees all of the changes or none. The cost
        is that of one edit and of reading the turns, not of an edit for each turn.
        """
        ...

    async def clear(
        self, key: SessionKey, *, erase: bool = False, expected: Expected | None = None
    ) -> bool:
        """Begin a new epoch, without a summary. With `erase` all turns are deleted for good.

        If that deletes any, the `revision` rises by one. The record stays, and the ids continue.
        A session whose current epoch is empty begins another one too. Return False, and do
        nothing, if there is no session, or it is not as `expected`.
        """
        ...

    async def consolidate(
        self, key: SessionKey, last_consolidated: int, summary: str, *, expected: Expected
    ) -> bool:
        """Set the summary, and the id up to which it reaches, in one step. The turns stay.

        An id beyond the last one means the last one. Return False, and change nothing, unless
        the session is as `expected` and its own `last_consolidated` is lower.
        """
        ...

    async def update_metadata(
        self, key: SessionKey, changes: Mapping[str, Any]
    ) -> Mapping[str, Any]:
        """Merge the changes at the top level, and return the result. None deletes its key.

        Raises `InvalidMetadataError` if the result has more than `MAX_METADATA_BYTES` encoded. A
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
        """Return the sessions whose key's text begins with `prefix`, the last written first.

        `after` is an item of an earlier page; the list continues behind it. Sessions that were
        written at the same time are in the order of their keys. With the order `"key"` all are
        in the order of their keys' texts, by code points, so a session that is written to
        meanwhile keeps its place. Without `metadata` the records may lack theirs. Aliases, and
        sessions that can't be read, are left out; `find_all` names the latter.
        """
        ...

    async def rename(self, old: SessionKey, new: SessionKey) -> None:
        """Move a session, and make `old` an alias: every verb takes it for `new`.

        If both have turns, those of `old` become earlier epochs of `new`. The ids of `new` rise by
        the last one of `old`. The merged session has a new generation, and its `origins` name the
        two old ones; see `merged`. If one of the two has no turns, the other continues in its
        generation. Claims move too; if both sessions have one of a name, that of `new` stays.
        Renaming again does nothing. If `new` is an alias of the session that `old` means, that
        session moves there: `new` is no alias any more, and the session's key until then becomes
        one. So the opposite rename takes a rename back. After a crash in the middle, the reopened
        storage has the old state or the new one. A merge of a long session does not delay other
        sessions.
        """
        ...

    async def unlink(self, alias: SessionKey) -> bool:
        """Remove an alias. The next append under it begins a session.

        Earlier turns stay in the session that it led to. Return True if there was such an alias.
        """
        ...

    async def forget(self, key: SessionKey) -> bool:
        """Delete the session for good, with its claims and everything that was set aside of it.

        Return True if there was one. If `key` is an alias, it goes too. Other aliases stay; a
        session that begins under one of them has the key that the alias leads to.
        """
        ...

    async def files(self) -> list[str]:
        """Return the paths of all files that have, or may have, what was stored here.

        They are the storage's own, and those beside them: what was set aside, and backups that
        somebody made there. A storage on a server, or in memory, has none.
        """
        ...

    # `claim`, `renew`, `release` and `claims` are in `Leases`.

    async def search(
        self,
        text: str,
        *,
        prefix: str = "",
        sender_id: str | None = None,
        after: datetime | None = None,
        limit: int = 20,
    ) -> list[Hit]:
        """Return the turns whose text contains all these words, the newest first.

        Words are compared whole, and without case, as `storage.words` splits them; a storage may
        be set to find parts of words too, for languages without spaces. Hidden turns are left
        out, turns of earlier epochs are not. `sender_id` selects the turns that one person wrote,
        `after` those with a later time. A text without a word finds nothing. A storage without
        `Capabilities.search` raises `UnsupportedError`.
        """
        ...
