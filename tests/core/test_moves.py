"""Whoever holds a turn when its session is joined with another one still means that turn."""

from __future__ import annotations

from contextlib import suppress
from typing import Any

import anyio
import pytest

from patience import PATIENCE
from turnkeep import Session, SessionStore, StoreClosedError
from turnkeep.storage.memory import MemoryStorage

from .tools import said, stored

pytestmark = pytest.mark.anyio

OLD, NEW = "t:1", "t:-100"


async def before_and_after(store: SessionStore) -> Session:
    """Two turns under the old key, and a session under the new one."""
    for text in ("long ago", "before"):
        await store.session(OLD).append("user", text, source_id=f"1:{text}")
    return store.session(NEW)


@pytest.mark.parametrize("bound", [True, False], ids=["bound", "unbound"])
async def test_an_answer_in_flight_finds_its_message(store: SessionStore, bound: bool) -> None:
    session = await before_and_after(store)
    received = await session.receive("after", source_id="2:1")
    async with (received if bound else session).reply() as reply:
        reply.add_tool_call("c1", "look", "{}")
        reply.add_tool_result("c1", "a cat")
        await store.rename(OLD, NEW)
        window = await reply.get_history()
        assert [one["role"] for one in window] == ["user", "assistant", "tool"]
        assert window[0]["content"] == "after"
        reply.add_text("answered")
    assert not reply.discarded
    turns = await stored(session)
    question = next(turn for turn in turns if turn.content == "after")
    answers = [turn for turn in turns if turn.role != "user"]
    assert {turn.answers for turn in answers} == {question.id}
    assert (await session.get_history())[-1] == {"role": "assistant", "content": "answered"}


async def test_a_reply_that_begins_later_answers_the_message_in_hand(store: SessionStore) -> None:
    session = await before_and_after(store)
    received = await session.receive("after")  # without a platform's id
    later = await session.receive("later", source_id="2:2")
    await store.rename(OLD, NEW)
    async with later.reply() as reply:
        reply.add_text("answered")
    assert not reply.discarded
    assert later.already_answered
    async with received.reply() as reply:
        reply.add_text("answered too")
    assert not reply.discarded
    answers = {turn.content: turn.answers for turn in await stored(session) if turn.answers}
    assert answers == {"answered": 4, "answered too": 3}


async def test_a_window_ends_with_the_message_in_hand(store: SessionStore) -> None:
    session = await before_and_after(store)
    received = await session.receive("after", source_id="2:1")
    await session.append("user", "later")
    await store.rename(OLD, NEW)
    assert [one["content"] for one in await received.get_history()] == ["after"]


async def test_a_cleared_conversation_is_not_answered_though_it_moved(store: SessionStore) -> None:
    session = await before_and_after(store)
    received = await session.receive("after", source_id="2:1")
    async with received.reply() as reply:
        reply.add_text("answered")
        await session.clear()
        await store.rename(OLD, NEW)
    assert reply.discarded


async def test_what_an_answer_was_sent_as_is_linked_to_it_where_it_moved(
    store: SessionStore,
) -> None:
    session = await before_and_after(store)
    received = await session.receive("after", source_id="2:1")
    async with received.reply() as reply:
        reply.add_text("answered")
        await reply.link("2:5")
    await store.rename(OLD, NEW)
    await reply.link("2:6")
    turn = await session.find("2:6")
    assert turn is not None
    assert turn.content == "answered"


@pytest.mark.parametrize("verb", ["edit", "delete"])
async def test_a_turn_is_changed_where_it_moved(store: SessionStore, verb: str) -> None:
    session = await before_and_after(store)
    turn = await session.append("user", "after", source_id="2:1")
    await store.rename(OLD, NEW)
    if verb == "edit":
        await session.edit(turn, "changed")
    else:
        await session.delete(turn)
    assert await said(session) == ["long ago", "before", *(["changed"] if verb == "edit" else [])]


