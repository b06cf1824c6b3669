"""A deletion that names no session looks where its message and the replies to it are."""

from __future__ import annotations

from collections.abc import AsyncIterator
from pathlib import Path
from typing import Any

import pytest
import pytest_asyncio

from turnkeep import Sender, SessionKey, SessionStore
from turnkeep.adapter import Quoted, Recorder, reply_note
from turnkeep.storage.memory import MemoryStorage

pytestmark = pytest.mark.asyncio

ADA, BOB, EVE = (SessionKey("discord", 55, user=user) for user in (1, 2, 3))


async def speak(recorder: Recorder) -> None:
    """Ada writes, Bob replies to her twice, and Eve to Bob."""

    async def say(key: SessionKey, text: str, source: str, to: Quoted | None = None) -> None:
        await recorder.receive(
            recorder.session(key), text, source_id=source, sender=Sender(source), quoted=to
        )

    await say(ADA, "a secret", "55:1")
    for source in ("55:2", "55:3"):
        await say(BOB, reply_note("Ada", "a secret") + "\nWhat?", source, Quoted("55:1", "1"))
    await say(EVE, reply_note("Bob", "What?") + "\nYes.", "55:4", Quoted("55:2", "2"))


async def texts(store: SessionStore) -> list[str]:
    return [
        turn.text for key in (ADA, BOB, EVE) async for turn in store.session(key).turns(epoch="all")
    ]


AFTER = [
    *["[reply to a deleted message]\nWhat?"] * 2,
    "[reply to Bob: What?]\nYes.",
]


@pytest_asyncio.fixture
async def store(tmp_path: Path) -> AsyncIterator[SessionStore]:
    async with SessionStore(tmp_path) as store:
        yield store


async def test_a_deletion_of_a_recent_message_looks_at_no_other_session(
    store: SessionStore, monkeypatch: pytest.MonkeyPatch
) -> None:
    recorder = Recorder(store)
    await speak(recorder)
    for number in range(20):
        await store.session(SessionKey("discord", 55, user=100 + number)).append("user", "hello")

    async def listed(**_: Any) -> Any:
        raise AssertionError("the whole store is listed")

    monkeypatch.setattr(store, "list_sessions", listed)
    await recorder.delete(["55:1"], among=lambda _: True)
    assert await texts(store) == AFTER


@pytest.mark.parametrize("shared", [False, True], ids=["restarted", "several processes"])
async def test_what_a_recorder_cannot_know_is_looked_for_in_the_whole_store(shared: bool) -> None:
    async with SessionStore(MemoryStorage(shared=shared)) as store:
        recorder = Recorder(store)
        await speak(recorder)
        if not shared:
            recorder = Recorder(store)
        await recorder.delete(["55:1"], among=lambda _: True)
        assert await texts(store) == AFTER


async def test_one_message_of_a_bulk_that_is_unknown_is_enough_to_look_for_all(
    store: SessionStore,
) -> None:
    await store.session(EVE).append("user", "old", source_id="55:0")
    recorder = Recorder(store)
    await speak(recorder)
    await recorder.delete(["55:1", "55:0"], among=lambda _: True)
    assert await texts(store) == AFTER
