"""What the verbs over ordered pairs are made of: sessions, their turns, names and claims."""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from datetime import datetime, timedelta, timezone
from typing import Any, Final, Protocol

import msgspec
from msgspec.structs import replace

from .._records.key import SessionKey
from .._records.turn import Turn
from .base import (
    Appended,
    Claim,
    Expected,
    SessionInfo,
    begun_info,
    is_expected,
    merged,
    shifted,
)

_encode: Final = msgspec.json.Encoder().encode
_info: Final = msgspec.json.Decoder(SessionInfo).decode
_turn: Final = msgspec.json.Decoder(Turn).decode
_claim: Final = msgspec.json.Decoder(Claim).decode


class Pairs(Protocol):
    """Pairs of bytes in the order of their keys, in a transaction."""

    def put(self, key: bytes, value: bytes) -> None:
        """Store a value, in the place of the one that the key has."""
        ...

    def delete(self, key: bytes) -> None:
        """Take a pair away, if there is one."""
        ...

    def scan(
        self, first: bytes, end: bytes, limit: int | None, *, reverse: bool
    ) -> Iterable[tuple[bytes, bytes]]:
        """Return the pairs with `first <= key < end` in their order, or in the reverse one.

        With `limit`, at most so many.
        """
        ...


def utc_now() -> datetime:
    return datetime.now(timezone.utc)


def path(*parts: str | int) -> bytes:
    """Return the key that has these parts, each with a NUL byte behind it, and its id at last."""
    return b"".join(
        part.to_bytes(8) if isinstance(part, int) else part.encode() + b"\0" for part in parts
    )


def below(pairs: Pairs, first: bytes) -> list[tuple[bytes, bytes]]:
    """Return all pairs whose key begins so."""
    return list(pairs.scan(first, first + b"\xff" * 9, None, reverse=False))


class Session:
    """One session in a transaction."""

    def __init__(self, pairs: Pairs, info: SessionInfo) -> None:
        self._pairs = pairs
        self.info = info

    def save(self, **changes: Any) -> None:
        """Store the record after these changes."""
        self.info = replace(self.info, updated_at=utc_now(), **changes)
        self._pairs.put(path("info", self.info.key.text), _encode(self.info))

    def turns(
        self,
        first: int = 0,
        end: int | None = None,
        limit: int | None = None,
        *,
        newest: bool = False,
    ) -> list[Turn]:
        """Return the turns with `first <= id < end`, the newest first if asked for so."""
        key = self.info.key.text
        span = path("turn", key, first), path("turn", key, 2**63 if end is None else max(end, 0))
        return [_turn(text) for _, text in self._pairs.scan(*span, limit, reverse=newest)]

    def turn(self, turn_id: int) -> Turn | None:
        return next(iter(self.turns(turn_id, turn_id + 1)), None)

    def put(self, turns: Iterable[Turn]) -> None:
        key = self.info.key.text
        for turn in turns:
            self._pairs.put(path("turn", key, turn.id), _encode(turn))
            for name in _names(turn):
                self._pairs.put(path("name", name, key, turn.id), b"")

    def remove(self, turns: Iterable[Turn]) -> None:
        key = self.info.key.text
        for turn in turns:
            self._pairs.delete(path("turn", key, turn.id))
            for name in _names(turn):
                self._pairs.delete(path("name", name, key, turn.id))


def _names(turn: Turn) -> list[str]:
    tokens = [f"token {turn.token}"] if turn.token else []
    return tokens + [f"source {source}" for source in turn.source_ids]