class Halting(MemoryStorage):
    """One that halts each look at what is stored, when it has looked."""

    def __init__(self) -> None:
        super().__init__()
        self.looked, self.go_on = anyio.Event(), anyio.Event()
        self.go_on.set()

    async def find(self, *arguments: Any, **options: Any) -> Any:
        return await self._halted(await super().find(*arguments, **options))

    async def find_all(self, *arguments: Any, **options: Any) -> Any:
        return await self._halted(await super().find_all(*arguments, **options))

    async def read(self, *arguments: Any, **options: Any) -> Any:
        return await self._halted(await super().read(*arguments, **options))

    async def _halted(self, seen: object) -> Any:
        self.looked.set()
        await self.go_on.wait()
        return seen


@pytest.mark.parametrize("verb", ["edit", "delete", "delete anywhere", "forget_sender", "undo"])
async def test_a_change_at_the_time_of_a_rename_changes_its_own_turn(verb: str) -> None:
    storage = Halting()
    async with SessionStore(storage) as store:
        old, new = store.session(OLD), store.session(NEW)
        await old.append("user", "long ago", source_id="1:1", sender=1)
        await new.append("user", "before", source_id="2:1", sender=2)

        async def change() -> None:
            match verb:
                case "edit":
                    await new.edit("2:1", "after")
                case "delete":
                    await new.delete("2:1")
                case "delete anywhere":
                    await store.delete("2:1", prefix=NEW)
                case "forget_sender":
                    await new.forget_sender(2)
                case _:
                    await new.undo()

        storage.looked, storage.go_on = anyio.Event(), anyio.Event()
        async with anyio.create_task_group() as tasks:
            tasks.start_soon(change)
            await storage.looked.wait()
            tasks.start_soon(store.rename, OLD, NEW)
            await anyio.wait_all_tasks_blocked()
            storage.go_on.set()
        assert await said(new) == ["long ago", *(["after"] if verb == "edit" else [])]


class SlowToMove(MemoryStorage):
    """One whose renames take until they are let go on."""

    def __init__(self) -> None:
        super().__init__()
        self.moving, self.go_on = anyio.Event(), anyio.Event()

    async def rename(self, *arguments: Any, **options: Any) -> Any:
        self.moving.set()
        await self.go_on.wait()
        return await super().rename(*arguments, **options)


@pytest.mark.parametrize("verb", ["reply", "append"])
async def test_an_answer_that_is_stored_during_a_rename_is_to_its_message(verb: str) -> None:
    storage = SlowToMove()
    async with SessionStore(storage) as store:
        session = await before_and_after(store)
        received = await session.receive("after", source_id="2:1")
        reply = received.reply()

        async def answer() -> None:
            if verb == "append":
                await received.append("assistant", "answered")
            else:
                await reply.__aexit__(None, None, None)

        if verb == "reply":
            await reply.__aenter__()
            reply.add_text("answered")
        async with anyio.create_task_group() as tasks:
            tasks.start_soon(store.rename, OLD, NEW)
            await storage.moving.wait()
            tasks.start_soon(answer)
            await anyio.wait_all_tasks_blocked()
            storage.go_on.set()
        assert not reply.discarded
        question, answered = (await stored(session))[-2:]
        assert (question.content, answered.content) == ("after", "answered")
        assert answered.answers == question.id


async def test_a_store_that_is_closed_while_a_rename_waits_for_an_edit_closes() -> None:
    storage = Halting()
    with anyio.fail_after(PATIENCE):
        store = SessionStore(storage)
        await store.__aenter__()
        session = store.session(NEW)
        await session.append("user", "before", source_id="2:1")
        storage.looked, storage.go_on = anyio.Event(), anyio.Event()

        async def edit() -> None:
            with suppress(StoreClosedError):  # it may come too late, and is told so
                await session.edit("2:1", "after")

        async def rename() -> None:
            with suppress(StoreClosedError):
                await store.rename(OLD, NEW)

        async with anyio.create_task_group() as tasks:
            tasks.start_soon(edit)
            await storage.looked.wait()
            tasks.start_soon(rename)
            await anyio.wait_all_tasks_blocked()
            tasks.start_soon(store.aclose)
            await anyio.wait_all_tasks_blocked()
            storage.go_on.set()
