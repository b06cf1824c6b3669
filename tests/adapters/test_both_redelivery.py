"""A message that the platform delivers twice is stored once and answered once, on each platform."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator

import pytest

from adapters.platforms import Platform, echo
from patience import PATIENCE
from turnkeep.adapter import Busy, ChatSession

pytestmark = pytest.mark.asyncio

ONCE = ["user: hello", "assistant: to hello", "user: and", "assistant: to and"]


async def test_when_it_was_answered(platform: Platform) -> None:
    here = platform.private(platform.ada)
    await platform.start(echo)
    hello = await platform.say(platform.ada, "hello")
    await platform.stores(*ONCE[:2], at=here)
    await platform.redeliver(hello)
    await platform.say(platform.ada, "and")
    await platform.shows("to hello", "to and", at=here)
    await platform.stop()
    assert await platform.said(here) == ONCE
    assert platform.heard == ["hello", "and"]


@pytest.mark.parametrize("busy", ["parallel", "queue", "latest", "collect", "drop"])
async def test_while_it_is_being_answered(platform: Platform, busy: Busy) -> None:
    may_end = asyncio.Event()

    async def slow(chat_session: ChatSession, text: str) -> None:
        await may_end.wait()
        await echo(chat_session, text)

    here = platform.private(platform.ada)
    await platform.start(slow, busy=busy)
    hello = await platform.say(platform.ada, "hello")
    await platform.hears("hello")
    await platform.redeliver(hello)
    # What is said in another chat shows that the bot has had the message again.
    await platform.say(platform.bob, "over")
    await platform.hears("hello", "over")
    may_end.set()
    await platform.shows("to hello", at=here)
    await platform.ended()
    await platform.say(platform.ada, "and")
    await platform.shows("to hello", "to and", at=here)
    await platform.stop()
    assert await platform.said(here) == ONCE
    assert platform.heard == ["hello", "over", "and"]


async def test_twice_at_once(platform: Platform) -> None:
    here = platform.private(platform.ada)
    await platform.start(echo)
    hello = await platform.say(platform.ada, "hello")
    await platform.redeliver(hello)
    await platform.redeliver(hello)
    await platform.say(platform.ada, "and")
    await platform.wait(lambda: len(platform.sent(here)) == 2, "two answers")
    await platform.stop()
    assert sorted(await platform.said(here)) == sorted(ONCE)
    assert platform.heard == ["hello", "and"]


async def test_when_it_was_answered_and_the_process_ended_since(platform: Platform) -> None:
    here = platform.private(platform.ada)
    await platform.start(echo)
    hello = await platform.say(platform.ada, "hello")
    await platform.stores(*ONCE[:2], at=here)
    await platform.restart()
    await platform.redeliver(hello)
    await platform.say(platform.ada, "and")
    await platform.shows("to hello", "to and", at=here)
    await platform.stop()
    assert await platform.said(here) == ONCE
    assert platform.heard == ["hello", "and"]


@pytest.mark.parametrize("keep", [False, True], ids=["dropped", "kept"])
async def test_when_the_process_died_before_the_answer_was_whole_it_is_answered_at_last(
    platform: Platform, keep: bool
) -> None:
    halfway = asyncio.Event()

    async def half() -> AsyncIterator[str]:
        yield "half"
        halfway.set()
        await asyncio.Event().wait()

    async def mortal(chat_session: ChatSession, text: str) -> None:
        if not halfway.is_set():
            await chat_session.answer(half(), keep_interrupted=keep)
        await echo(chat_session, text)

    here = platform.private(platform.ada)
    await platform.start(mortal)
    hello = await platform.say(platform.ada, "hello")
    await asyncio.wait_for(halfway.wait(), PATIENCE)
    await platform.notes()
    await platform.die()
    await platform.redeliver(hello)
    await platform.shows("to hello", at=here)
    await platform.stop()
    part = ["assistant: half"] if keep else []
    assert await platform.said(here) == ["user: hello", *part, "assistant: to hello"]
    assert f'"{hello.source_id}"' in platform.file(here).read_text()


async def test_what_was_answered_together_with_a_later_message_is_known_too(
    platform: Platform,
) -> None:
    here = platform.private(platform.ada)
    await platform.start(echo, debounce=3)
    messages = [await platform.say(platform.ada, text) for text in "ab"]
    lines = ["user: a", "user: b", "assistant: to b"]
    await platform.stores(*lines, at=here)
    await platform.restart()
    for message in messages:
        await platform.redeliver(message)
    await platform.say(platform.ada, "c")
    await platform.shows("to b", "to c", at=here)
    await platform.stop()
    assert await platform.said(here) == [*lines, "user: c", "assistant: to c"]
    assert platform.heard == ["b", "c"]
