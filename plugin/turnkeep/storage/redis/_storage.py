"""The storage: its life, and its verbs, which are in the other files."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from datetime import datetime
from functools import partial
from typing import Any, Final, Literal

from ..._errors import UnsupportedError
from ..._loop import uninterrupted
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
from ._asking import Asking
from ._claiming import Claiming
from ._exchange import Exchange
from ._link import Link
from ._listing import Listing
from ._moves import Moves
from ._opening import check
from ._place import Place
from ._rename import Renames
from ._scripts import Scripts
from ._tails import Tails
from ._verbs import Verbs

__all__ = ["RedisStorage"]

_CAPABILITIES: Final = Capabilities(shared=True, remote=True, erases=False, search=False)


class RedisStorage(SingleChanges):
    """Sessions on a Redis or Valkey server, or on a cluster; see `from_url`."""

    def __init__(
        self,
        place: Place,
        *,
        durability: Literal["os", "disk"] = "os",
        read_only: bool = False,
    ) -> None:
        self._place = place
        self._durability: Literal["os", "disk"] = durability
        self._read_only = read_only
        self._exchange = Exchange(place, Scripts())
        self._link = Link(self._exchange)
        self._tails = Tails()
        moves = Moves(self._link)
        asking = Asking(self._link, moves)
        listing = Listing(self._link, moves)
        self._verbs = Verbs(asking, moves, self._tails, read_only=read_only)
        self._listing = listing
        self._claiming = Claiming(asking, listing)
        self._renames = Renames(asking, moves)

    def __repr__(self) -> str:
        """Return the server's name, without the password."""
        return f"<{type(self).__name__} {self._place.name}>"

    @property
    def capabilities(self) -> Capabilities:
        return _CAPABILITIES

    async def open(self) -> None:
        self._link.start()
        work = partial(
            check, self._place, self._exchange, self._durability, read_only=self._read_only
        )
        try:
            await self._link.run(work)
        except BaseException:  # cancelled, too: nobody closes what did not open
            await uninterrupted(self._link.stop)
            raise

    async def aclose(self) -> None:
        self._tails.clear()
        await uninterrupted(self._link.stop)

    async def append(
        self,
        key: SessionKey,
        turns: Sequence[Turn],
        *,
        expected: Expected | None = None,
        dedupe: bool = True,
        at: TurnRef | None = None,
    ) -> Appended | None:
        return await self._verbs.append(key, turns, expected, dedupe, at)

    async def restore(self, info: SessionInfo, turns: Sequence[Turn]) -> bool:
        return await self._verbs.restore(info, turns)

    async def aliases(self, *, prefix: str = "") -> dict[SessionKey, SessionKey]:
        return await self._listing.aliases(prefix)

    async def read(
        self,
        key: SessionKey,
        *,
        after: int = 0,
        before: int | None = None,
        limit: int | None = None,
        newest: bool = True,
    ) -> Snapshot:
        return await self._verbs.read(key, after, before, limit, newest)

    async def find(self, key: SessionKey, source_id: str) -> Turn | None:
        return await self._verbs.find(key, source_id)

    async def find_all(
        self, source_ids: Sequence[str], *, prefix: str = "", since: datetime | None = None
    ) -> Found:
        return await self._listing.find_all(source_ids, prefix, since)

    async def change(
        self,
        key: SessionKey,
        changes: Mapping[int, Change | None],
        *,
        expected: Expected | None = None,
    ) -> list[Turn]:
        return await self._verbs.change(key, changes, expected)

    async def clear(
        self, key: SessionKey, *, erase: bool = False, expected: Expected | None = None
    ) -> bool:
        return await self._verbs.clear(key, erase, expected)

    async def consolidate(
        self, key: SessionKey, last_consolidated: int, summary: str, *, expected: Expected
    ) -> bool:
        return await self._verbs.consolidate(key, last_consolidated, summary, expected)

    async def update_metadata(
        self, key: SessionKey, changes: Mapping[str, Any]
    ) -> Mapping[str, Any]:
        return await self._verbs.update_metadata(key, changes)

    async def sessions(
        self,
        *,
        prefix: str = "",
        limit: int | None = None,
        after: SessionInfo | None = None,
        order: Literal["written", "key"] = "written",
        metadata: bool = True,
    ) -> Page:
        return await self._listing.sessions(prefix, limit, after, order, metadata)

    async def rename(self, old: SessionKey, new: SessionKey) -> None:
        await self._renames.rename(old, new)

    async def unlink(self, alias: SessionKey) -> bool:
        return await self._verbs.unlink(alias)

    async def forget(self, key: SessionKey) -> bool:
        return await self._verbs.forget(key)

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
        return await self._claiming.take(key, name, owner, ttl, payload)

    async def renew(
        self, claim: Claim, *, ttl: float, payload: Mapping[str, Any] | None = None
    ) -> bool:
        return await self._claiming.renew(claim, ttl, payload)

    async def release(self, claim: Claim) -> bool:
        return await self._claiming.release(claim)

    async def claims(
        self, *, key: SessionKey | None = None, prefix: str = "", expired: bool | None = None
    ) -> list[Claim]:
        return await self._claiming.listed(key, prefix, expired)

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
            f"{self._place.name}: a Redis server has no index of words; 'sqlite:' and "
            "'postgresql:' can search"
        )
