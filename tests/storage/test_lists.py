"""A list of sessions is the same as that of a plain model, whatever was done to them."""

from __future__ import annotations

from collections.abc import Callable
from datetime import datetime, timedelta, timezone
from pathlib import Path
from random import Random

import pytest

from storage.tools import user
from turnkeep import SessionInfo, SessionKey
from turnkeep.storage.base import Storage
from turnkeep.storage.memory import MemoryStorage
from turnkeep.storage.sqlite import SqliteStorage, _looking

pytestmark = pytest.mark.anyio

Make = Callable[[Path], Storage]


def real(_: Path) -> Storage:
    return MemoryStorage()


def still(_: Path) -> Storage:
    now = datetime(2026, 11, 28, tzinfo=timezone.utc)
    return MemoryStorage(clock=lambda: now)


def coarse(_: Path) -> Storage:
    begin, count = datetime(2026, 11, 28, tzinfo=timezone.utc), [0]

    def clock() -> datetime:
        count[0] += 1
        return begin + timedelta(seconds=count[0] * 7 % 60 // 4)  # back and forth, with ties

    return MemoryStorage(clock=clock)


async def pages(storage: Storage, prefix: str, limit: int) -> list[SessionInfo]:
    found: list[SessionInfo] = []
    while True:
        after = found[-1] if found else None
        page = await storage.sessions(prefix=prefix, limit=limit, after=after)
        found += page.sessions
        if page.complete:
            return found


@pytest.mark.parametrize("make", [real, still, coarse])
@pytest.mark.parametrize("seed", range(4))
async def test_pages_of_sessions_that_come_move_and_go_are_those_of_a_sort(
    tmp_path: Path, make: Make, seed: int
) -> None:
    storage, random = make(tmp_path), Random(seed)
    keys = [SessionKey(channel, f"{n}") for channel in ("a", "ab", "rare") for n in range(12)]
    for _ in range(300):
        key = random.choice(keys) if random.random() < 0.95 else keys[-1]
        match random.randrange(12):
            case 0:
                await storage.forget(key)
            case 1:
                await storage.rename(key, random.choice(keys))
            case 2 if (info := (await storage.read(key, limit=0)).info) is not None:
                await storage.restore(info, [])
            case _:
                await storage.append(key, [user("Hi")])
        every = {info.key: info for info in (await storage.sessions()).sessions}
        for prefix in ("", "a", "a:", "ab:", "rare:", "rare:1", "none:"):
            there = [info for info in every.values() if info.key.text.startswith(prefix)]
            there.sort(key=lambda info: info.key.text)
            by_key = await storage.sessions(prefix=prefix, order="key")
            assert by_key.sessions == there
            there.sort(key=lambda info: info.updated_at, reverse=True)
            assert await pages(storage, prefix, random.choice((1, 2, 5))) == there
            half = await storage.sessions(prefix=prefix, order="key", limit=3, after=None)
            assert half.sessions == by_key.sessions[:3]
            assert half.complete == (len(there) <= 3)
            if half.sessions:
                rest = await storage.sessions(prefix=prefix, order="key", after=half.sessions[-1])
                assert rest.sessions == by_key.sessions[3:]


async def test_a_page_of_a_rare_channel_is_the_same_beside_many_others_and_few(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    storage = SqliteStorage(tmp_path / "chats.db")
    await storage.open()
    try:
        for number in range(60):
            await storage.append(SessionKey("much", f"{number}"), [user("Hi")])
            if number % 10 == 5:
                await storage.append(SessionKey("rare", f"{number}"), [user("Hi")])
        expected = [f"rare:{number}" for number in (55, 45, 35, 25, 15, 5)]
        for few in (1000, 3, 0):
            monkeypatch.setattr(_looking, "FEW", few)
            found = await pages(storage, "rare:", 4)
            assert [info.key.text for info in found] == expected
            assert len(await pages(storage, "much:", 7)) == 60
    finally:
        await storage.aclose()
