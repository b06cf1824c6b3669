"""Linked keys are one session, and an alias can be taken back."""

from __future__ import annotations

from datetime import datetime, timedelta, timezone
from pathlib import Path

import anyio
import pytest

from turnkeep import (
    Sender,
    Session,
    SessionKey,
    SessionStore,
)
from turnkeep.adapter import Busy, Overlap, Recorder, ResetPolicy

from .conftest import Place
from .tools import said, stored
from .two import Summarizer

pytestmark = pytest.mark.anyio

DISCORD, TELEGRAM = "discord:1", "telegram:1"
NOON = datetime(2031, 5, 1, 12, tzinfo=timezone.utc)


# Linked keys are one session.


@pytest.mark.parametrize("linked_first", [True, False])
async def test_an_answer_is_in_the_window_where_the_linked_key_is_consolidated_meanwhile(
    store: SessionStore, linked_first: bool
) -> None:
    if linked_first:
        await store.link(DISCORD, TELEGRAM)
    await store.session(TELEGRAM).append("user", "long ago")
    asked = await store.session(DISCORD).receive("Why?", source_id="m1")
    async with asked.reply() as reply:
        if not linked_first:
            await store.link(DISCORD, TELEGRAM)
        session = store.session(TELEGRAM)
        await session.append("user", "later")
        await session.append("user", "latest")
        await session.consolidate(Summarizer(), keep=0)
        reply.add_text("Because.")
    assert not reply.discarded
    turns = await stored(store.session(TELEGRAM))
    question = next(turn for turn in turns if turn.content == "Why?")
    assert [turn.answers for turn in turns if turn.role == "assistant"] == [question.id]
    window = [one["content"] for one in await store.session(TELEGRAM).get_history()]
    if linked_first:
        assert window[1:] == ["Why?", "Because.", "later", "latest"]
    else:
        assert window[1:] == ["latest", "Why?", "Because."]


async def test_already_answered_knows_linked_keys_as_one(store: SessionStore) -> None:
    await store.link(DISCORD, TELEGRAM)
    asked = await store.session(DISCORD).receive("Why?", source_id="m1")
    async with asked.reply() as reply:
        again = await store.session(TELEGRAM).receive("Why?", source_id="m1")
        assert again.already_answered
        reply.add_text("Because.")
    assert (await store.session(TELEGRAM).receive("Why?", source_id="m1")).already_answered


@pytest.mark.parametrize("both_have_turns", [True, False])
async def test_already_answered_holds_where_a_key_is_linked_after_the_answer(
    store: SessionStore, both_have_turns: bool
) -> None:
    asked = await store.session(DISCORD).receive("Why?", source_id="m1")
    if both_have_turns:
        await store.session(TELEGRAM).append("user", "there")
    async with asked.reply() as reply:
        await store.link(DISCORD, TELEGRAM)
        again = await store.session(TELEGRAM).receive("Why?", source_id="m1")
        assert again.already_answered
        reply.add_text("Because.")
    again = await store.session(TELEGRAM).receive("Why?", source_id="m1")
    assert again.already_answered


@pytest.mark.parametrize("busy", ["queue", "latest", "collect", "drop"])
@pytest.mark.parametrize("overlaps", [1, 2])
async def test_busy_knows_linked_keys_as_one(
    store: SessionStore, busy: Busy, overlaps: int
) -> None:
    await store.link(DISCORD, TELEGRAM)
    one = Overlap(busy)
    other = one if overlaps == 1 else Overlap(busy)  # each adapter has its own
    running, most = 0, 0
    began, go_on = anyio.Event(), anyio.Event()

    async def handle(session: Session) -> None:
        nonlocal running, most
        running += 1
        most = max(most, running)
        try:
            began.set()
            await go_on.wait()
        finally:
            running -= 1

    async def run(overlap: Overlap, key: str, source_id: str) -> None:
        await overlap.run(await store.session(key).receive("Hi", source_id=source_id), handle)

    async with anyio.create_task_group() as tasks:
        tasks.start_soon(run, one, DISCORD, "m1")
        await began.wait()
        for number in range(3):
            tasks.start_soon(run, other, TELEGRAM, f"t{number}")
        await anyio.wait_all_tasks_blocked()
        go_on.set()
    assert most == 1


async def test_busy_knows_keys_as_one_that_are_linked_while_a_handler_runs(
    store: SessionStore,
) -> None:
    overlap = Overlap("drop")
    handled: list[str] = []

    async def second(session: Session) -> None:
        handled.append("second")

    async def first(session: Session) -> None:
        handled.append("first")
        await store.session(TELEGRAM).append("user", "there")
        await store.link(DISCORD, TELEGRAM)
        asked = await store.session(TELEGRAM).receive("Hi too", source_id="m2")
        await overlap.run(asked, second)

    await overlap.run(await store.session(DISCORD).receive("Hi", source_id="m1"), first)
    assert handled == ["first"]


