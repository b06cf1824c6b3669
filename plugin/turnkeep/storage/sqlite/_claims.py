"""Claims: rows that are taken in a transaction, by the process's clock."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any, Final

import apsw
import msgspec

from ..._records.key import SessionKey
from ..base import Claim
from ..rules import lasting_until, renewed, taken
from . import _clock
from ._rows import micros, moment
from ._sessions import Sessions
from ._sql import insert

_encode: Final = msgspec.json.Encoder().encode
_decode: Final = msgspec.json.Decoder(dict[str, Any]).decode
_COLUMNS: Final = "key, name, owner, expires, payload, taken_over"
_BELOW: Final = "key >= ?{0} AND key < ?{0} || CAST(x'f5' AS TEXT)"


def below(number: int) -> str:
    """Return the condition for keys with the prefix that is this parameter.

    No byte of UTF-8 is as high as 0xF5.
    """
    return _BELOW.format(number)


def take(
    sessions: Sessions, key: SessionKey, name: str, owner: str, ttl: float, payload: Any
) -> Claim | None:
    """Do what `Storage.claim` does."""
    key, now = sessions.resolve(key), _clock.now()
    there = _find(sessions.db, key, name)
    expires_at = lasting_until(now, ttl)
    claim = taken(there, key, name, owner=owner, payload=payload, now=now, expires_at=expires_at)
    if claim is not None:
        _put(sessions.db, claim)
    return claim


def renew(sessions: Sessions, claim: Claim, ttl: float, payload: Mapping[str, Any] | None) -> bool:
    """Do what `Storage.renew` does."""
    there = _held(sessions, claim)
    if there is None:
        return False
    _put(sessions.db, renewed(there, lasting_until(_clock.now(), ttl), payload))
    return True


def release(sessions: Sessions, claim: Claim) -> bool:
    """Do what `Storage.release` does."""
    there = _held(sessions, claim)
    if there is None:
        return False
    statement = "DELETE FROM claims WHERE (key, name) = (?, ?)"
    sessions.db.execute(statement, (there.key.text, there.name))
    return True


def listed(
    sessions: Sessions, key: SessionKey | None, prefix: str, expired: bool | None
) -> list[Claim]:
    """Do what `Storage.claims` does."""
    text = None if key is None else sessions.resolve(key).text
    found = sessions.db.execute(
        f"SELECT {_COLUMNS} FROM claims WHERE {below(1)} AND (?2 IS NULL OR key = ?2) "
        "AND (?3 IS NULL OR (expires <= ?4) = ?3) ORDER BY expires, key, name",
        (prefix, text, expired, micros(_clock.now())),
    )
    return [_claim(row) for row in found]


def _find(db: apsw.Connection, key: SessionKey, name: str) -> Claim | None:
    statement = f"SELECT {_COLUMNS} FROM claims WHERE (key, name) = (?, ?)"
    row = db.execute(statement, (key.text, name)).fetchone()
    return None if row is None else _claim(row)


def _held(sessions: Sessions, claim: Claim) -> Claim | None:
    """Return the stored claim, or None if its owner has lost it."""
    there = _find(sessions.db, sessions.resolve(claim.key), claim.name)
    return there if there is not None and there.owner == claim.owner else None


def _put(db: apsw.Connection, claim: Claim) -> None:
    expires, payload = micros(claim.expires_at), _encode(claim.payload).decode()
    row = (claim.key.text, claim.name, claim.owner, expires, payload, claim.taken_over)
    insert(db, f"REPLACE INTO claims ({_COLUMNS}) VALUES ", [row])


def _claim(row: tuple[Any, ...]) -> Claim:
    key, name, owner, expires, payload, taken_over = row
    return Claim(
        key=SessionKey.parse(key),
        name=name,
        owner=owner,
        expires_at=moment(expires),
        payload=_decode(payload),
        taken_over=bool(taken_over),
    )
