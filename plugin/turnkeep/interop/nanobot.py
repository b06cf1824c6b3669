"""nanobot's session store over turnkeep.

::

    with NanobotStore("sqlite:bot.db") as store:
        AgentLoop(…, session_manager=SessionManager(workspace, store=store))

nanobot calls its store without `await`. So turnkeep's store runs on a thread of its own here.
"""

from __future__ import annotations

import copy
import json
from collections.abc import Coroutine, Sequence
from contextlib import ExitStack
from datetime import datetime
from threading import Lock
from types import TracebackType
from typing import Any, Final, Self, TypeVar

from anyio.from_thread import BlockingPortal, start_blocking_portal

from .._errors import InvalidMetadataError, MissingExtraError
from .._records.info import SessionInfo as Record
from .._records.key import foreign_key
from .._session.reading import turn_at
from .._store import Session as TurnkeepSession
from .._store import SessionStore
from ._conversation import made_turn, store
from ._nanobot_rows import STATE, Written, differing, in_order, is_hidden, turn_of

try:
    from nanobot.providers.base import (  # pyright: ignore[reportMissingTypeStubs]
        ProviderConversationState,
    )
    from nanobot.session.manager import (  # pyright: ignore[reportMissingTypeStubs]
        Session,
        SessionInfo,
        SessionMetadataPayload,
        SessionPayload,
    )
except ModuleNotFoundError as _missing:
    raise MissingExtraError(__name__, "nanobot", "nanobot-ai") from _missing

__all__ = ["NanobotStore"]

_CHANNEL: Final = "nanobot"
"""The channel of sessions whose keys have no colon, such as `heartbeat`."""

_STATE: Final = "nanobot"
"""The name, in a session's metadata, of nanobot's own fields."""

_PREVIEW: Final = 120
T = TypeVar("T")


