"""Leases: who answers, who consolidates, whose turn it is, as other processes see it."""

from __future__ import annotations

import asyncio
from datetime import datetime, timedelta, timezone
from pathlib import Path
from typing import Any

import anyio
import pytest
import trio

from turnkeep import Session, SessionKey, SessionStore, StoreClosedError
from turnkeep._session import leases
from turnkeep.adapter import Overlap
from turnkeep.storage.base import Claim

from .tools import said
from .two import KEY, Shared, Summarizer

pytestmark = pytest.mark.anyio


class Clocked(Shared):
    """A shared storage whose clock a test sets, and which says when a lease was renewed."""

    def __init__(self) -> None:
        super().__init__(clock=self.time)
        self.now = datetime(2031, 5, 1, tzinfo=timezone.utc)
        self.renewed = anyio.Event()

    def time(self) -> datetime:
        return self.now

    async def renew(self, claim: Claim, **options: Any) -> bool:
        done = await super().renew(claim, **options)
        renewed, self.renewed = self.renewed, anyio.Event()
        renewed.set()
        return done

    def wait(self, seconds: float) -> None:
        self.now += timedelta(seconds=seconds)


class Unheard(Shared):
    """A shared storage that gives claims, and whose answers do not come while it is `silent`."""

    silent = False

    def __init__(self) -> None:
        super().__init__()
        self.given = anyio.Event()

    async def claim(self, *arguments: Any, **options: Any) -> Claim | None:
        claim = await super().claim(*arguments, **options)
        if self.silent:
            self.given.set()
            await anyio.sleep_forever()
        return claim


@pytest.mark.parametrize("work", ["a reply", "a consolidation"])
async def test_who_is_cancelled_while_a_lease_is_taken_holds_none(work: str) -> None:
    storage = Unheard()
    async with SessionStore(storage) as store, SessionStore(storage) as other:
        session = store.session(KEY)
        for number in range(9):
            await session.append("user", f"{number}")
        mine = await session.receive("Hi", source_id="m1")

        async def do() -> None:
            if work == "a reply":
                async with mine.reply() as reply:
                    reply.add_text("hello")
            else:
                await session.consolidate(Summarizer(), keep=1)

        storage.silent = True
        async with anyio.create_task_group() as tasks:
            tasks.start_soon(do)
            await storage.given.wait()
            storage.silent = False
            tasks.cancel_scope.cancel()
        assert await storage.claims() == []
        theirs = await other.session(KEY).receive("Hi", source_id="m1")
        assert not theirs.already_answered
        async with theirs.reply() as reply:
            reply.add_text("hello")
        assert not reply.discarded


async def test_a_killed_owners_lease_expires_and_another_store_answers(
    anyio_backend: str,
) -> None:
    storage = Clocked()
    killed, other = SessionStore(storage), SessionStore(storage)
    async with other:
        mine = await killed.session(KEY).receive("Hi", source_id="m1")
        reply = mine.reply()
        await reply.__aenter__()
        theirs = await other.session(KEY).receive("Hi", source_id="m1")
        assert theirs.already_answered
        await killed.desk.leases.abandon()  # as a killed process renews nothing
        storage.wait(leases.TTL - 1)
        assert (await other.session(KEY).receive("Hi", source_id="m1")).already_answered
        storage.wait(2)
        theirs = await other.session(KEY).receive("Hi", source_id="m1")
        assert not theirs.already_answered
        async with theirs.reply() as answer:
            answer.add_text("taken over")
        assert await said(theirs) == ["Hi", "taken over"]
        assert await storage.claims() == []
        await killed.aclose()


async def test_a_killed_owners_turn_and_consolidation_are_taken_over(anyio_backend: str) -> None:
    storage = Clocked()
    other = SessionStore(storage)
    async with other:
        session = other.session(KEY)
        for number in range(3):
            await session.append("user", f"{number}")
        for name in (leases.CONSOLIDATE, leases.HANDLE):
            await storage.claim(session.key, name, owner="killed", ttl=leases.TTL)
        assert not await session.consolidate(Summarizer(), keep=0)
        storage.wait(leases.TTL)
        assert await session.consolidate(Summarizer(), keep=0)
        handled: list[Any] = []

        async def handle(session: Session) -> None:
            handled.append(session.turn)

        await Overlap("queue").run(await session.receive("Hi"), handle)
        assert len(handled) == 1


