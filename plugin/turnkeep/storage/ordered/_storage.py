"""The verbs, each of them one transaction."""

from __future__ import annotations

from abc import abstractmethod
from collections.abc import Callable, Mapping, Sequence
from datetime import datetime
from typing import Any, Literal, TypeVar

from msgspec.structs import replace

from ..._errors import UnsupportedError
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
from ..rules import SingleChanges, merge_metadata
from ._pairs import Pairs, utc_now
from ._sessions import Sessions

T = TypeVar("T")


class OrderedStorage(SingleChanges):
    """Has all verbs of a storage, each of them one transaction over ordered pairs."""

    capabilities: Capabilities = Capabilities()

    @abstractmethod
    async def open(self) -> None:
        """Get hold of what the storage needs."""

    @abstractmethod
    async def aclose(self) -> None:
        """Let go, when all transactions have ended."""

    @abstractmethod
    async def transact(self, work: Callable[[Pairs], T]) -> T:
        """Call `work` with the pairs in one transaction, and return what it returns.

        Transactions take effect in the order in which `transact` was called, whole or, where
        `work` or the database raises, not at held. `work` blocks: call it in a thread. An
        error of the database is raised as a `StorageError`.
        """

    async def _transact(self, work: Callable[[Sessions], T]) -> T:
        return await self.transact(lambda pairs: work(Sessions(pairs)))

    async def append(
        self,
        key: SessionKey,
        turns: Sequence[Turn],
        *,
        expected: Expected | None = None,
        dedupe: bool = True,
        at: TurnRef | None = None,
    ) -> Appended | None:
        return await self._transact(lambda held: held.append(key, turns, expected, dedupe, at))

    async def restore(self, info: SessionInfo, turns: Sequence[Turn]) -> bool:
        return await self._transact(lambda held: held.restore(info, turns))

    async def aliases(self, *, prefix: str = "") -> dict[SessionKey, SessionKey]:
        return await self._transact(lambda held: held.aliases(prefix))

    async def read(
        self,
        key: SessionKey,
        *,
        after: int = 0,
        before: int | None = None,
        limit: int | None = None,
        newest: bool = True,
    ) -> Snapshot:
        def work(held: Sessions) -> Snapshot:
            session = held.get(key)
            if session is None:
                return Snapshot(None, [])
            most = None if limit is None else limit + 1
            turns = session.turns(after + 1, before, most, newest=newest)
            complete, page = limit is None or len(turns) <= limit, turns[:limit]
            return Snapshot(session.info, page[::-1] if newest else page, complete)

        return await self._transact(work)

    async def find(self, key: SessionKey, source_id: str) -> Turn | None:
        def work(held: Sessions) -> Turn | None:
            session = held.get(key)
            return session.named(f"source {source_id}") if session else None

        return await self._transact(work)

    async def find_all(
        self, source_ids: Sequence[str], *, prefix: str = "", since: datetime | None = None
    ) -> Found:
        return await self._transact(lambda held: held.find_all(source_ids, prefix))

    async def change(
        self,
        key: SessionKey,
        changes: Mapping[int, Change | None],
        *,
        expected: Expected | None = None,
    ) -> list[Turn]:
        def work(held: Sessions) -> list[Turn]:
            session = held.get(key, expected)
            return session.change(changes) if session else []

        return await self._transact(work)

    async def clear(
        self, key: SessionKey, *, erase: bool = False, expected: Expected | None = None
    ) -> bool:
        def work(held: Sessions) -> bool:
            session = held.get(key, expected)
            if session is None:
                return False
            gone = session.erase() if erase else []
            left, revision = session.info.turns - len(gone), session.info.revision + bool(gone)
            epoch = session.info.epoch + 1
            session.save(turns=left, revision=revision, epoch=epoch, summary=None)
            return True

        return await self._transact(work)

    async def consolidate(
        self, key: SessionKey, last_consolidated: int, summary: str, *, expected: Expected
    ) -> bool:
        def work(held: Sessions) -> bool:
            session = held.get(key, expected)
            reached = min(last_consolidated, session.info.last_id) if session else 0
            if session is None or reached <= session.info.last_consolidated:
                return False
            session.save(last_consolidated=reached, summary=summary)
            return True

        return await self._transact(work)

    async def update_metadata(
        self, key: SessionKey, changes: Mapping[str, Any]
    ) -> Mapping[str, Any]:
        def work(held: Sessions) -> Mapping[str, Any]:
            session = held.get_or_begin(key)
            metadata = merge_metadata(key, session.info.metadata, changes)
            session.save(metadata=metadata)
            return metadata

        return await self._transact(work)

    async def sessions(
        self,
        *,
        prefix: str = "",
        limit: int | None = None,
        after: SessionInfo | None = None,
        order: Literal["written", "key"] = "written",
        metadata: bool = True,
    ) -> Page:
        def place(info: SessionInfo) -> tuple[float, str]:
            return -info.updated_at.timestamp() if order == "written" else 0, info.key.text

        infos, _ = await self._transact(lambda held: held.infos(prefix))
        infos = sorted(infos, key=place)
        infos = [info for info in infos if after is None or place(info) > place(after)]
        page = infos[:limit] if metadata else [replace(one, metadata={}) for one in infos[:limit]]
        return Page(page, limit is None or len(infos) <= limit)

    async def rename(self, old: SessionKey, new: SessionKey) -> None:
        await self._transact(lambda held: held.rename(old, new))

    async def unlink(self, alias: SessionKey) -> bool:
        return await self._transact(lambda held: held.unlink(alias))

    async def forget(self, key: SessionKey) -> bool:
        return await self._transact(lambda held: held.forget(key))

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
        given = None if payload is None else dict(payload)
        return await self._transact(
            lambda held: held.claims.take(held.resolve(key), name, owner, ttl, given)
        )

    async def renew(
        self, claim: Claim, *, ttl: float, payload: Mapping[str, Any] | None = None
    ) -> bool:
        return await self._transact(
            lambda held: held.claims.renew(held.resolve(claim.key), claim, ttl, payload)
        )

    async def release(self, claim: Claim) -> bool:
        return await self._transact(
            lambda held: held.claims.release(held.resolve(claim.key), claim)
        )

    async def claims(
        self, *, key: SessionKey | None = None, prefix: str = "", expired: bool | None = None
    ) -> list[Claim]:
        now = utc_now()
        found = await self._transact(lambda held: held.claims.of(key and held.resolve(key)))
        found = [claim for claim in found if claim.key.text.startswith(prefix)]
        return [claim for claim in found if expired in (None, claim.expires_at <= now)]

    async def search(
        self,
        text: str,
        *,
        prefix: str = "",
        sender_id: str | None = None,
        after: datetime | None = None,
        limit: int = 20,
    ) -> list[Hit]:
        raise UnsupportedError(
            f"{self!r} has no index of words: look through `turns()`, or use a storage that has "
            "one, such as 'sqlite:'"
        )
