"""Handlers that clear the conversation and go on with the message in hand, on each platform."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator, Awaitable, Callable
from pathlib import Path
from typing import Any

import pytest

from adapters.platforms import Handler, Platform
from patience import PATIENCE
from turnkeep import Reply, SessionStore
from turnkeep.adapter import ChatSession
from turnkeep.storage.memory import MemoryStorage

pytestmark = pytest.mark.asyncio

Way = Callable[[ChatSession, bool], Awaitable[object]]


async def model(window: list[Any]) -> AsyncIterator[str]:
    """A model that repeats what it got."""
    yield " + ".join(str(one["content"]) for one in window)


async def before_the_window(session: ChatSession, erase: bool) -> None:
    await session.clear(erase=erase)
    await session.answer(model(await session.get_history()))


async def before_the_answer(session: ChatSession, erase: bool) -> None:
    async def ask(reply: Reply) -> AsyncIterator[str]:
        async for piece in model(await reply.get_history()):
            yield piece

    await session.clear(erase=erase)
    await session.answer(ask)


async def in_a_tool(session: ChatSession, erase: bool) -> None:
    async def ask(reply: Reply) -> AsyncIterator[str]:
        reply.add_tool_call("1", "start_over", {})
        await session.clear(erase=erase)
        reply.add_tool_result("1", "done")
        window = await reply.get_history()
        assert [one["role"] for one in window] == ["user", "assistant", "tool"]
        async for piece in model(window[:1]):
            yield piece

    await session.answer(ask)


async def in_a_reply(session: ChatSession, erase: bool) -> None:
    async with session.reply() as reply:
        await session.clear(erase=erase)
        async for piece in model(await reply.get_history()):
            reply.add_text(piece)
    assert session.outlet is not None
    await reply.link(await session.outlet.send(reply.said))


def handler(way: Way, *, erase: bool) -> Handler:
    """A handler that begins a new conversation with what begins with `new`."""

    async def handle(session: ChatSession, text: str) -> None:
        if text.startswith("new"):
            await way(session, erase)
        else:
            await session.answer(model(await session.get_history()))

    return handle


@pytest.mark.parametrize("erase", [False, True])
@pytest.mark.parametrize("busy", ["parallel", "queue"])
@pytest.mark.parametrize("way", [before_the_window, before_the_answer, in_a_tool, in_a_reply])
async def test_the_message_in_hand_begins_the_conversation_that_its_handler_asks_for(
    platform: Platform, way: Way, busy: str, erase: bool
) -> None:
    here = platform.private(platform.ada)
    await platform.start(handler(way, erase=erase), busy=busy)
    await platform.say(platform.ada, "old")
    await platform.shows("old", at=here)
    asked = await platform.say(platform.ada, "new: a joke")
    await platform.shows("old", "new: a joke", at=here)
    await platform.ended()
    await platform.redeliver(asked)
    await platform.say(platform.ada, "why?")
    await platform.wait(lambda: len(platform.sent(here)) == 3)
    await platform.ended()
    assert platform.sent(here)[-1].endswith("new: a joke + why?")
    assert not platform.sent(here)[-1].startswith("old")
    turns = await platform.turns(here)
    assert [turn.text for turn in turns if turn.epoch == 1] == ([] if erase else ["old", "old"])
    question, *answer = [turn for turn in turns if turn.epoch == 2][:-2]
    assert (question.text, question.source_id) == ("new: a joke", asked.source_id)
    assert {turn.answers for turn in answer} == {question.id}
    assert answer[-1].source_ids == platform.source_ids(here)[1:2]
    assert await platform.store.unanswered() == []


async def test_a_handler_that_clears_and_asks_no_model_leaves_its_message_behind(
    platform: Platform,
) -> None:
    async def start_over(session: ChatSession, erase: bool) -> None:
        await session.clear(erase=erase)
        await session.answer("A new conversation.")

    here = platform.private(platform.ada)
    await platform.start(handler(start_over, erase=False))
    await platform.say(platform.ada, "new conversation")
    await platform.shows("A new conversation.", at=here)
    await platform.ended()
    turns = await platform.turns(here)
    assert [(turn.text, turn.epoch) for turn in turns] == [
        ("new conversation", 1),
        ("A new conversation.", 2),
    ]


async def test_a_message_that_is_deleted_behind_the_clear_does_not_come_back(
    platform: Platform,
) -> None:
    is_cleared, is_deleted = asyncio.Event(), asyncio.Event()

    async def slowly(session: ChatSession, erase: bool) -> None:
        await session.clear(erase=erase)
        is_cleared.set()
        await asyncio.wait_for(is_deleted.wait(), PATIENCE)
        await session.answer(model(await session.get_history()), nothing="gone")

    here = platform.told_of_deletions
    await platform.start(handler(slowly, erase=False))
    asked = await platform.say(platform.ada, "new: a joke", at=here)
    await asyncio.wait_for(is_cleared.wait(), PATIENCE)
    await platform.delete(asked)
    await platform.told()
    is_deleted.set()
    await platform.ended()
    assert "new: a joke" not in [turn.text for turn in await platform.turns(here)]


@pytest.mark.parametrize("shared", [False, True])
async def test_a_crash_behind_the_clear_leaves_the_message_owed_where_it_stands_now(
    platform: Platform, tmp_path: Path, shared: bool
) -> None:
    memory = MemoryStorage(shared=True)

    def new_store() -> SessionStore:
        return SessionStore(memory if shared else tmp_path / "sessions", lock_timeout=0)

    halfway, tries = asyncio.Event(), 0

    async def mortal(session: ChatSession, erase: bool) -> None:
        async def ask(reply: Reply) -> AsyncIterator[str]:
            nonlocal tries
            tries += 1
            window = await reply.get_history()
            yield "to "
            if tries == 1:
                halfway.set()
                await asyncio.Event().wait()
            async for piece in model(window):
                yield piece

        await session.clear(erase=erase)
        await session.answer(ask)

    here = platform.private(platform.ada)
    await platform.start(handler(mortal, erase=False), store=new_store())
    await platform.say(platform.ada, "old")
    await platform.shows("old", at=here)
    asked = await platform.say(platform.ada, "new: a joke")
    await asyncio.wait_for(halfway.wait(), PATIENCE)
    await platform.notes()
    await platform.die(store=new_store())
    await platform.shows("old", "to new: a joke", at=here)
    await platform.ended()
    assert await platform.store.unanswered() == []
    turns = await platform.turns(here)
    assert [turn.text for turn in turns] == ["old", "old", "new: a joke", "to new: a joke"]
    assert turns[-1].answers == turns[-2].id
    assert turns[-2].source_id == asked.source_id
