"""Keys, turns and checks that the tests of the contract share."""

from __future__ import annotations

from collections.abc import Awaitable, Callable, Sequence
from typing import Any

import anyio
import anyio.lowlevel

from .._records.key import SessionKey
from .._records.making import new_turn
from .._records.turn import Turn
from ..storage.base import Appended, Claim, Expected, SessionInfo, Storage

KEY = SessionKey("test", "1")
OTHER = SessionKey("test", "2")
THIRD = SessionKey("else", "3", topic=4)


def user(text: str, **fields: Any) -> Turn:
    """Return a user's turn, not stored yet."""
    return new_turn("user", text, **fields)


def users(*texts: str) -> list[Turn]:
    """Return a user's turns, each with its text for a source id and for a token."""
    return [user(text, source_id=f"s {text}", token=f"t {text}") for text in texts]


async def texts(storage: Storage, key: SessionKey = KEY, **selection: Any) -> list[Any]:
    """Return the contents that a read gives."""
    return [turn.content for turn in (await storage.read(key, **selection)).turns]


async def info_of(storage: Storage, key: SessionKey = KEY) -> SessionInfo:
    """Return the record, which must be there."""
    info = (await storage.read(key, limit=0)).info
    assert info is not None, f"session {key} is not there"
    return info


async def expected_of(storage: Storage, key: SessionKey = KEY, turn: int | None = None) -> Expected:
    """Return the state of a session now."""
    return (await info_of(storage, key)).expected(turn=turn, revision=True)


async def put(storage: Storage, key: SessionKey, turns: Sequence[Turn], **options: Any) -> Appended:
    """Append what must not be refused."""
    appended = await storage.append(key, turns, **options)
    assert appended is not None, f"session {key} refused an append"
    return appended


async def take(
    storage: Storage, key: SessionKey, name: str, owner: str, ttl: float = 1000, **options: Any
) -> Claim:
    """Take a claim that must not be refused."""
    claim = await storage.claim(key, name, owner=owner, ttl=ttl, **options)
    assert claim is not None, f"{owner} did not get the claim {name} of {key}"
    return claim


async def keys(storage: Storage, **selection: Any) -> list[SessionKey]:
    """Return the keys of the listed sessions."""
    return [info.key for info in (await storage.sessions(**selection)).sessions]


async def state(storage: Storage) -> dict[str, Any]:
    """Return all that a storage tells of its sessions and claims."""
    infos = (await storage.sessions(order="key")).sessions
    return {
        **{info.key.text: await storage.read(info.key) for info in infos},
        "claims": await storage.claims(),
    }


async def at_once(*verbs: Callable[[], Awaitable[Any]]) -> list[Any]:
    """Run verbs at the same time, in this order, and return their results."""
    results: list[Any] = [None] * len(verbs)

    async def run(place: int, verb: Callable[[], Awaitable[Any]]) -> None:
        results[place] = await verb()

    async with anyio.create_task_group() as tasks:
        for place, verb in enumerate(verbs):
            tasks.start_soon(run, place, verb)
    return results


async def after_steps(steps: int, verb: Callable[[], Awaitable[Any]]) -> Any:
    """Let the other tasks go on for some steps, and run the verb then."""
    for _ in range(steps):
        await anyio.lowlevel.checkpoint()
    return await verb()
