"""The verbs that change something, each as one change of a prepared storage."""

from __future__ import annotations

from collections.abc import Callable, Coroutine
from datetime import timedelta
from typing import Any, Final, TypeAlias

from msgspec.structs import replace

from .._records.key import SessionKey
from ..storage.base import Change, Storage
from ._tools import KEY, OTHER, THIRD, expected_of, info_of, put, take, users

Verb: TypeAlias = Callable[[Storage], Coroutine[Any, Any, Any]]

ALIAS: Final = THIRD
NEW: Final = SessionKey("new", "1")


async def reset(storage: Storage) -> None:
    """Take away all that a test stored under the keys of the suite."""
    for key in (KEY, OTHER, ALIAS, NEW):
        await storage.unlink(key)
        await storage.forget(key)


async def prepare(storage: Storage) -> None:
    """Store two sessions, an alias of the first, and a claim in it; all else goes."""
    await reset(storage)
    await put(storage, KEY, users("a", "b", "c"))
    await storage.rename(ALIAS, KEY)
    await put(storage, OTHER, users("d"))
    await take(storage, KEY, "work", "me", payload={"a": 1})


async def _consolidate(storage: Storage) -> bool:
    return await storage.consolidate(KEY, 2, "sum", expected=await expected_of(storage))


async def _restore(storage: Storage) -> bool:
    """Restore the session with two turns more; the second time these are there."""
    turns = [
        replace(turn, id=id, epoch=2) for id, turn in zip((5, 7), users("e", "f"), strict=True)
    ]
    now = await info_of(storage)
    later = now.updated_at if now.last_id == 9 else now.updated_at + timedelta(seconds=1)
    info = replace(now, updated_at=later, last_id=9, epoch=2, summary="so far", revision=4)
    return await storage.restore(info, turns)


async def _renew(storage: Storage) -> bool:
    (claim,) = await storage.claims(key=KEY)
    return await storage.renew(claim, ttl=9000)


async def _release(storage: Storage) -> bool:
    claims = await storage.claims(key=KEY)
    return bool(claims) and await storage.release(claims[0])


VERBS: Final[dict[str, Verb]] = {
    "append": lambda storage: storage.append(KEY, users("e", "f", "g")),
    "append by an alias": lambda storage: storage.append(ALIAS, users("e", "f")),
    "begin": lambda storage: storage.append(NEW, users("e", "f")),
    "edit": lambda storage: storage.edit(KEY, 2, Change(content="edited", link=("linked",))),
    "delete": lambda storage: storage.delete(KEY, [1, 3]),
    "change": lambda storage: storage.change(
        KEY, {1: Change(content="edited"), 2: None, 3: Change(link=("linked",))}
    ),
    "clear": lambda storage: storage.clear(KEY),
    "erase": lambda storage: storage.clear(KEY, erase=True),
    "consolidate": _consolidate,
    "update_metadata": lambda storage: storage.update_metadata(KEY, {"m": 1}),
    "restore": _restore,
    "rename": lambda storage: storage.rename(KEY, OTHER),
    "unlink": lambda storage: storage.unlink(ALIAS),
    "forget": lambda storage: storage.forget(KEY),
    "claim": lambda storage: storage.claim(KEY, "more work", owner="me", ttl=1000),
    "renew": _renew,
    "release": _release,
}

IDEMPOTENT: Final = {name: verb for name, verb in VERBS.items() if name not in ("clear", "erase")}
"""Those that do nothing the second time by themselves; a reset does so if it says its epoch."""


async def view(storage: Storage) -> dict[str, Any]:
    """Return all that a storage tells, without the times: they differ if a verb is repeated."""
    seen: dict[str, Any] = {}
    for key in (KEY, OTHER, ALIAS, NEW):
        info, turns, complete = await storage.read(key)
        seen[key.text] = (
            info and (info.key, info.turns, info.last_id, info.epoch, info.summary),
            info and (info.last_consolidated, info.metadata, info.generation, info.revision),
            list(turns),
            complete,
            [await storage.find(key, f"s {text}") for text in "abcdefg"],
            [(claim.name, claim.owner, claim.payload) for claim in await storage.claims(key=key)],
        )
    return seen
