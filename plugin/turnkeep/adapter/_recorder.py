"""The recording of a platform's messages, the same for every platform."""

from __future__ import annotations

import logging
from collections.abc import Awaitable, Callable, Collection, Container, Mapping
from datetime import datetime, timedelta, timezone
from functools import partial
from typing import Any, Final, Literal, NamedTuple, TypeAlias, TypedDict
from weakref import WeakValueDictionary

from anyio import Lock

from .._errors import LostAcknowledgementError, TurnkeepError, kind_of
from .._records.key import SessionKey
from .._records.quote import reply_to
from .._records.turn import Sender, Turn
from .._session.conversation import Conversation
from .._store import SessionStore
from ._bounds import MAX_WAITING, Bounds, RateLimit, Refused, in_english
from ._chain import Chained
from ._changes import Changes
from ._chat import FAILURES, ChatSession
from ._content import cut_to_fit
from ._earlier import EarlierMessages
from ._later import ChainedOwing, Later, Owing
from ._outlet import Outlet
from ._overlap import Busy, Overlap
from ._owed import Debts, debts_of
from ._places import Places
from ._reset import ResetPolicy
from ._resume import RESUME, Resumer, TooOld
from ._sent import AS_SENT

__all__ = ["Edits", "OnStorageError", "Quoted", "Recorder", "RecorderOptions", "ToHandle"]

Edits: TypeAlias = Literal["update", "ignore"]
OnStorageError: TypeAlias = Literal["raise", "later"]

logger: Final = logging.getLogger("turnkeep")


class Quoted(NamedTuple):
    """The message that another one repeats, and its author, as far as they are known."""

    source_id: str | None
    sender_id: str | None


class ToHandle(NamedTuple):
    """A message to handle again: the bot's name, and the update as JSON."""

    by: str
    update: Mapping[str, Any]


class RecorderOptions(TypedDict, total=False):
    """The options that every adapter has, and their defaults.

    - `busy` (`"parallel"`) and `debounce` (0, in seconds): see `Overlap`.
    - `max_waiting` (20): the most messages of a session that wait under `busy="queue"`, and the
      most commands that wait for their turn. A message more is recorded, and not answered.
    - `limit` (None): the most answers that one person gets, `RateLimit(20,
      per=timedelta(minutes=1))`. What they write beyond it is recorded, and not answered.
    - `refused`: what the bot says to a person whose message is not answered for one of these
      reasons, once until they get an answer again. A text, or a function of the `Refusal`.
    - `reset` (None): the rule by which a conversation starts over by itself, see `ResetPolicy`.
    - `edits` (`"update"`): edits on the platform change the history; with `"ignore"` they don't.
    - `delete_answers` (True): a message that is deleted on the platform takes its answer with it,
      unless the answer is to other messages, too. The bot's own message stays in the chat.
    - `on_storage_error` (`"raise"`): a storage error is raised to the framework, and the message
      is not handled. With `"later"` the error is logged, the message is answered without
      history, and recorded when the storage works again. Until then it is in memory, and lost
      with the process.
    - `resume` (15 minutes): the age up to which a message is handled again after a crash or a
      restart has cut its handler off: at the next start, or by another process with the same
      storage, at most twice. `timedelta(0)` switches it off.
    - `too_old` (None): a function that is called with each older question
      (`turnkeep.Unanswered`), and with each one that was handled again twice. Without it, a
      warning is logged.
    - `ignore` (none): the ids, as whole numbers, of users and chats that are never recorded. A
      set may change later.
    """

    busy: Busy
    debounce: float
    max_waiting: int
    limit: RateLimit | None
    refused: Refused
    reset: ResetPolicy | None
    edits: Edits
    delete_answers: bool
    on_storage_error: OnStorageError
    ignore: Container[int]
    resume: timedelta
    too_old: TooOld | None


