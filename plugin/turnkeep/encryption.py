"""Encryption at rest, for every storage: `encrypted`, the keys, and their rotation."""

from __future__ import annotations

import os
from collections.abc import Callable
from dataclasses import dataclass, field
from typing import Literal

from ._session.reading import Sessions
from ._store import SessionStore
from ._urls import as_storage
from .storage.base import Storage
from .storage.encrypted import EncryptedStorage, KeyRing

__all__ = ["EncryptedStorage", "KeyRing", "RotationReport", "encrypted", "rotate"]


@dataclass(slots=True)
class RotationReport:
    """The result of a rotation: how many turns were sealed again, by the text of each key."""

    turns: dict[str, int] = field(default_factory=dict)


def encrypted(
    where: str | os.PathLike[str] | Storage,
    keys: KeyRing,
    *,
    durability: Literal["os", "disk"] = "os",
    read_only: bool = False,
    lock_timeout: float = 30,
) -> EncryptedStorage:
    """Return an encrypted storage for a `SessionStore`.

    `where` and the options are those of `SessionStore`. Give `read_only` to both.
    """
    options = {"durability": durability, "read_only": read_only, "lock_timeout": lock_timeout}
    return EncryptedStorage(as_storage(where, options), keys)


async def rotate(
    store: SessionStore, *, progress: Callable[[str, int], object] | None = None
) -> RotationReport:
    """Seal everything with the first key of the ring that is not sealed with it yet.

    Run it in a task beside the bot: others read and write meanwhile. It can be cancelled, and
    run again. When it returns, older keys may be taken out of the ring, unless a process still
    writes with one. `progress` is called with each session's key and its number of turns.

    Raises `ValueError` if the store is not encrypted.
    """
    storage = store.desk.opening.storage
    if not isinstance(storage, EncryptedStorage):
        raise ValueError(f"{store!r} is not encrypted: make it with encrypted(…)")
    report = RotationReport()
    async with store:
        async for info in Sessions(store.desk, ""):
            if count := await storage.reseal(info.key):
                report.turns[info.key.text] = count
            if progress is not None:
                progress(info.key.text, count)
        await storage.reseal_claims()
    return report
