"""What an adapter does with the platform's events, whatever the platform."""

from __future__ import annotations

import logging
from collections.abc import Awaitable, Callable, Collection, Container, Mapping
from datetime import datetime, timezone
from functools import partial
from typing import Any, Final, Literal, NamedTuple, TypeAlias, TypedDict
from weakref import WeakValueDictionary

from anyio import Lock

from .._errors import TurnkeepError
from .._records.key import SessionKey
from .._records.quote import reply_to
from .._records.turn import Sender, Turn
from .._store import SessionStore
from ._changes import Changes, Places
from ._chat import FAILURES, ChatSession
from ._later import Later, Owing
from ._outlet import Outlet
from ._overlap import Busy, Overlap
from ._reset import ResetPolicy
from ._sent import AS_SENT

__all__ = ["Edits", "OnStorageError", "Quoted", "Recorder", "RecorderOptions"]

Edits: TypeAlias = Literal["update", "ignore"]
OnStorageError: TypeAlias = Literal["raise", "later"]

logger: Final = logging.getLogger("turnkeep")


class Quoted(NamedTuple):
    """A message that another one repeats the beginning of, and who wrote it, as far as known."""

    source_id: str | None
    sender_id: str | None


class RecorderOptions(TypedDict, total=False):
    """The options that every adapter has, and their defaults.

    `busy` ("parallel") and `debounce` (0, in seconds): see `Overlap`. `reset` (None): when a
    conversation begins anew by itself, see `ResetPolicy`. `edits` ("update"): whether an edit
    on the platform reaches the history, or `"ignore"`. `on_storage_error` ("raise"): whether a
    storage that fails is raised to the framework, and the message not handled; or, with
    `"later"`, logged, the message answered without history, and recorded when the storage
    works again (what waits is in memory, and lost with the process). `ignore` (none): the ids,
    as whole numbers, of users and chats of which nothing is recorded; a set may change later.
    """

    busy: Busy
    debounce: float
    reset: ResetPolicy | None
    edits: Edits
    on_storage_error: OnStorageError
    ignore: Container[int]