class Recorder:
    """The recorder of one platform's messages."""

    def __init__(
        self,
        store: SessionStore,
        *,
        busy: Busy = "parallel",
        debounce: float = 0,
        max_waiting: int = MAX_WAITING,
        limit: RateLimit | None = None,
        refused: Refused = in_english,
        reset: ResetPolicy | None = None,
        edits: Edits = "update",
        delete_answers: bool = True,
        on_storage_error: OnStorageError = "raise",
        ignore: Container[int] = (),
        resume: timedelta = RESUME,
        too_old: TooOld | None = None,
    ) -> None:
        if not isinstance(store, SessionStore):
            raise TypeError(
                f"a SessionStore is needed here, not {kind_of(store)}: write "
                "SessionStore('./sessions')"
            )
        if edits not in ("update", "ignore"):
            raise ValueError(f"edits is 'update' or 'ignore', not {edits!r}")
        if on_storage_error not in ("raise", "later"):
            raise ValueError(f"on_storage_error is 'raise' or 'later', not {on_storage_error!r}")
        self.store = store
        self._later = Later(store) if on_storage_error == "later" else None
        bounds = Bounds(max_waiting, limit, refused)
        self.overlap: Overlap = Overlap(busy, debounce=debounce, bounds=bounds)
        self._reset = reset
        self._edits = edits
        self._ignore = ignore
        self._locks: WeakValueDictionary[str, Lock] = WeakValueDictionary()
        self._places = Places()
        self._changes = Changes(store, self._places, delete_answers=delete_answers)
        self.earlier: EarlierMessages = EarlierMessages(store, self._places)
        self._resume = resume
        self._too_old = too_old
        self.debts: Debts = debts_of(store.desk)

    def resumer(
        self, by: str, handle: Callable[[Mapping[str, Any]], Awaitable[None]]
    ) -> Resumer | None:
        """Return what handles a bot's owed questions again, or None with `resume=timedelta(0)`."""
        if not self._resume:
            return None
        age, late = self._resume, self._too_old
        return Resumer(self.store, by, handle, max_age=age, too_old=late)

    async def owe(self, session: ChatSession, to_handle: ToHandle) -> None:
        """Keep what is needed to handle the message in hand again, until its handler has ended.

        Nothing is kept of a message that is answered, or waits for a failing storage.
        """
        if self._resume and session.conversation.desk is self.store.desk:
            await self.debts.begin(session, *to_handle)
        elif session.turn is not None and session.turn.source_id is not None:
            await self.debts.withdraw(session.turn.source_id)

    async def announce(self, key: SessionKey, source_id: str, to_handle: ToHandle) -> None:
        """Keep what is needed to handle a message before it is recorded; `owe` goes on with it.

        It is for platforms that send a message only once. Nothing is kept of a message that this
        recorder knows.
        """
        if self._resume and self.key_of(source_id) is None:
            await self.debts.announce(key, source_id, *to_handle)

    def ignores(self, *ids: int | None) -> bool:
        """Return True if one of these users or chats is never recorded."""
        for one in ids:  # noqa: SIM110 (a generator costs three times as much at each event)
            if one is not None and one in self._ignore:
                return True
        return False

    def key_of(self, source_id: str) -> SessionKey | None:
        """Return the session of one of the latest messages, by its platform id."""
        return self._places.of(source_id)

    @property
    def needs_order(self) -> bool:
        """True if an adapter must bring a session's messages one after the other.

        It must if something is awaited before a message gets its place in the storage's order,
        or if handlers must begin in that order.
        """
        in_line = self.overlap.busy != "parallel" or self.overlap.debounce > 0
        return in_line or self._reset is not None or self._later is not None

    def session(
        self,
        key: SessionKey,
        outlet: Outlet | None = None,
        *,
        is_chained: bool = False,
        fetches: bool = False,
    ) -> ChatSession:
        """Return the session of this key, bound to no message.

        With `is_chained` its windows are chains of replies. `fetches` says that the adapter
        records earlier messages of the chat, which `/forget` then has to end.
        """
        conversation: Conversation | None = Chained(self.store.desk, key) if is_chained else None
        if self._later is not None:
            verbs = ChainedOwing if is_chained else Owing
            conversation = verbs(self.store.desk, key, self._later.owe)
        session = ChatSession(
            self.store,
            key,
            outlet=outlet,
            conversation=conversation,
            admission=self.overlap.admission(),
        )
        session.fetches = fetches or is_chained
        return session

    async def receive(
        self,
        session: ChatSession,
        content: object,
        *,
        source_id: str | None,
        sender: Sender,
        time: datetime | None = None,
        extra: Mapping[str, Any] | None = None,
        quoted: Quoted | None = None,
    ) -> ChatSession:
        """Record a user's message, and return the session bound to it.

        The message gets its place in the session before the first `await`. `quoted` names the
        message that the first line repeats (`[reply to Ada: …]`, see `note`). When that message
        is deleted, so is the repetition.
        """
        content = cut_to_fit(content, self.store.desk.max_turn_bytes)
        self._note(source_id, session.key, quoted, time)
        if quoted is not None:
            extra = {**(extra or {}), **reply_to(*quoted)}
        fields: dict[str, Any] = {
            "source_id": source_id,
            "sender": sender,
            "time": time,
            "extra": extra,
        }
        receive = self._receive if self._later is None else self._receive_now_or_later
        received = await receive(session, content, fields)
        if quoted is not None:  # a link may have led elsewhere
            self._note(None, received.conversation.key, quoted, time)
        return received

    async def _receive_now_or_later(
        self, session: ChatSession, content: object, fields: dict[str, Any]
    ) -> ChatSession:
        assert self._later is not None
        if self._later.holds(session.key):
            await self._later.settle()
        if not self._later.holds(session.key):
            try:
                received = await self._receive(session, content, fields)
            except FAILURES as error:
                if self._later.is_full:
                    raise
                logger.exception("%s: a message is answered now and recorded later", session)
                if isinstance(error, LostAcknowledgementError):
                    fields["token"] = error.token or ""  # it may be stored already
            else:
                await self._later.settle()
                return received
        return await self._later.receive(session, content, **fields)

    async def _receive(
        self, session: ChatSession, content: object, fields: dict[str, Any]
    ) -> ChatSession:
        if self._reset is None:
            received = await session.receive(content, **fields)
        else:
            received = await self._begin(self._reset, session, content, fields)
        source_id, key = fields["source_id"], received.conversation.key
        if source_id is not None and key is not session.key and key != session.key:
            self._places.move(source_id, session.key, key)
        return received

    async def _begin(
        self, policy: ResetPolicy, session: ChatSession, content: object, fields: dict[str, Any]
    ) -> ChatSession:
        """Record a message, as the first one of a new epoch if that is due."""
        # Of two messages at once only one may end the silence, and start over.
        lock = self._locks.setdefault(session.key.text, Lock())
        async with lock:
            now = fields["time"] or datetime.now(timezone.utc)
            await self._begin_again(policy, session, fields["source_id"], now)
            return await session.receive(content, **fields)

    def _note(
        self,
        source_id: str | None,
        key: SessionKey,
        quoted: Quoted | None,
        time: datetime | None,
    ) -> None:
        """Remember where a message is, and what it repeats."""
        if source_id is not None:
            self._places.note(source_id, key)
        if quoted is not None and quoted.source_id is not None:
            now = datetime.now(timezone.utc)
            self._places.note_repetition(quoted.source_id, key, time or now)

    async def record_sent(
        self,
        key: SessionKey | str | None,
        content: object,
        *,
        source_id: str | None,
        text: str | None,
        time: datetime | None = None,
        quoted: Quoted | None = None,
    ) -> None:
        """Record a message that the bot sent: the model's own `text`, or the sent `content`.

        `quoted` is the message that it replies to. Raises `TurnkeepError` if the session is
        unknown.
        """
        if key is None:
            raise TurnkeepError(
                f"message {source_id}: here each user has their own session, and this message "
                "replies to no user: give record_sent key=…"
            )
        if quoted is not None:
            self._note(None, self.store.session(key).key, quoted, time)
        extra = {**(AS_SENT if text is None else {}), **(reply_to(*quoted) if quoted else {})}
        await self.store.session(key).append(
            "assistant",
            content if text is None else text,
            source_id=source_id,
            time=time,
            extra=extra,
        )

    async def aclose(self) -> None:
        """Record all that waits for the storage. Adapters call it before they leave the store."""
        if self._later is not None:
            await self._later.aclose()

    async def _begin_again(
        self, policy: ResetPolicy, session: ChatSession, source_id: str | None, now: datetime
    ) -> None:
        """Clear the session if it is due; of several processes only one does."""
        latest = await session.latest()
        if latest is None or not policy.is_due(latest.time, now):
            return
        # A late second delivery of an old message starts nothing.
        if source_id is None or await session.find(source_id) is None:
            await session.conversation.begin_again(lambda turn: policy.is_due(turn.time, now))

    async def find(self, session: ChatSession, source_id: str) -> Turn | None:
        """Return a recorded message; None if there is none, or while the storage fails."""
        try:
            return await session.find(source_id)
        except FAILURES:
            if self._later is None:
                raise
            return None

    async def edit(self, source_id: str, content: object, key: SessionKey | None) -> None:
        """Edit a message in the history, if it is there.

        `key` is its session, or None if the event does not name it. The lines of turns that
        reply to it repeat its new beginning.
        """
        if self._edits != "update":
            return
        content = cut_to_fit(content, self.store.desk.max_turn_bytes)
        if self._later is not None:
            await self._later.edit(source_id, content)
        await self._change(partial(self._changes.edit, source_id, content, key))

    async def delete(
        self,
        source_ids: Collection[str],
        *,
        key: SessionKey | None = None,
        among: Callable[[SessionKey], bool] | None = None,
        since: datetime | None = None,
    ) -> None:
        """Delete messages for good that were deleted on the platform, and their repetitions.

        `key` is their session, if the event names it. Other sessions may have or repeat them
        too: `among` returns True for the keys of those. Where this recorder has recorded all of
        the messages lately, it knows these sessions. Otherwise `among` is called for every
        session of the store that was written to after `since`, the time of the oldest message.
        """
        if self._later is not None:
            await self._later.delete(source_ids)
        await self.debts.forget(source_ids)
        change = partial(self._changes.delete, source_ids, key=key, among=among, since=since)
        await self._change(change)

    async def delete_all(self, begins: str) -> None:
        """Delete the messages of a chat that is gone: their source ids begin with `begins`."""
        await self._change(partial(self._changes.delete_all, begins))

    async def _change(self, change: Callable[[], Awaitable[None]]) -> None:
        try:
            await change()
        except FAILURES:
            if self._later is None or self._later.is_full:
                raise
            logger.exception("an edit or a deletion will be done later")
            self._later.owe_change(change)