async def test_a_lease_is_renewed_while_a_reply_is_open_for_longer_than_it_lasts(
    anyio_backend: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(leases, "TTL", 0.03)
    storage = Clocked()
    async with SessionStore(storage) as mine, SessionStore(storage) as other:
        asked = await mine.session(KEY).receive("Hi", source_id="m1")
        async with asked.reply() as reply:
            for _ in range(5):
                storage.wait(0.02)
                await storage.renewed.wait()
            assert (await other.session(KEY).receive("Hi", source_id="m1")).already_answered
            reply.add_text("at last")
        assert await said(asked) == ["Hi", "at last"]
        assert await storage.claims() == []


async def test_a_lease_that_was_taken_over_is_held_no_more(
    anyio_backend: str, monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture
) -> None:
    monkeypatch.setattr(leases, "TTL", 0.03)
    storage = Clocked()
    async with SessionStore(storage) as store:
        session = await store.session(KEY).receive("Hi", source_id="m1")
        async with session.reply():
            storage.wait(10)
            for claim in await storage.claims():
                assert await storage.claim(claim.key, claim.name, owner="other", ttl=60)
            await storage.renewed.wait()
        (left,) = await storage.claims()
        assert left.owner == "other"
    assert "was lost" in caplog.text


async def test_a_storage_that_fails_to_renew_is_asked_again(
    anyio_backend: str, monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture
) -> None:
    monkeypatch.setattr(leases, "TTL", 0.03)
    storage = Clocked()
    renew, failed = storage.renew, anyio.Event()

    async def fail(claim: Claim, **options: Any) -> bool:
        storage.renew = renew  # type: ignore[method-assign]
        failed.set()
        raise StoreClosedError("the server is away")

    async with SessionStore(storage) as store:
        asked = await store.session(KEY).receive("Hi", source_id="m1")
        async with asked.reply():
            storage.renew = fail  # type: ignore[method-assign]
            await failed.wait()
            await storage.renewed.wait()
    assert "is not renewed: the server is away" in caplog.text


async def test_a_store_takes_one_lease_several_times(anyio_backend: str) -> None:
    storage = Clocked()
    async with SessionStore(storage) as store, SessionStore(storage) as other:
        asked = await store.session(KEY).receive("Hi", source_id="m1")
        theirs = await other.session(KEY).receive("Hi", source_id="m1")
        async with asked.reply() as first, asked.reply() as second:
            assert not (first.discarded)
            assert not (second.discarded)
        async with asked.reply():
            async with asked.reply() as second:
                second.add_text("one")
            async with theirs.reply() as reply:
                reply.add_text("theirs")
            assert reply.discarded
        assert await storage.claims() == []


@pytest.mark.parametrize("link", [False, True])
async def test_a_lease_outlives_a_rename_of_its_session(anyio_backend: str, link: bool) -> None:
    storage = Clocked()
    async with SessionStore(storage) as store, SessionStore(storage) as other:
        if link:
            await store.session("telegram:2").append("user", "there")
        asked = await store.session("telegram:1").receive("Hi", source_id="m1")
        async with asked.reply() as first:
            await other.rename("telegram:1", "telegram:2")
            async with asked.reply() as second:
                second.add_text("two")
            theirs = await other.session("telegram:2").receive("Hi", source_id="m1")
            assert theirs.already_answered
            first.add_text("one")
        assert await storage.claims() == []


def test_nothing_runs_on_after_aclose_on_asyncio() -> None:
    async def main() -> None:
        storage = Shared()
        before = asyncio.all_tasks()
        async with SessionStore(storage) as store:
            asked = await store.session(KEY).receive("Hi", source_id="m1")
            reply = asked.reply()
            await reply.__aenter__()
            reply.add_text("too late")
            assert asyncio.all_tasks() > before
        assert asyncio.all_tasks() == before
        with pytest.raises(StoreClosedError):
            await reply.__aexit__(None, None, None)
        assert asyncio.all_tasks() == before

    asyncio.run(main())


def test_nothing_runs_on_after_aclose_on_trio() -> None:
    async def main() -> None:
        storage = Shared()
        before = trio.lowlevel.current_statistics().tasks_living
        async with SessionStore(storage) as store:
            asked = await store.session(KEY).receive("Hi", source_id="m1")
            reply = asked.reply()
            await reply.__aenter__()
            reply.add_text("too late")
            assert trio.lowlevel.current_statistics().tasks_living > before
        assert trio.lowlevel.current_statistics().tasks_living == before
        with pytest.raises(StoreClosedError):
            await reply.__aexit__(None, None, None)
        assert trio.lowlevel.current_statistics().tasks_living == before

    trio.run(main)


@pytest.mark.parametrize("backend", ["asyncio", "trio"])
def test_a_store_that_is_left_open_lets_its_loop_end(backend: Any) -> None:
    async def main() -> None:
        asked = await SessionStore(Shared()).session(KEY).receive("Hi", source_id="m1")
        await asked.reply().__aenter__()

    anyio.run(main, backend=backend)


async def test_a_closing_store_with_an_open_reply_does_not_hang(anyio_backend: str) -> None:
    storage = Shared()
    store = SessionStore(storage)
    async with store:
        asked = await store.session(KEY).receive("Hi", source_id="m1")
        reply = asked.reply()
        await reply.__aenter__()
        reply.add_text("too late")
        with anyio.fail_after(60):
            await store.aclose()
        with pytest.raises(StoreClosedError):
            await reply.__aexit__(None, None, None)
    # Nobody has answered it, and its lease says so to whoever takes over.
    assert asked.turn is not None
    (claim,) = await storage.claims()
    assert claim.payload == {"generation": asked.turn.generation, "id": 1}


async def test_a_lease_of_a_forgotten_session_is_not_noted_again(
    anyio_backend: str, tmp_path: Path
) -> None:
    payload = {"update": "xyzzy"}
    async with SessionStore(tmp_path) as store:
        await store.session(KEY).append("user", "Hi")
        lease = await store.desk.leases.take(SessionKey.parse(KEY), "answer:1", payload=payload)
        assert lease is not None
        files = [tmp_path / ".turnkeep" / "claims"]
        assert any(b"xyzzy" in file.read_bytes() for file in files)
        await store.forget(KEY)
        await store.desk.leases.note(lease, {**payload, "tries": 1})
        assert not any(b"xyzzy" in file.read_bytes() for file in files)
        await store.desk.leases.drop(lease)