async def test_resets_know_linked_keys_as_one(store: SessionStore) -> None:
    await store.link(DISCORD, TELEGRAM)
    policy = ResetPolicy(idle=timedelta(hours=1))
    recorders = [Recorder(store, reset=policy) for _ in range(2)]

    async def receive(recorder: Recorder, key: str, source_id: str, hours: int) -> None:
        session = recorder.session(SessionKey.parse(key))
        time = NOON + timedelta(hours=hours)
        await recorder.receive(session, "Hi", source_id=source_id, sender=Sender("7"), time=time)

    await receive(recorders[0], DISCORD, "m0", 0)
    async with anyio.create_task_group() as tasks:
        tasks.start_soon(receive, recorders[0], DISCORD, "m1", 2)
        tasks.start_soon(receive, recorders[1], TELEGRAM, "m2", 2)
        tasks.start_soon(receive, recorders[0], TELEGRAM, "m3", 2)
    assert [turn.epoch for turn in await stored(store.session(TELEGRAM))] == [1, 2, 2, 2]


async def test_consolidations_know_linked_keys_as_one(store: SessionStore) -> None:
    await store.link(DISCORD, TELEGRAM)
    for number in range(4):
        await store.session(TELEGRAM).append("user", f"{number}")
    summarize = Summarizer()
    summarize.meanwhile = anyio.wait_all_tasks_blocked
    done: list[bool] = []

    async def consolidate(key: str) -> None:
        done.append(await store.session(key).consolidate(summarize, keep=0))

    async with anyio.create_task_group() as tasks:
        tasks.start_soon(consolidate, DISCORD)
        tasks.start_soon(consolidate, TELEGRAM)
    assert sorted(done) == [False, True]
    assert len(summarize.calls) == 1


# Aliases.


async def test_unlink_takes_a_link_back(store: SessionStore) -> None:
    await store.link(DISCORD, TELEGRAM)
    await store.session(DISCORD).append("user", "as one")
    assert await store.unlink(DISCORD) is True
    assert await store.unlink(DISCORD) is False
    await store.session(DISCORD).append("user", "alone")
    assert await said(store.session(DISCORD)) == ["alone"]
    assert await said(store.session(TELEGRAM)) == ["as one"]


@pytest.mark.parametrize("linked_again", [False, True])
async def test_after_an_unlink_what_was_said_before_is_answered_where_it_stays(
    store: SessionStore, linked_again: bool
) -> None:
    await store.link(DISCORD, TELEGRAM)
    asked = await store.session(DISCORD).receive("Hi", source_id="m1")
    async with asked.reply() as reply:
        await store.unlink(DISCORD)
        alone = await store.session(DISCORD).receive("Hi", source_id="m1")
        assert not alone.already_answered
        if linked_again:
            await store.link(DISCORD, TELEGRAM)
        reply.add_text("Hello!")
        await reply.link("m2")
        assert await asked.find("m1") is not None
    await reply.link("m3")
    turns = await stored(store.session(TELEGRAM))
    (found,) = [turn for turn in turns if turn.role == "assistant"]
    assert (found.content, found.source_ids) == ("Hello!", ("m2", "m3"))
    assert next(turn for turn in turns if turn.id == found.answers).content == "Hi"


@pytest.mark.parametrize("times", [1, 3])
async def test_renaming_back_moves_the_session_back(
    place: Place, anyio_backend: str, times: int
) -> None:
    async with place() as store:
        await store.session("a:1").append("user", "Hi", source_id="m1")
        for _ in range(times):
            await store.rename("a:1", "b:1")
            await store.rename("b:1", "a:1")
        await store.rename("b:1", "a:1")  # again does nothing
    async with place() as store:
        assert [info.key.text for info in await store.list_sessions()] == ["a:1"]
        for key in ("a:1", "b:1"):
            assert await said(store.session(key)) == ["Hi"]
        await store.session("b:1").append("user", "more")
        assert [info.key.text for info in await store.list_sessions()] == ["a:1"]


async def test_a_reply_that_is_open_goes_on_where_its_session_moves_there_and_back(
    store: SessionStore,
) -> None:
    asked = await store.session("a:1").receive("Hi")
    async with asked.reply() as reply:
        await store.rename("a:1", "b:1")
        await store.rename("b:1", "a:1")
        reply.add_text("Hello!")
    assert not reply.discarded
    assert await said(store.session("b:1")) == ["Hi", "Hello!"]


@pytest.mark.parametrize("record", ["metadata", "erased", "deleted", "cleared"])
@pytest.mark.parametrize("back", [False, True])
async def test_a_rename_onto_a_session_without_turns_does_not_hide_the_old_ones(
    store: SessionStore, record: str, back: bool
) -> None:
    new = store.session("b:1")
    if record == "metadata":
        await new.update_metadata(a=1)
    else:
        turn = await new.append("user", "gone")
        if record == "deleted":
            await new.delete(turn)
        else:
            await new.clear(erase=True)
            if record == "cleared":
                await new.clear()
    old = store.session("a:1")
    await old.append("user", "Hi")
    await store.rename(*(("b:1", "a:1") if back else ("a:1", "b:1")))
    for session in (old, new):
        assert [one["content"] for one in await session.get_history()] == ["Hi"]
    if record == "metadata":
        info = await new.info()
        assert info is not None
        assert info.metadata == {"a": 1}


async def test_a_rename_onto_an_empty_file_does_not_hide_the_old_turns(
    tmp_path: Path, anyio_backend: str
) -> None:
    (tmp_path / "b").mkdir()
    (tmp_path / "b" / "1.jsonl").touch()
    async with SessionStore(tmp_path) as store:
        await store.session("a:1").append("user", "Hi")
        await store.rename("a:1", "b:1")
        for key in ("a:1", "b:1"):
            window = await store.session(key).get_history()
            assert [one["content"] for one in window] == ["Hi"]
