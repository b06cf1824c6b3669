"""Two stores over one shared storage: what is forgotten, reset and consolidated in one of them."""

from __future__ import annotations

from datetime import datetime, timedelta, timezone
from typing import Any

import anyio
import pytest

from turnkeep import SessionStore
from turnkeep.adapter import Recorder, ResetPolicy
from turnkeep.storage.memory import MemoryStorage

from .tools import answer, said, stored
from .two import KEY, Summarizer, Two

pytestmark = pytest.mark.anyio

OLD = "telegram:1"
NOON = datetime(2031, 5, 1, 12, tzinfo=timezone.utc)


def again(source_id: str | None) -> Any:
    """What two replicas receive the same message with; without a source id it is one call."""
    return {"token": "t1"} if source_id is None else {"source_id": source_id}


# 5. A forgets, the session begins anew, B deletes by what it looked up before.


@pytest.mark.parametrize("verb", ["delete", "edit", "reply", "consolidate", "undo"])
async def test_after_a_forget_no_innocent_turn_is_changed_by_what_was_looked_up_before(
    two: Two, verb: str
) -> None:
    session = two.b.session(KEY)
    asked = await session.receive("theirs", source_id="m1")
    assert asked.turn is not None
    await session.append("user", "theirs too")

    async def forget() -> None:
        await two.a.forget(KEY)
        await two.a.session(KEY).append("user", "innocent")
        await two.a.session(KEY).append("user", "innocent too")

    match verb:
        case "delete":
            await forget()
            assert await session.delete(asked.turn) is None
        case "edit":
            await forget()
            assert await session.edit(asked.turn, "changed") is None
        case "reply":
            async with asked.reply() as reply:
                reply.add_text("Because.")
                await forget()
            assert reply.discarded
        case "consolidate":
            two.summarize.meanwhile = forget
            assert not await session.consolidate(two.summarize, keep=0)
            info = await session.info()
            assert info is not None
            assert info.summary is None
        case _:
            two.after_next("read", forget)
            # It looks again, and takes the exchange that is the latest one now.
            assert [turn.content for turn in await session.undo()] == ["innocent too"]
            assert await said(session) == ["innocent"]
            return
    assert await said(session) == ["innocent", "innocent too"]


async def test_forget_sender_takes_no_innocent_turn_of_a_session_that_began_anew(
    two: Two,
) -> None:
    session = two.b.session(KEY)
    for number in range(3):
        await session.append("user", f"theirs {number}", sender="42")

    async def forget() -> None:
        await two.a.forget(KEY)
        for number in range(3):
            await two.a.session(KEY).append("user", f"innocent {number}", sender="7")

    two.after_next("read", forget)
    assert await session.forget_sender("42") == 0
    assert await said(session) == ["innocent 0", "innocent 1", "innocent 2"]


# 6. Two automatic resets at once begin one epoch.


@pytest.mark.parametrize("times", [1, 3])
async def test_two_automatic_resets_at_once_begin_one_epoch(two: Two, times: int) -> None:
    policy = ResetPolicy(idle=timedelta(hours=1))
    recorders = [Recorder(store, reset=policy) for store in (two.a, two.b)]

    async def receive(recorder: Recorder, number: str, hours: int) -> None:
        await recorder.receive(
            recorder.session(two.key),
            f"Hi {number}",
            source_id=number,
            sender=two.sender,
            time=NOON + timedelta(hours=hours),
        )

    await receive(recorders[0], "first", 0)
    for time in range(1, times + 1):
        async with anyio.create_task_group() as tasks:
            for place, recorder in enumerate(recorders):
                tasks.start_soon(receive, recorder, f"{time} {place}", 2 * time)
    info = await two.a.session(KEY).info()
    assert info is not None
    assert info.epoch == 1 + times
    epochs = [turn.epoch for turn in await stored(two.a.session(KEY))]
    assert epochs == [1, *(epoch for epoch in range(2, times + 2) for _ in range(2))]


# 7. What is changed while `summarize` runs is not in the stored summary.


@pytest.mark.parametrize("verb", ["delete", "edit", "forget_sender", "clear", "forget", "erase"])
async def test_what_is_changed_while_summarize_runs_is_not_in_the_summary(
    two: Two, verb: str
) -> None:
    session = two.a.session(KEY)
    await session.append("user", "the secret", source_id="m1", sender="42")
    await session.append("assistant", "noted")
    await session.append("user", "harmless", sender="7")
    await session.append("user", "latest", sender="7")

    async def change() -> None:
        other = two.b.session(KEY)
        match verb:
            case "delete":
                await other.delete("m1")
            case "edit":
                await other.edit("m1", "a pledge")
            case "forget_sender":
                await two.b.forget_sender("42")
            case "forget":
                await two.b.forget(KEY)
            case _:
                await other.clear(erase=verb == "erase")

    two.summarize.meanwhile = change
    await session.consolidate(two.summarize, keep=0)
    info = await session.info()
    summary = "" if info is None else info.summary or ""
    assert "the secret" not in summary
    assert ("a pledge" in summary) == (verb == "edit")


async def test_turns_that_change_all_the_time_are_given_up(two: Two) -> None:
    session = two.a.session(KEY)
    await session.append("user", "a", source_id="m1")
    await session.append("user", "latest")

    async def change() -> None:
        await two.b.session(KEY).edit("m1", f"changed {len(two.summarize.calls)}")
        two.summarize.meanwhile = change

    two.summarize.meanwhile = change
    assert not await session.consolidate(two.summarize, keep=0)
    assert len(two.summarize.calls) == 3
    info = await session.info()
    assert info is not None
    assert (info.summary, info.last_consolidated) == (None, 0)


# 8. Two consolidations pay the summarizer once.


@pytest.mark.parametrize("linked", [False, True])
async def test_two_consolidations_at_once_pay_the_summarizer_once(two: Two, linked: bool) -> None:
    session = two.a.session(KEY)
    for number in range(4):
        await session.append("user", f"{number}")
    await two.a.link("discord:1", KEY)
    done: list[bool] = []

    async def consolidate(store: SessionStore, key: str) -> None:
        done.append(await store.session(key).consolidate(two.summarize, keep=0))

    async with anyio.create_task_group() as tasks:
        tasks.start_soon(consolidate, two.a, KEY)
        tasks.start_soon(consolidate, two.b, "discord:1" if linked else KEY)
    assert sorted(done) == [False, True]
    assert len(two.summarize.calls) == 1


async def test_a_consolidation_begun_while_another_one_asks_its_summarizer_leaves_it_to_that_one(
    two: Two,
) -> None:
    session = two.a.session(KEY)
    for number in range(4):
        await session.append("user", f"{number}")
    second = Summarizer()

    async def consolidate() -> None:
        assert not await two.b.session(KEY).consolidate(second, keep=0)

    two.summarize.meanwhile = consolidate
    assert await session.consolidate(two.summarize, keep=0)
    assert (len(two.summarize.calls), second.calls) == (1, [])
    assert await two.storage.claims() == []


def test_a_storage_that_is_not_shared_is_asked_for_no_lease() -> None:
    calls: list[str] = []

    class Counting(MemoryStorage):
        async def claim(self, *arguments: Any, **options: Any) -> Any:
            calls.append("claim")
            return await super().claim(*arguments, **options)

    async def run() -> None:
        async with SessionStore(Counting()) as store:
            await answer(await store.session(KEY).receive("Hi"))
            await store.session(KEY).append("user", "latest")
            await store.session(KEY).consolidate(Summarizer(), keep=0)

    anyio.run(run)
    assert calls == []