class Recorder:
    """Records the messages of one platform."""

    def __init__(
        self,
        store: SessionStore,
        *,
        busy: Busy = "parallel",
        debounce: float = 0,
        reset: ResetPolicy | None = None,
        edits: Edits = "update",
        on_storage_error: OnStorageError = "raise",
        ignore: Container[int] = (),
    ) -> None:
        if edits not in ("update", "ignore"):
            raise ValueError(f"edits is 'update' or 'ignore', not {edits!r}")
        if on_storage_error not in ("raise", "later"):
            raise ValueError(f"on_storage_error is 'raise' or 'later', not {on_storage_error!r}")
        self.store = store
        self._later = Later(store) if on_storage_error == "later" else None
        self.overlap: Overlap = Overlap(busy, debounce=debounce)
        self._reset = reset
        self._edits = edits
        self._ignore = ignore
        self._locks: WeakValueDictionary[str, Lock] = WeakValueDictionary()
        self._places = Places()
        self._changes = Changes(store, self._places)

    def ignores(self, *ids: int | None) -> bool:
        """Whether nothing is recorded of one of these users or chats."""
        return any(one is not None and one in self._ignore for one in ids)

    def key_of(self, source_id: str) -> SessionKey | None:
        """The session that one of the latest messages is in, by its platform id."""
        return self._places.of(source_id)

    @property
    def needs_order(self) -> bool:
        """Whether messages of a session have to come here one after the other.

        So it is where something is awaited before a message has its place in the storage's
        order, and where handlers are to begin in that order.
        """
        in_line = self.overlap.busy != "parallel" or self.overlap.debounce > 0
        return in_line or self._reset is not None or self._later is not None

    def session(self, key: SessionKey, outlet: Outlet | None = None) -> ChatSession:
        """The session of this key, bound to no message."""
        owing = None
        if self._later is not None:
            owing = Owing(self.store.desk, key, self._later.owe)
        return ChatSession(self.store, key, outlet=outlet, conversation=owing)

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
        """Records what a user wrote, and gives the session bound to it.

        Before the first `await` it has its place among the messages of its session. `quoted`
        says of which message the first line repeats something (`[reply to Ada: …]`, see
        `note`); it goes with that message.
        """
        if source_id is not None:
            self._places.note(source_id, session.key)
        if quoted is not None:
            extra = {**(extra or {}), **reply_to(*quoted)}
        fields = {"source_id": source_id, "sender": sender, "time": time, "extra": extra}
        if self._later is None:
            return await self._receive(session, content, fields)
        if self._later.holds(session.key):
            await self._later.settle()
        if not self._later.holds(session.key):
            try:
                received = await self._receive(session, content, fields)
            except FAILURES:
                if self._later.is_full:
                    raise
                logger.exception("%s: a message is answered now and recorded later", session)
            else:
                await self._later.settle()
                return received
        return await self._later.receive(session, content, **fields)

    async def _receive(
        self, session: ChatSession, content: object, fields: dict[str, Any]
    ) -> ChatSession:
        if self._reset is None:
            return await session.receive(content, **fields)
        # Two messages at once must not both find the silence, and begin anew twice.
        lock = self._locks.setdefault(session.key.text, Lock())
        async with lock:
            now = fields["time"] or datetime.now(timezone.utc)
            await self._begin_again(self._reset, session, fields["source_id"], now)
            return await session.receive(content, **fields)

    async def record_sent(
        self,
        key: SessionKey | str | None,
        content: object,
        *,
        source_id: str | None,
        text: str | None,
        time: datetime | None = None,
    ) -> None:
        """Records a message that the bot sent, as what the model said (`text`) or as it was sent.

        Raises `TurnkeepError` where nothing tells its session.
        """
        if key is None:
            raise TurnkeepError(
                f"message {source_id}: each user has a session of his own here, and this "
                "is no reply to one: give record_sent key=…"
            )
        await self.store.session(key).append(
            "assistant",
            content if text is None else text,
            source_id=source_id,
            time=time,
            extra=AS_SENT if text is None else None,
        )

    async def aclose(self) -> None:
        """Records what waits for the storage; an adapter calls it before it leaves the store."""
        if self._later is not None:
            await self._later.aclose()

    async def _begin_again(
        self, policy: ResetPolicy, session: ChatSession, source_id: str | None, now: datetime
    ) -> None:
        """Clears the session if it is due, once, also where several processes see that it is."""
        latest = await session.latest()
        if latest is None or not policy.is_due(latest.time, now):
            return
        # A message that is delivered again, late, begins nothing.
        if source_id is None or await session.find(source_id) is None:
            await session.conversation.begin_again(lambda turn: policy.is_due(turn.time, now))

    async def find(self, session: ChatSession, source_id: str) -> Turn | None:
        """What is recorded of a message, as far as the storage tells."""
        try:
            return await session.find(source_id)
        except FAILURES:
            if self._later is None:
                raise
            return None

    async def edit(self, source_id: str, content: object, key: SessionKey | None) -> None:
        """What was written is changed in the history; nothing, where it is not in it.

        `key` is the session it is in, None where the event does not tell. Turns that reply to
        it repeat its new beginning.
        """
        if self._edits != "update":
            return
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
        """What was deleted on the platform is deleted here, for good.

        Turns that reply to it repeat it no more. `key` is the session it is in, as far as the
        event tells. Where others may have it, or quote it, `among` says yes to their keys: it is
        asked for all of the store's that were written to after `since`, when the oldest of what
        was deleted was written.
        """
        if self._later is not None:
            await self._later.delete(source_ids)
        change = partial(self._changes.delete, source_ids, key=key, among=among, since=since)
        await self._change(change)

    async def delete_all(self, begins: str) -> None:
        """A chat is gone: what was said in it, whose source ids begin so, is deleted everywhere."""
        await self._change(partial(self._changes.delete_all, begins))

    async def _change(self, change: Callable[[], Awaitable[None]]) -> None:
        try:
            await change()
        except FAILURES:
            if self._later is None or self._later.is_full:
                raise
            logger.exception("an edit or a deletion is done later")
            self._later.owe_change(change)