class NanobotStore:
    """The store that `nanobot.session.manager.SessionManager(…, store=…)` takes.

    `where` and the options are those of `SessionStore`. `with` opens it, or its first use; then
    call `close()`. One instance serves all threads.

    A save appends the messages that are new. An empty session begins a new epoch: the old turns
    stay in the store, and neither nanobot nor a window shows them. nanobot's metadata may be
    larger than turnkeep's: what is over its limit stands in a hidden turn, of at most
    `max_turn_bytes`.
    """

    def __init__(self, where: Any, **options: Any) -> None:
        self.store: SessionStore = SessionStore(where, **options)
        self._stack = ExitStack()
        self._lock = Lock()
        """One call at a time: a save is several steps."""

        self._portal: BlockingPortal | None = None
        self._written: dict[str, Written] = {}

    def __enter__(self) -> Self:
        self.run(_nothing())
        return self

    def __exit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        traceback: TracebackType | None,
    ) -> None:
        self.close()

    def close(self) -> None:
        """Close the store, after all that was saved is stored."""
        with self._lock:
            portal, self._portal = self._portal, None
            with self._stack:
                if portal is not None:
                    portal.call(self.store.aclose)

    def run(self, work: Coroutine[Any, Any, T]) -> T:
        """Run a coroutine where the store lives, and wait for it."""

        async def awaited() -> T:
            return await work

        with self._lock:
            try:
                return self._opened().call(awaited)
            finally:
                work.close()

    def _opened(self) -> BlockingPortal:
        if self._portal is None:
            portal = self._stack.enter_context(start_blocking_portal())
            try:
                portal.call(self.store.__aenter__)
            except BaseException:  # Ctrl-C too: the thread of a portal must end
                self._stack.close()
                raise
            self._portal = portal
        return self._portal

    # nanobot's protocol.

    def load(self, key: str) -> Session | None:
        """Return the session with all its messages, or None."""
        return self.run(self._load(key))

    def save(self, session: Session, *, fsync: bool = False) -> None:
        """Store what differs from the last save. `durability` says what survives, not `fsync`."""
        del fsync
        self.run(self._save(session))

    def delete(self, key: str) -> bool:
        """Delete a session for good; return True if there was one."""
        self._written.pop(key, None)
        return bool(self.run(self.store.forget(foreign_key(key, _CHANNEL))))

    def read(self, key: str) -> SessionPayload | None:
        """Return the session as JSON, or None."""
        session = self.load(key)
        if session is None:
            return None
        return {
            "key": key,
            "created_at": session.created_at.isoformat(),
            "updated_at": session.updated_at.isoformat(),
            "metadata": session.metadata,
            "messages": session.messages,
        }

    def read_metadata(self, key: str) -> SessionMetadataPayload | None:
        """Return the session's metadata, or None."""
        return self.run(self._read_metadata(key))

    def update_metadata(self, key: str, updates: dict[str, Any], *, fsync: bool = False) -> bool:
        """Replace some of the metadata; return False if there is no such session."""
        del fsync
        return self.run(self._update_metadata(key, updates))

    def list_sessions(self) -> list[SessionInfo]:
        """Return all sessions, the last written first."""
        return self.run(self._list())

    # What the thread does.

    async def _load(self, key: str) -> Session | None:
        written = await self._stored(key)
        if written is None:
            return None
        info, state = written.info, written.state
        return Session(
            key=key,
            messages=copy.deepcopy([row for row, _ in written.rows]),
            created_at=_naive(state.get("created_at"), info.created_at),
            updated_at=_naive(state.get("updated_at"), info.updated_at),
            metadata=copy.deepcopy(state["metadata"]),
            last_consolidated=state.get("last_archived", 0),
            provider_state=ProviderConversationState.from_private_record(
                state.get("provider_state")
            ),
        )

    async def _save(self, session: Session) -> None:
        there = self._session(session.key)
        new: list[dict[str, Any]] = json.loads(json.dumps(session.messages))
        written = await self._stored(session.key)
        old = [] if written is None else written.rows
        first, last = differing([row for row, _ in old], new)
        rows, gone, added = old, old[first : len(old) - last], new[first : len(new) - last]
        if old and not new:
            await there.clear()
            rows = []
        elif not gone and last and all(map(is_hidden, added)):
            # A summary's mark, which stands in front of what was said last.
            before = old[len(old) - last][1]
            turns = await store(there, [turn_of(there, row, before) for row in added])
            marks = [(row, turn.id) for row, turn in zip(added, turns, strict=True)]
            rows = [*old[:first], *marks, *old[first:]]
        elif gone or added:
            # First what is new: a crash in between repeats messages, and loses none.
            turns = await store(there, [turn_of(there, row) for row in new[first:]])
            if first < len(old):
                async with self.store.desk.use(there.key, write=True) as storage:
                    await storage.delete(there.key, [id for _, id in old[first:]])
            ids = [(row, turn.id) for row, turn in zip(new[first:], turns, strict=True)]
            rows = [*old[:first], *ids]
        provider = session.provider_state
        state = {
            "key": session.key,
            "created_at": session.created_at.isoformat(),
            "updated_at": session.updated_at.isoformat(),
            "metadata": session.metadata,
            "last_archived": session.last_archived,
            "provider_state": None if provider is None else provider.to_private_record(),
        }
        beside = None if written is None else written.beside
        beside = await self._put_state(there, json.loads(json.dumps(state)), beside)
        await self._fold(there, session, rows)
        info = await there.info()
        assert info is not None
        self._written[session.key] = Written(info, rows, state, beside)

    async def _fold(
        self, there: TurnkeepSession, session: Session, rows: Sequence[tuple[object, int]]
    ) -> None:
        """Let windows show nanobot's summary in place of what it has archived."""
        summary = session.metadata.get("_last_summary")
        text = summary.get("text") if isinstance(summary, dict) else None
        folded = rows[: session.last_archived]
        info = await there.info()
        if info is None or not folded or not isinstance(text, str) or not text.strip():
            return
        up_to = max(id for _, id in folded)
        if up_to > info.last_consolidated:
            async with self.store.desk.use(there.key, write=True) as storage:
                await storage.consolidate(there.key, up_to, text, expected=info.expected())

    async def _stored(self, key: str) -> Written | None:
        """Return the session as it is stored."""
        there = self._session(key)
        info = await there.info()
        if info is None:
            return None
        state, beside = await self._state(there, info)
        known = self._written.get(key)
        if known is not None and known.is_now(info):
            rows = known.rows
        else:
            rows = in_order([turn async for turn in there.turns()])
        state.setdefault("last_archived", sum(id <= info.last_consolidated for _, id in rows))
        self._written[key] = written = Written(info, rows, state, beside)
        return written

    async def _state(
        self, there: TurnkeepSession, info: Record
    ) -> tuple[dict[str, Any], int | None]:
        """Return nanobot's own fields of a session, and the id of the turn that holds them."""
        state = info.metadata.get(_STATE)
        if not isinstance(state, dict):  # written by another program: what it says of itself
            return {"metadata": info.metadata}, None
        beside = state.get("beside")
        if not isinstance(beside, int):
            return {"metadata": {}, **state}, None
        turn = await turn_at(self.store.desk, there.key, beside)
        held = None if turn is None else turn.extra.get(STATE)
        return {"metadata": {}, **(held if isinstance(held, dict) else {})}, beside

    async def _put_state(
        self, there: TurnkeepSession, state: dict[str, Any], old: int | None
    ) -> int | None:
        """Store nanobot's fields: as metadata, or in a turn beside it if they are too large."""
        beside: int | None = None
        try:
            await there.update_metadata({_STATE: state})
        except InvalidMetadataError:
            kept = made_turn(there, "system", "", hidden=True, extra={STATE: state})
            (turn,) = await store(there, [kept])
            beside = turn.id
            await there.update_metadata({_STATE: {"key": state["key"], "beside": beside}})
        if old is not None:
            await there.delete(old)
        return beside

    async def _read_metadata(self, key: str) -> SessionMetadataPayload | None:
        there = self._session(key)
        info = await there.info()
        if info is None:
            return None
        state, _ = await self._state(there, info)
        return {
            "key": key,
            "created_at": _naive(state.get("created_at"), info.created_at).isoformat(),
            "updated_at": _naive(state.get("updated_at"), info.updated_at).isoformat(),
            "metadata": state["metadata"],
        }

    async def _update_metadata(self, key: str, updates: dict[str, Any]) -> bool:
        there = self._session(key)
        info = await there.info()
        if info is None:
            return False
        state, beside = await self._state(there, info)
        state = {"key": key, **state, "metadata": {**state["metadata"], **updates}}
        await self._put_state(there, json.loads(json.dumps(state)), beside)
        return True

    async def _list(self) -> list[SessionInfo]:
        found: list[SessionInfo] = []
        for info in await self.store.list_sessions(limit=None):
            there = self.store.session(info.key)
            state, _ = await self._state(there, info)
            title = state["metadata"].get("title")
            preview = ""
            async for turn in there.turns():
                if turn.role == "user" and not turn.hidden:
                    preview = " ".join(turn.text.split())[:_PREVIEW]
                    break
            found.append(
                {
                    "key": state.get("key") or info.key.text.removeprefix(f"{_CHANNEL}:"),
                    "created_at": _naive(state.get("created_at"), info.created_at).isoformat(),
                    "updated_at": _naive(state.get("updated_at"), info.updated_at).isoformat(),
                    "title": title if isinstance(title, str) else "",
                    "preview": preview,
                    "path": "",
                }
            )
        return found

    def _session(self, key: str) -> TurnkeepSession:
        return self.store.session(foreign_key(key, _CHANNEL))


def _naive(given: object, default: datetime) -> datetime:
    """Return a naive local time, as nanobot has them."""
    try:
        return datetime.fromisoformat(str(given))
    except ValueError:
        return default.astimezone().replace(tzinfo=None)


async def _nothing() -> None:
    """Only open the store."""
