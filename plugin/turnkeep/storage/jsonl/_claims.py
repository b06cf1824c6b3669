"""The claims of a folder: in memory while it is owned, and in one file for the next owner.

A change is made here at once, and written with the writer's next batch. If that fails, what
is here is void and is read from the file again.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable, Iterator, Mapping
from functools import partial
from typing import Any, Final

import msgspec
from anyio import Lock

from ..._records.key import SessionKey
from ..base import Claim
from ..rules import by_expiry, lasting_until, renewed, taken
from . import _clock
from ._appender import Batch
from ._claims_file import ANEW, SYNC, ClaimsFile, Held, Write, encode_claim
from ._disk import UnsyncedError
from ._workers import Workers, storage_error
from ._writer import Writer

replace: Final = msgspec.structs.replace
_encode: Final = msgspec.json.Encoder().encode
_decode: Final = msgspec.json.Decoder().decode

SPARE_BYTES: Final = 1024 * 1024
"""The file is written anew when more than half of it, and more than this, is blank."""


class Claims:
    """Those of one folder. All keys are resolved."""

    def __init__(self, file: ClaimsFile, workers: Workers, writer: Writer) -> None:
        self._file = file
        self._workers = workers
        self._writer = writer
        self._held: dict[tuple[str, str], Held] = {}
        self._end = 0
        self._live = 0
        self.void = True
        """The claims here are not those of the file, which has to be read."""

    def open(self) -> None:
        """Make ready to run in this loop."""
        self._refreshing = Lock()

    def load(self, resolve: Callable[[SessionKey], SessionKey], *, read_only: bool) -> None:
        """Read the file; blocks. `resolve` follows aliases, as a crash may have kept old keys."""
        found, self._end, whole = self._file.read()
        self._held = {}
        for held in found:
            key = resolve(held.claim.key)
            place = key.text, held.claim.name
            if key == held.claim.key or place not in self._held:
                self._held[place] = held._replace(claim=replace(held.claim, key=key))
            whole = whole and key == held.claim.key
        self._live = sum(held.length for held in self._held.values())
        if not read_only and (not whole or len(self._held) < len(found) or self._is_sparse()):
            self._file.write(self._anew())
        self.void = False

    async def refresh(
        self, resolve: Callable[[SessionKey], SessionKey], *, read_only: bool
    ) -> None:
        """Read the file again where what is here is void, or another process writes it."""
        async with self._refreshing:
            if self.void and not read_only:
                await self._writer.drain()
            if self.void or read_only:
                load = partial(self.load, resolve, read_only=read_only)
                await self._workers.run("the claims", load)

    def close(self) -> None:
        """Empty the file if no claim is left. What was staged is still to be written."""
        if not self.void and not self._held and self._end:
            self._stage([*self._anew()])
        self._held = {}
        self.void = True

    def claim(
        self,
        key: SessionKey,
        name: str,
        owner: str,
        ttl: float,
        payload: Mapping[str, Any] | None,
    ) -> tuple[Claim, Batch] | None:
        """Take a lease, and return it with the batch that stores it; None if it is taken."""
        now = _clock.now()
        there = self._held.get((key.text, name))
        claim = taken(
            None if there is None else there.claim,
            key,
            name,
            owner=owner,
            payload=None if payload is None else _copy(payload),
            now=now,
            expires_at=lasting_until(now, ttl),
        )
        return None if claim is None else (_own(claim), self._stage([*self._put(claim)]))

    def renew(
        self, key: SessionKey, claim: Claim, ttl: float, payload: Mapping[str, Any] | None
    ) -> Batch | None:
        """Let a claim last so long from now; None if its owner has it no more."""
        there = self._held.get((key.text, claim.name))
        if there is None or there.claim.owner != claim.owner:
            return None
        given = None if payload is None else _copy(payload)
        lasting = renewed(there.claim, lasting_until(_clock.now(), ttl), given)
        if given is not None:
            return self._stage([*self._put(lasting)])
        self._held[key.text, claim.name] = there._replace(claim=lasting)
        return self._stage([there.lasting_until(lasting.expires_at)])

    def release(self, key: SessionKey, claim: Claim) -> Batch | None:
        """End a claim; None if its owner had it no more."""
        there = self._held.get((key.text, claim.name))
        if there is None or there.claim.owner != claim.owner:
            return None
        return self._stage([self._take(there)])

    def listed(self, prefix: str, key: SessionKey | None, expired: bool | None) -> list[Claim]:
        """Return claims as `Storage.claims` has them."""
        now = _clock.now()
        return by_expiry(
            _own(claim)
            for claim, _, _ in self._held.values()
            if claim.key.text.startswith(prefix)
            and key in (None, claim.key)
            and expired in (None, claim.expires_at <= now)
        )

    def move(self, old: SessionKey, new: SessionKey) -> Batch | None:
        """Move the claims of a session that is renamed; None if there are none."""
        writes: list[Write] = []
        for held in self._of(old):
            writes.append(self._take(held))
            if (new.text, held.claim.name) not in self._held:
                writes += self._put(replace(held.claim, key=new))
        return self._stage(writes) if writes else None

    def forget(self, key: SessionKey) -> Batch | None:
        """Take away the claims of a session, for good; None if nothing is to be written."""
        writes = [self._take(held) for held in self._of(key)]
        return self._stage([*writes, SYNC]) if writes or self._end else None

    async def stored(self, key: SessionKey, batch: Batch | None, *, done: bool = False) -> None:
        """Wait until the batch is written; raises `StorageError` if it was not.

        With `done`, the rest of the verb took effect before: the acknowledgement is lost.
        """
        if batch is None:
            return
        await self._writer.wait(batch)
        error = batch.claims_error
        if error is not None:
            self.void = True
            raise storage_error(
                f"session {key}: its claims", UnsyncedError(str(error)) if done else error
            ) from error

    def _of(self, key: SessionKey) -> list[Held]:
        return [held for held in self._held.values() if held.claim.key == key]

    def _put(self, claim: Claim) -> Iterator[Write]:
        place = claim.key.text, claim.name
        there = self._held.get(place)
        if there is not None:
            self._live -= there.length
        line = encode_claim(claim)
        self._held[place] = Held(claim, self._end, len(line))
        yield Write(self._end, line)
        self._end += len(line)
        self._live += len(line)
        if there is not None:
            yield there.erased()

    def _take(self, held: Held) -> Write:
        del self._held[held.claim.key.text, held.claim.name]
        self._live -= held.length
        return held.erased()

    def _stage(self, writes: list[Write]) -> Batch:
        if self._is_sparse():
            writes += self._anew()
        return self._writer.stage_claims(writes)

    def _is_sparse(self) -> bool:
        return self._end > SPARE_BYTES + 2 * self._live

    def _anew(self) -> Iterable[Write]:
        """Return what makes the file hold these claims and nothing else."""
        lines: list[bytes] = []
        self._end = 0
        for place, held in self._held.items():
            line = encode_claim(held.claim)
            self._held[place] = Held(held.claim, self._end, len(line))
            lines.append(line)
            self._end += len(line)
        self._live = self._end
        return [Write(ANEW, b"".join(lines))]


def _own(claim: Claim) -> Claim:
    """Return the claim for a caller to keep: changing its payload changes nothing here."""
    return replace(claim, payload=_copy(claim.payload)) if claim.payload else claim


def _copy(payload: Mapping[str, Any]) -> Any:
    return _decode(_encode(payload))
