"""The verbs: what is asked of the server, and on which of three connections."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from datetime import datetime
from typing import Any, Final, Literal, TypeVar

import msgspec

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
from . import _changes, _moves
from ._appends import Append
from ._claims import CHANGE, TAKE, ClaimCall
from ._lane import Lane, Work
from ._link import Connection, Link
from ._place import Place
from ._queries import Queries
from ._rows import as_claim
from ._schema import prepare
from ._sessions import Sessions
from ._terms import Terms
from ._windows import Tails, Window

__all__ = ["PostgresqlStorage"]

T = TypeVar("T")

_CAPABILITIES: Final = Capabilities(shared=True, remote=True, erases=False, search=True)


class PostgresqlStorage(SingleChanges):
    """Sessions in a schema of a PostgreSQL database, for several processes and machines.

    `url` is `postgresql://user:password@host:port/database`, with libpq's parameters, and
    `schema` for the schema's name. Three connections serve a store: one for changes, in their
    order, one for windows, and one for reads over many sessions.

    - `durability`: with `"disk"` each change is on the server's disk when it is acknowledged;
      with `"os"` it is as durable as the server's own `synchronous_commit` says.
    - `read_only`: the schema is not made, and nothing is set aside.
    - `lock_timeout`: the seconds to wait for another transaction that holds a session.
    """

    def __init__(
        self,
        url: str,
        *,
        durability: Literal["os", "disk"] = "os",
        read_only: bool = False,
        lock_timeout: float = 30,
    ) -> None:
        self._place = Place.of(url)
        self._read_only = read_only
        # For PostgreSQL 0 is no limit.
        self._terms = Terms(durability == "disk", max(1, min(int(lock_timeout * 1000), 2**31 - 1)))
        self._changes = Lane(Link(self._place), "turnkeep-postgresql-changes")
        self._windows = Lane(Link(self._place), "turnkeep-postgresql-windows")
        self._scans = Lane(Link(self._place), "turnkeep-postgresql-scans")
        self._tails = Tails()

    def __repr__(self) -> str:
        return f"<PostgresqlStorage {self._place.name}>"

    @property
    def capabilities(self) -> Capabilities:
        return _CAPABILITIES

    async def open(self) -> None:
        for lane in (self._changes, self._windows, self._scans):
            lane.open()
        try:
            await self._changes.ask(
                Work(
                    lambda connection: prepare(
                        connection, self._place, self._terms, read_only=self._read_only
                    ),
                    changes=False,
                )
            )
        except BaseException:  # cancelled, too: nobody closes what did not open
            await self._changes.aclose()
            raise

    async def aclose(self) -> None:
        for lane in (self._changes, self._windows, self._scans):
            await lane.aclose()
        self._tails = Tails()

    # Changes.

    async def append(
        self,
        key: SessionKey,
        turns: Sequence[Turn],
        *,
        expected: Expected | None = None,
        dedupe: bool = True,
        at: TurnRef | None = None,
    ) -> Appended | None:
        append = Append(self._place, self._terms, key, turns, expected, dedupe=dedupe, at=at)
        done: Appended | None = await self._changes.ask(append)
        if done is not None and done.info is not None and all(done.new):
            self._tails.extend(key.text, done.info, done.turns)
        return done

    async def _change(self, work: Callable[[Sessions], T], *, alone: bool = False) -> T:
        place = self._place

        def run(connection: Connection) -> T:
            return work(Sessions(connection, place))

        request = Work(self._terms.transaction(place, run, alone=alone), changes=True)
        done: T = await self._changes.ask(request)
        return done

    async def restore(self, info: SessionInfo, turns: Sequence[Turn]) -> bool:
        return await self._change(lambda held: _changes.restore(held, info, turns))

    async def change(
        self,
        key: SessionKey,
        changes: Mapping[int, Change | None],
        *,
        expected: Expected | None = None,
    ) -> list[Turn]:
        return await self._change(lambda held: _changes.change(held, key, changes, expected))

    async def clear(
        self, key: SessionKey, *, erase: bool = False, expected: Expected | None = None
    ) -> bool:
        return await self._change(lambda held: _changes.clear(held, key, expected, erase=erase))

    async def consolidate(
        self, key: SessionKey, last_consolidated: int, summary: str, *, expected: Expected
    ) -> bool:
        return await self._change(
            lambda held: _changes.consolidate(held, key, last_consolidated, summary, expected)
        )

    async def update_metadata(
        self, key: SessionKey, changes: Mapping[str, Any]
    ) -> Mapping[str, Any]:
        return await self._change(lambda held: _changes.update_metadata(held, key, changes))

    async def rename(self, old: SessionKey, new: SessionKey) -> None:
        await self._change(lambda held: _moves.rename(held, old, new), alone=True)

    async def unlink(self, alias: SessionKey) -> bool:
        return await self._change(lambda held: _moves.unlink(held, alias), alone=True)

    async def forget(self, key: SessionKey) -> bool:
        forgotten = await self._change(lambda held: _moves.forget(held, key), alone=True)
        self._tails.drop(key.text)
        return forgotten

    # Reads.

    async def read(
        self,
        key: SessionKey,
        *,
        after: int = 0,
        before: int | None = None,
        limit: int | None = None,
        newest: bool = True,
    ) -> Snapshot:
        is_end = newest and before is None and after == 0 and limit is not None
        tail = self._tails.get(key.text) if is_end else None
        if tail is not None and not tail.complete and len(tail.turns) < (limit or 0):
            tail = None
        window = Window(self._place, key, after, before, limit, tail, newest=newest)
        found: Snapshot = await self._windows.ask(window)
        if window.damaged and not self._read_only:
            await self._change(lambda held: _changes.set_aside(held, key))
            return await self.read(key, after=after, before=before, limit=limit, newest=newest)
        if is_end and limit and found.info is not None:
            turns, complete = window.whole
            if tail is None or turns is not tail.turns:
                self._tails.keep(key.text, found.info, turns, complete=complete)
        return found

    async def _query(self, query: Callable[[Queries], T], *, scans: bool = True) -> T:
        place = self._place
        work = Work(lambda connection: query(Queries(connection, place)), changes=False)
        found: T = await (self._scans if scans else self._windows).ask(work)
        return found

    async def find(self, key: SessionKey, source_id: str) -> Turn | None:
        return await self._query(lambda queries: queries.find(key, source_id), scans=False)

    async def find_all(
        self, source_ids: Sequence[str], *, prefix: str = "", since: datetime | None = None
    ) -> Found:
        return await self._query(lambda queries: queries.find_all(source_ids, prefix, since))

    async def aliases(self, *, prefix: str = "") -> dict[SessionKey, SessionKey]:
        return await self._query(lambda queries: queries.aliases(prefix))

    async def sessions(
        self,
        *,
        prefix: str = "",
        limit: int | None = None,
        after: SessionInfo | None = None,
        order: Literal["written", "key"] = "written",
        metadata: bool = True,  # noqa: ARG002 - it costs nothing here
    ) -> Page:
        return await self._query(lambda queries: queries.sessions(prefix, limit, after, order))

    async def search(
        self,
        text: str,
        *,
        prefix: str = "",
        sender_id: str | None = None,
        after: datetime | None = None,
        limit: int = 20,
    ) -> list[Hit]:
        return await self._query(
            lambda queries: queries.search(text, prefix, sender_id, after, limit)
        )

    # Claims.

    async def files(self) -> list[str]:
        return []

    async def claim(
        self,
        key: SessionKey,
        name: str,
        *,
        owner: str,
        ttl: float,
        payload: Mapping[str, Any] | None = None,
    ) -> Claim | None:
        rows = await self._claim(TAKE, key, name, owner, ttl, payload)
        return as_claim(rows[0]) if rows else None

    async def renew(
        self, claim: Claim, *, ttl: float, payload: Mapping[str, Any] | None = None
    ) -> bool:
        ((done,),) = await self._claim(CHANGE, claim.key, claim.name, claim.owner, ttl, payload)
        return bool(done)

    async def release(self, claim: Claim) -> bool:
        ((done,),) = await self._claim(CHANGE, claim.key, claim.name, claim.owner, None, None)
        return bool(done)

    async def _claim(
        self,
        query: str,
        key: SessionKey,
        name: str,
        owner: str,
        ttl: float | None,
        payload: Mapping[str, Any] | None,
    ) -> list[tuple[Any, ...]]:
        given = None if payload is None else msgspec.json.encode(payload).decode()
        call = ClaimCall(self._place, self._terms, query, key, name, owner, ttl, given)
        rows: list[tuple[Any, ...]] = await self._changes.ask(call)
        return rows

    async def claims(
        self, *, key: SessionKey | None = None, prefix: str = "", expired: bool | None = None
    ) -> list[Claim]:
        return await self._query(lambda queries: queries.claims(key, prefix, expired))
