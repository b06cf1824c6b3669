"""The store: a bot opens one and keeps it."""

from __future__ import annotations

import os
from datetime import datetime, timedelta
from functools import partial
from types import TracebackType
from typing import Literal, Self

from ._errors import InvalidTurnError, PartlyDoneError, StorageError
from ._records.info import SessionInfo, own_copy
from ._records.key import SessionKey
from ._records.making import MAX_TURN_BYTES, as_sender, as_source_ids
from ._records.parts import InlineMedia
from ._records.sender import Sender
from ._records.turn import Turn
from ._records.usage import Usage
from ._session.conversation import Conversation
from ._session.desk import Desk
from ._session.forgetting import end_fetching, fetched_since, fetches, forget_sender
from ._session.forking import fork
from ._session.owed import Unanswered, unanswered
from ._session.policy import ConsolidationPolicy, Consolidations
from ._session.reading import Sessions
from ._session.receipts import Receipt, Texts, receipt
from ._session.redaction import Redact, redactor
from ._session.session import BaseSession
from ._session.spending import GroupBy, Spent, add_up, check_by
from ._session.variants import with_variants
from ._urls import as_storage
from .storage.base import Hit, Storage

__all__ = ["Session", "SessionStore"]


class SessionStore:
    """The sessions of a bot.

    `where` is a folder for JSONL files (a path, or `jsonl:PATH`), `sqlite:PATH`,
    `postgresql://…`, `redis://…`, `memory:`, or a storage object.
    The constructor does no I/O: the store opens at `async with`, or at first use. Several parts
    of a program may open it; it closes when the last of them leaves. A store that was opened by
    use alone closes at `aclose()`. After that it raises `StoreClosedError` until the next
    `async with`.

    - `durability`: after an append returns, its turn survives the death of the process (`"os"`)
      or of the machine (`"disk"`).
    - `read_only`: the store locks and writes nothing.
    - `lock_timeout`: the seconds to wait for another process to leave the folder.
    - `max_turn_bytes`: the largest encoded turn that is stored.
    - `inline_media`: the rule for content parts that hold the bytes of a medium. `"error"` refuses
      them (in a tool's result a reference replaces them), `"keep"` stores them, and a function
      from the bytes and their media type, or None, puts them somewhere and returns a `Media`.
    - `redact`: a function of a session's key and a `Turn`, called before a turn is stored, edits
      included. It returns the turn to store, or None to refuse it (`TurnRefusedError`). What
      identifies a turn, such as its `source_ids`, stays. Summaries and metadata don't pass it.
    - `consolidation`: the rule by which older turns are folded into a summary. It may be set
      later too.

    A storage object has its own durability and lock. Raises `UnknownStorageError` for a `where`
    that names no storage, `MissingExtraError` if its package is not installed, and `ValueError`
    for any other value that is not allowed.
    """

    def __init__(
        self,
        where: str | os.PathLike[str] | Storage,
        *,
        durability: Literal["os", "disk"] = "os",
        read_only: bool = False,
        lock_timeout: float = 30,
        max_turn_bytes: int = MAX_TURN_BYTES,
        inline_media: InlineMedia = "error",
        redact: Redact | None = None,
        consolidation: ConsolidationPolicy | None = None,
    ) -> None:
        if durability not in ("os", "disk"):
            raise ValueError(f"durability is 'os' or 'disk', not {durability!r}")
        if not lock_timeout >= 0:
            raise ValueError(f"lock_timeout is in seconds, 0 or more, not {lock_timeout!r}")
        if isinstance(max_turn_bytes, bool) or max_turn_bytes < 1:
            raise ValueError(f"max_turn_bytes is a whole number, 1 or more, not {max_turn_bytes!r}")
        if inline_media not in ("error", "keep") and not callable(inline_media):
            raise ValueError(f"inline_media is 'error', 'keep' or a function, not {inline_media!r}")
        if redact is not None and not callable(redact):
            raise ValueError(f"redact is a function of a key and a turn, not {redact!r}")
        options = {
            "durability": durability,
            "read_only": read_only,
            "lock_timeout": lock_timeout,
        }
        self.desk: Desk = Desk(
            as_storage(where, options),
            read_only=read_only,
            max_turn_bytes=max_turn_bytes,
            inline_media=inline_media,
            redact=None if redact is None else redactor(redact, max_turn_bytes),
        )
        self._consolidations = Consolidations(self.desk)
        self.consolidation = consolidation
        self.desk.opening.closing = self._end_work

    def __repr__(self) -> str:
        opening = self.desk.opening
        return f"<SessionStore {opening.storage!r} {opening.state}>"

    @property
    def consolidation(self) -> ConsolidationPolicy | None:
        """The rule by which sessions are consolidated after an answer. It can be set."""
        return self._consolidations.policy

    @consolidation.setter
    def consolidation(self, policy: ConsolidationPolicy | None) -> None:
        self._consolidations.policy = policy
        self.desk.after_answer = None if policy is None else self._consolidations.after_answer

    async def __aenter__(self) -> Self:
        await self.desk.opening.open()
        return self

    async def __aexit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        traceback: TracebackType | None,
    ) -> None:
        await self.aclose()

    async def aclose(self) -> None:
        """Leave the store. The last one to leave closes it, after all running calls.

        A cancellation of a task or a scope is raised only after the store is closed, so its
        folder is always free.
        """
        await self.desk.opening.aclose()

    async def _end_work(self) -> None:
        await self._consolidations.cancel()
        await self.desk.leases.aclose()

    # Sessions.

    def session(self, key: SessionKey | str) -> Session:
        """Return a handle on the session of this key. There is no I/O, and no session begins."""
        return Session(self, Conversation(self.desk, as_key(key)))

    async def list_sessions(
        self, *, prefix: str = "", limit: int | None = 100, after: SessionInfo | None = None
    ) -> list[SessionInfo]:
        """Return one page of the sessions, the last written first.

        `prefix` is the beginning of a key, such as `"telegram:"`. `after` is an item of the
        previous page: `page = await store.list_sessions(after=page[-1])`. With `limit=None` the
        page has all of them.
        """
        if limit is not None and limit < 1:
            raise ValueError(f"limit is a whole number, 1 or more, or None, not {limit!r}")
        async with self.desk.use() as storage:
            page = await storage.sessions(prefix=prefix, limit=limit, after=after)
        return [own_copy(info) for info in page.sessions]

    async def rename(self, old: SessionKey | str, new: SessionKey | str) -> None:
        """Move a session to another key. The old key becomes an alias of the new one.

        If both have turns, the old ones become earlier epochs of the new session, whose ids
        rise. Open replies of any process and turns in hand stay valid, and windows show their
        questions with them. Renaming again does nothing. If `new` is an alias of the session,
        the session moves back.
        """
        old, new = as_key(old), as_key(new)
        async with self.desk.use(old, write=True) as storage:
            await self.desk.surely(partial(storage.rename, old, new))

    async def link(self, key: SessionKey | str, to: SessionKey | str) -> None:
        """Make `key` mean the session of `to`, for one person on two platforms.

        The turns of `key` become earlier epochs of that session. It is `rename`, by the name of
        its most frequent use.
        """
        await self.rename(key, to)

    async def unlink(self, alias: SessionKey | str) -> bool:
        """Remove a link, or an alias that a rename left; return True if there was one.

        The next turn under `alias` begins a session of its own. Earlier turns stay in the
        session that it was linked to.
        """
        alias = as_key(alias)
        async with self.desk.use(alias, write=True) as storage:
            gone, lost = await self.desk.surely(partial(storage.unlink, alias))
        return gone or lost

    async def search(
        self,
        text: str,
        *,
        prefix: str = "",
        sender: Sender | str | int | None = None,
        after: datetime | None = None,
        limit: int = 20,
    ) -> list[Hit]:
        """Return the turns that contain all these words, the newest first, with a snippet.

        `sender` selects the turns that one person wrote, by their id on the platform, and `after`
        those that are newer. Raises `UnsupportedError` if the storage has no search, and
        `ValueError` for a naive time.
        """
        if after is not None and after.tzinfo is None:
            raise ValueError(f"after needs a time zone: {after!r}")
        by = as_sender(sender, "search: ")
        async with self.desk.use() as storage:
            return await storage.search(
                text,
                prefix=prefix,
                sender_id=None if by is None else by.id,
                after=after,
                limit=limit,
            )

    async def usage(
        self,
        *,
        by: GroupBy = "session",
        prefix: str = "",
        since: datetime | None = None,
    ) -> dict[str, Spent]:
        """Return the tokens that all answers cost, in groups.

        `by` names the groups: the text of a `"session"`'s key, the id of the `"sender"` of the
        message that was answered (empty without one), the `"model"`, or the `"day"` in UTC. It
        reads every turn of the sessions with the prefix.
        """
        check_by(by)
        spent: dict[str, Spent] = {}
        async for info in Sessions(self.desk, prefix):
            key = info.key.text

            def name(turn: Turn, usage: Usage, sender: str, key: str = key) -> str:
                names = {"sender": sender, "model": usage.model, "session": key}
                return names[by] if by in names else turn.time.date().isoformat()

            turns = self.session(info.key).turns(epoch="all", variants=True)
            await add_up(turns, name, spent, since)
        return spent

    async def unanswered(
        self, *, prefix: str = "", max_age: timedelta | None = None
    ) -> list[Unanswered]:
        """Return the stored questions that no process is answering, the oldest first.

        These are messages that an adapter's handler, or in a storage for several processes an
        open reply, had in hand when its process died or stopped. The adapters handle them again
        at their next start, see `turnkeep.adapter.RecorderOptions`. `prefix` is the beginning of
        a key. Older ones than `max_age` are left out.
        """
        return await unanswered(self.desk, prefix=prefix, max_age=max_age)

    async def forget_sender(
        self, sender_id: str | int, *, prefix: str = "", search: bool = True
    ) -> Receipt:
        """Delete for good all that one person wrote, its answers and quotes, in every session.

        `sender_id` is the platform's. Give the platform's `prefix` too, such as `"telegram:"`:
        another platform may use the same id for somebody else. A linked session has the key
        that it was linked to.

        Return a receipt: how many turns were deleted or lost a quote, by the text of each
        session's key, and what remains. Afterwards the words of the erased turns are searched for
        in all files of the storage, unless `search` is False. A session that can't be read or
        written does not stop the others: at the end `PartlyDoneError` names it, and has the
        receipt. A summary of the deleted turns stays, and the receipt names it;
        `clear(erase=True)` deletes it too.
        """
        erased: dict[str, int] = {}
        texts = Texts()
        failed: dict[SessionKey, StorageError | None] = {}
        async for info in Sessions(self.desk, prefix):
            try:
                gone = await forget_sender(Conversation(self.desk, info.key), str(sender_id))
                if gone:
                    erased[info.key.text] = len(gone)
                    texts.add(gone)
            except StorageError as error:
                failed[info.key] = error
        # The list leaves out sessions whose record can't be read.
        async with self.desk.use() as storage:
            found = await storage.find_all([str(sender_id)], prefix=prefix)
            failed |= {key: None for key in found.unread if key not in failed}
            infos = [await self.desk.info(SessionKey.parse(text)) for text in erased]
            there = [info for info in infos if info is not None]
            report = await receipt(storage, erased, there, texts if search else None)
        if failed:
            causes = filter(None, failed.values())
            raise PartlyDoneError("forget_sender", [*failed], report) from next(causes, None)
        return report

    async def delete(self, source_id: str | int, *, prefix: str = "") -> int:
        """Delete for good every turn with this source id; return how many there were.

        It is for events that name a message and not its session. It looks through every session
        with the prefix, so give one. A session that can't be read does not stop the others: at
        the end `PartlyDoneError` names it.
        """
        count = 0
        async with self.desk.use(write=True) as storage:
            found = await storage.find_all(as_source_ids(source_id, ""), prefix=prefix)
        failed = [*found.unread]
        there: dict[SessionKey, list[Turn]] = {}
        for key, turn in found.turns:
            there.setdefault(key, []).append(turn)
        for key, turns in there.items():
            try:
                conversation = Conversation(self.desk, key)
                gone = await with_variants(self.desk, key, turns)
                deleted = await conversation.delete_all(gone)
                count += max(0, deleted - (len(gone) - len(turns)))
            except StorageError:
                failed.append(key)
        if failed:
            raise PartlyDoneError("delete", failed, count)
        return count

    async def forget(self, key: SessionKey | str, *, search: bool = True) -> Receipt:
        """Delete a session for good, with its record.

        Return a receipt, which is false if there was no session. Afterwards the words of its
        turns are searched for in all files of the storage, unless `search` is False. A session
        that can't be read is deleted too; then the receipt says that not all was searched for.

        Where an adapter fetches messages that are not stored (reply chains, threads), the time
        of the call is kept with the key: nothing older is fetched again.
        """
        key, texts, count = as_key(key), Texts(), 0
        info, unread = None, False
        try:
            info = await self.desk.info(key)
            if info is not None and search:
                async for turn in self.session(key).turns(epoch="all"):
                    texts.add([turn])
        except StorageError:  # a session that can't be read can be forgotten
            unread = True
        async with self.desk.use(key, write=True) as storage:
            is_fetched = fetches(info) or await fetched_since(storage, key) is not None
            forgotten = await storage.forget(key)
            if is_fetched:
                await end_fetching(storage, key if info is None else info.key)
            count = info.turns if info is not None else 0
            erased = {key.text if info is None else info.key.text: count} if forgotten else {}
            report = await receipt(storage, erased, (), texts if search else None, unread=unread)
        if info is not None:
            self.desk.tails.forget(info.generation)
            self.desk.remembered.forget(info.generation)
            self._consolidations.lengths.forget(info.key)
        return report


class Session(BaseSession):
    """A handle on one session. `SessionStore.session` makes it, without I/O.

    In a bot's handler it is bound to the message in hand, its `turn`. Then the window ends with
    that message, and the reply answers it. Many tasks may use a handle at once.
    """

    store: SessionStore
    """The store that this session is in."""

    def __init__(self, store: SessionStore, conversation: Conversation) -> None:
        super().__init__(conversation)
        self.store = store

    async def fork(self, *, at: Turn | int | str, to: SessionKey | str) -> Session:
        """Copy the conversation up to a turn into another session, and return that.

        `at` is a turn, its id, or a source id. Its epoch is copied from its beginning, in one
        step, behind the turns that the other session may have. Of several answers to a question
        it has the one that was shown then, or that `at` is a part of. Both go on by themselves.
        Raises `InvalidTurnError` if there is no such turn, or if `to` is this session.
        """
        key = as_key(to)
        turn = await self._stored(at)
        if turn is None:
            raise InvalidTurnError(f"session {self.key}: there is no turn {at!r:.80} to fork at")
        await fork(self._conversation, turn, key)
        return self.store.session(key)


def as_key(key: SessionKey | str) -> SessionKey:
    return key if isinstance(key, SessionKey) else SessionKey.parse(key)
