"""The verbs, each of them a piece of work for one of two threads.

One thread changes sessions and reads their ends. The other one looks through many, so that a
search or a long list holds up no chat.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from datetime import datetime
from functools import partial
from pathlib import Path
from typing import Any, Literal, TypeVar

from anyio import Event, to_thread

from ..._errors import ReadOnlyError
from ..._records.key import SessionKey
from ..._records.turn import Turn
from ..base import (
    Appended,
    Capabilities,
    Change,
    Claim,
    Expected,
    Found,
    Hit,
    Page,
    SessionInfo,
    Snapshot,
    TurnRef,
)
from ..rules import SingleChanges
from . import _changes, _claims, _looking, _moving
from ._appending import AppendOp
from ._connect import Place
from ._engine import Engine, SessionsOp
from ._index import Kind
from ._lane import Lane
from ._reader import Bring, Reader
from ._sessions import Sessions

T = TypeVar("T")


class SqliteStorage(SingleChanges):
    """All sessions in one SQLite file, which several processes may have open.

    `durability` is "os" (an append survives the process) or "disk" (it survives the machine).
    With `read_only` nothing is stored. `lock_timeout` is how many seconds a verb waits for
    another process that writes, or for a reader that keeps erased bytes in the log. `search`
    chooses the word index: "words", "trigram" (parts of words too) or "none"; None keeps the
    file's own, which is "words" for a new one. Another choice makes the index again at opening.
    """

    def __init__(
        self,
        path: str | Path,
        *,
        durability: Literal["os", "disk"] = "os",
        read_only: bool = False,
        lock_timeout: float = 30,
        search: Kind | None = None,
    ) -> None:
        self._place = Place(Path(path), durability, read_only, lock_timeout, search)
        self._engine = Engine(self._place)
        self._reader = Reader(self._place, self._engine)
        self._writing = Lane("turnkeep-sqlite-writer", self._engine)
        self._looking = Lane("turnkeep-sqlite-reader", self._reader)

    def __repr__(self) -> str:
        """Return the place, as a URL."""
        return f"SqliteStorage({str(self._place.path)!r})"

    @property
    def capabilities(self) -> Capabilities:
        """The promises of this storage."""
        return Capabilities(shared=True, search=self._place.search != "none")

    async def open(self) -> None:
        self._engine.ask_to_bring = lambda: self._looking.post(Bring())
        await self._writing.open()
        try:
            await self._looking.open()
        except BaseException:  # cancelled, too: nobody closes what did not open
            await self._writing.aclose()
            raise

    async def aclose(self) -> None:
        await self._looking.aclose()
        await self._writing.aclose()

    async def append(
        self,
        key: SessionKey,
        turns: Sequence[Turn],
        *,
        expected: Expected | None = None,
        dedupe: bool = True,
        at: TurnRef | None = None,
    ) -> Appended | None:
        if self._place.read_only:
            raise self._refusal(key)
        op = AppendOp(key=key, turns=turns, expected=expected, dedupe=dedupe, at=at)
        appended: Appended | None = await self._writing.run(op)
        return appended

    async def restore(self, info: SessionInfo, turns: Sequence[Turn]) -> bool:
        return await self._change(partial(_changes.restore, info=info, turns=turns), info.key)

    async def aliases(self, *, prefix: str = "") -> dict[SessionKey, SessionKey]:
        return await self._look(partial(_looking.aliases, prefix=prefix))

    async def read(
        self,
        key: SessionKey,
        *,
        after: int = 0,
        before: int | None = None,
        limit: int | None = None,
        newest: bool = True,
    ) -> Snapshot:
        held = self._engine.held(key.text)
        if held is not None:
            found = held.snapshot(after, before, limit, newest)
            if found is not None:
                return found
        verb = partial(
            Sessions.read_end, key=key, after=after, before=before, limit=limit, newest=newest
        )
        return await self._run(self._writing, verb, writes=False)

    async def find(self, key: SessionKey, source_id: str) -> Turn | None:
        return await self._look(partial(_looking.find, key=key, source_id=source_id))

    async def find_all(
        self, source_ids: Sequence[str], *, prefix: str = "", since: datetime | None = None
    ) -> Found:
        verb = partial(_looking.find_all, source_ids=source_ids, prefix=prefix, since=since)
        return await self._look(verb)

    async def change(
        self,
        key: SessionKey,
        changes: Mapping[int, Change | None],
        *,
        expected: Expected | None = None,
    ) -> list[Turn]:
        verb = partial(_changes.change, key=key, changes=dict(changes), expected=expected)
        return await self._change(verb, key)

    async def clear(
        self, key: SessionKey, *, erase: bool = False, expected: Expected | None = None
    ) -> bool:
        verb = partial(_changes.clear, key=key, erase=erase, expected=expected)
        return await self._change(verb, key)

    async def consolidate(
        self, key: SessionKey, last_consolidated: int, summary: str, *, expected: Expected
    ) -> bool:
        verb = partial(
            _changes.consolidate,
            key=key,
            last_consolidated=last_consolidated,
            summary=summary,
            expected=expected,
        )
        return await self._change(verb, key)

    async def update_metadata(
        self, key: SessionKey, changes: Mapping[str, Any]
    ) -> Mapping[str, Any]:
        return await self._change(partial(_changes.update_metadata, key=key, changes=changes), key)

    async def sessions(
        self,
        *,
        prefix: str = "",
        limit: int | None = None,
        after: SessionInfo | None = None,
        order: Literal["written", "key"] = "written",
        metadata: bool = True,
    ) -> Page:
        verb = partial(
            _looking.listed,
            prefix=prefix,
            limit=limit,
            after=after,
            order=order,
            metadata=metadata,
        )
        return await self._look(verb)

    async def rename(self, old: SessionKey, new: SessionKey) -> None:
        await self._change(partial(_moving.rename, old=old, new=new), old)

    async def unlink(self, alias: SessionKey) -> bool:
        return await self._change(partial(_moving.unlink, alias=alias), alias)

    async def forget(self, key: SessionKey) -> bool:
        return await self._change(partial(_moving.forget, key=key), key)

    async def files(self) -> list[str]:
        # A link, and the file that it leads to, may have copies beside them.
        paths = {self._place.path.absolute(), self._place.file}
        return await to_thread.run_sync(
            lambda: sorted(
                {
                    str(one)
                    for path in paths
                    for one in path.parent.iterdir()
                    if one.name.startswith(path.stem) and one.is_file()
                }
            )
        )

    async def claim(
        self,
        key: SessionKey,
        name: str,
        *,
        owner: str,
        ttl: float,
        payload: Mapping[str, Any] | None = None,
    ) -> Claim | None:
        verb = partial(
            _claims.take,
            key=key,
            name=name,
            owner=owner,
            ttl=ttl,
            payload=None if payload is None else dict(payload),
        )
        return await self._change(verb, key)

    async def renew(
        self, claim: Claim, *, ttl: float, payload: Mapping[str, Any] | None = None
    ) -> bool:
        verb = partial(_claims.renew, claim=claim, ttl=ttl, payload=payload)
        return await self._change(verb, claim.key)

    async def release(self, claim: Claim) -> bool:
        return await self._change(partial(_claims.release, claim=claim), claim.key)

    async def claims(
        self, *, key: SessionKey | None = None, prefix: str = "", expired: bool | None = None
    ) -> list[Claim]:
        return await self._look(partial(_claims.listed, key=key, prefix=prefix, expired=expired))

    async def search(
        self,
        text: str,
        *,
        prefix: str = "",
        sender_id: str | None = None,
        after: datetime | None = None,
        limit: int = 20,
    ) -> list[Hit]:
        verb = partial(
            _looking.search,
            text=text,
            prefix=prefix,
            sender_id=sender_id,
            after=after,
            limit=limit,
        )
        return await self._look(verb)

    # The two threads.

    async def _change(self, verb: Callable[[Sessions], T], key: SessionKey) -> T:
        if self._place.read_only:
            raise self._refusal(key)
        return await self._run(self._writing, verb, writes=True)

    async def _look(self, verb: Callable[[Sessions], T]) -> T:
        return await self._run(self._looking, verb, writes=False)

    async def _run(self, lane: Lane, verb: Callable[[Sessions], T], *, writes: bool) -> T:
        # It may have to wait for longer than the appends of the same moment.
        result: T = await lane.run(SessionsOp(verb=verb, writes=writes, event=Event()))
        return result

    def _refusal(self, key: SessionKey) -> ReadOnlyError:
        return ReadOnlyError(
            f"session {key}: {self._place.path} was opened with read_only=True; open another "
            "store without it to write"
        )