class Sessions:
    """All sessions, in a transaction."""

    def __init__(self, pairs: Pairs) -> None:
        self.pairs = pairs

    def _value(self, key: bytes) -> bytes | None:
        found = self.pairs.scan(key, key + b"\0", 1, reverse=False)
        return next((value for _, value in found), None)

    def resolve(self, key: SessionKey) -> SessionKey:
        text = self._value(path("alias", key.text))
        return key if text is None else SessionKey.parse(text.decode())

    def get(self, key: SessionKey, expected: Expected | None = None) -> Session | None:
        """Return the session, if there is one and it is as expected."""
        text = self._value(path("info", self.resolve(key).text))
        session = None if text is None else Session(self.pairs, _info(text))
        if session is None or not is_expected(session.info, expected):
            return None
        if expected and expected.turn is not None and session.turn(expected.turn) is None:
            return None
        return session

    def begun(self, key: SessionKey) -> Session:
        return Session(self.pairs, begun_info(self.resolve(key), utc_now()))

    def infos(self, prefix: str) -> list[SessionInfo]:
        span = b"info\0" + prefix.encode(), b"info\0" + prefix.encode() + b"\xff"
        return [_info(text) for _, text in self.pairs.scan(*span, None, reverse=False)]

    def named(self, kind: str, name: str, key: SessionKey) -> Turn | None:
        """Return the latest turn of a session that has a source id or a token."""
        first = path("name", f"{kind} {name}", key.text)
        for place, _ in self.pairs.scan(first, first + b"\xff" * 9, 1, reverse=True):
            return _turn(self._value(path("turn", key.text) + place[-8:]) or b"")
        return None

    def named_everywhere(
        self, source_ids: Iterable[str], prefix: str
    ) -> list[tuple[SessionKey, Turn]]:
        found: dict[bytes, tuple[SessionKey, Turn]] = {}
        for source_id in source_ids:
            first = path("name", f"source {source_id}")
            start = first + prefix.encode()
            for place, _ in self.pairs.scan(start, start + b"\xff", None, reverse=False):
                key = place[len(first) : -9]
                text = self._value(b"turn\0" + key + b"\0" + place[-8:]) or b""
                found[place[len(first) :]] = SessionKey.parse(key.decode()), _turn(text)
        return list(found.values())

    def append(
        self, key: SessionKey, turns: Sequence[Turn], expected: Expected | None, dedupe: bool
    ) -> Appended | None:
        there = self.get(key)
        refused = expected is not None and self.get(key, expected) is None
        session = there or self.begun(key)
        info, added, again = session.info, 0, False
        done = Appended([], [])
        for turn in turns:
            before = self.named("token", turn.token, info.key) if turn.token else None
            again = again or before is not None
            known = before
            for source_id in turn.source_ids if dedupe else ():
                known = known or self.named("source", source_id, info.key)
            done.new.append(before is not None or known is None)
            if known is None:
                if refused:
                    return None
                added += 1
                place = {"id": info.last_id + added, "epoch": info.epoch}
                known = replace(turn, generation=info.generation, **place)
                session.put([known])
            done.turns.append(known)
        if refused and not again:
            return None
        if added:
            session.save(turns=info.turns + added, last_id=info.last_id + added)
        return done._replace(info=session.info if there or added else None)

    def drop(self, session: Session) -> None:
        """Take away a session's turns and its record."""
        session.remove(session.turns())
        self.pairs.delete(path("info", session.info.key.text))

    def rename(self, old: SessionKey, new: SessionKey) -> None:
        if old == new:
            return
        moved, there = self.get(old), self.get(new)
        if moved is not None:
            info, ids, epochs = replace(moved.info, key=new), 0, 0
            turns = moved.turns()
            if there is not None:
                info, ids, epochs = merged(moved.info, there.info)
            turns = [shifted(turn, 0, 0, info.generation) for turn in turns]
            if there is not None:
                turns += [shifted(turn, ids, epochs, info.generation) for turn in there.turns()]
                self.drop(there)
            self.drop(moved)
            kept = Session(self.pairs, info)
            kept.put(turns)
            kept.save()
        for alias, key in below(self.pairs, path("alias")):
            if key == old.text.encode():
                self.pairs.put(alias, new.text.encode())
        self.pairs.put(path("alias", old.text), new.text.encode())
        for claim in self.claims(old):
            self.end(claim)
            if self.held(new, claim.name) is None:
                self.keep(replace(claim, key=new))

    def unlink(self, alias: SessionKey) -> bool:
        was_there = self._value(path("alias", alias.text)) is not None
        self.pairs.delete(path("alias", alias.text))
        return was_there

    # Claims.

    def held(self, key: SessionKey, name: str) -> Claim | None:
        text = self._value(path("claim", key.text, name))
        return None if text is None else _claim(text)

    def keep(self, claim: Claim) -> Claim:
        self.pairs.put(path("claim", claim.key.text, claim.name), _encode(claim))
        return claim

    def end(self, claim: Claim) -> None:
        self.pairs.delete(path("claim", claim.key.text, claim.name))

    def claims(self, key: SessionKey | None) -> list[Claim]:
        first = path("claim") if key is None else path("claim", key.text)
        return [_claim(text) for _, text in below(self.pairs, first)]

    def claim(
        self,
        key: SessionKey,
        name: str,
        owner: str,
        ttl: float,
        payload: dict[str, Any] | None,
    ) -> Claim | None:
        now, key = utc_now(), self.resolve(key)
        there = self.held(key, name)
        if there and there.owner != owner and there.expires_at > now:
            return None
        if payload is None:
            payload = there.payload if there else {}
        return self.keep(
            Claim(
                key=key,
                name=name,
                owner=owner,
                expires_at=now + timedelta(seconds=ttl),
                payload=payload,
                taken_over=there is not None and (there.owner != owner or there.taken_over),
            )
        )

    def renew(self, claim: Claim, ttl: float) -> bool:
        there = self.held(self.resolve(claim.key), claim.name)
        if there is None or there.owner != claim.owner:
            return False
        self.keep(replace(there, expires_at=utc_now() + timedelta(seconds=ttl)))
        return True

    def release(self, claim: Claim) -> bool:
        there = self.held(self.resolve(claim.key), claim.name)
        if there is None or there.owner != claim.owner:
            return False
        self.end(there)
        return True
