"""When a bot opens and leaves its store, and what it waits for, on each platform."""

from __future__ import annotations

import asyncio

import pytest

from adapters.platforms import Platform, echo
from adapters.tools import is_closed
from turnkeep import SessionStore, StoreClosedError
from turnkeep.adapter import ChatSession

pytestmark = pytest.mark.asyncio


async def test_the_store_opens_before_the_first_message_and_is_left_with_the_bot(
    platform: Platform,
) -> None:
    for _ in range(2):
        await platform.start()
        with pytest.raises(TimeoutError, match="another SessionStore of this process owns"):
            await SessionStore(platform.folder, lock_timeout=0).__aenter__()
        await platform.stop()
        assert await is_closed(platform.store)
    async with SessionStore(platform.folder, lock_timeout=0):
        pass


async def test_a_store_that_was_not_opened_at_the_start_opens_with_the_first_message(
    platform: Platform,
) -> None:
    here = platform.private(platform.ada)
    await platform.start(echo, lazily=True)
    assert not platform.folder.exists()
    await platform.say(platform.ada, "hello")
    await platform.shows("to hello", at=here)
    await platform.say(platform.ada, "and")
    await platform.shows("to hello", "to and", at=here)
    await platform.stop()
    lines = ["user: hello", "assistant: to hello", "user: and", "assistant: to and"]
    assert await platform.said(here) == lines


async def test_a_store_that_its_user_has_opened_stays_open(platform: Platform) -> None:
    async with SessionStore(platform.folder) as store:
        await platform.start(store=store)
        await platform.say(platform.ada, "hello")
        await platform.hears("hello")
        await platform.stop()
        assert not await is_closed(store)
    assert await is_closed(store)


async def test_nothing_is_lost_while_handlers_finish_as_the_bot_ends(platform: Platform) -> None:
    here, may_end = platform.group, asyncio.Event()

    async def slow(chat_session: ChatSession, text: str) -> None:
        await may_end.wait()
        await echo(chat_session, text)

    await platform.start(slow)
    texts = [str(number) for number in range(8)]
    for text in texts:
        await platform.say(platform.ada, text, at=here)
    await platform.wait(lambda: len(platform.heard) == len(texts))
    ending = asyncio.create_task(platform.stop())
    await platform.wait(lambda: platform.leaving)
    assert not ending.done()
    may_end.set()
    await ending
    assert sorted(platform.sent(here)) == [f"to {text}" for text in texts]
    turns = await platform.turns(here)
    assert [turn.text for turn in turns[: len(texts)]] == texts
    answers = {turn.text: turn.answers for turn in turns[len(texts) :]}
    assert answers == {f"to {text}": number for number, text in enumerate(texts, 1)}


@pytest.mark.parametrize("busy", ["queue", "collect", "latest"])
async def test_what_waits_in_line_as_the_bot_ends_is_answered(
    platform: Platform, busy: str
) -> None:
    here, may_end = platform.group, asyncio.Event()

    async def slow(chat_session: ChatSession, text: str) -> None:
        await may_end.wait()
        await echo(chat_session, text)

    await platform.start(slow, busy=busy)
    for text in "abc":
        await platform.say(platform.ada, text, at=here)
    await platform.stores("user: a", "user: b", "user: c", at=here)
    await platform.wait(lambda: "c" in platform.heard if busy == "latest" else platform.heard)
    ending = asyncio.create_task(platform.stop())
    await platform.wait(lambda: platform.leaving)
    may_end.set()
    await ending
    turns = await platform.turns(here)
    answered = {one for turn in turns for one in (turn.answers, *turn.also_answers) if one}
    assert answered == {1, 2, 3}


async def test_a_burst_that_waits_for_more_as_the_bot_ends_is_answered(
    platform: Platform,
) -> None:
    here = platform.group
    await platform.start(echo, debounce=7)  # `b` comes within it on a busy machine
    await platform.say(platform.ada, "a", at=here)
    await platform.say(platform.ada, "b", at=here)
    await platform.stores("user: a", "user: b", at=here)
    await platform.stop()
    assert await platform.said(here) == ["user: a", "user: b", "assistant: to b"]


async def test_a_handler_that_never_ends_is_waited_for_a_limited_time_and_told_of(
    platform: Platform, caplog: pytest.LogCaptureFixture
) -> None:
    never, outcome = asyncio.Event(), list[type[BaseException]]()

    async def endless(chat_session: ChatSession, text: str) -> None:
        try:
            async with chat_session.reply() as reply:
                await never.wait()
                reply.add_text("too late")
        except BaseException as error:
            outcome.append(type(error))
            raise

    await platform.start(endless, drain_timeout=0.05)
    await platform.say(platform.ada, "hello")
    await platform.hears("hello")
    await platform.stop()
    assert "1 handlers still run after 0.05 seconds" in caplog.text
    never.set()
    await platform.wait(lambda: outcome, "an error")
    assert outcome == [StoreClosedError], "it is told, and not lost in silence"
    assert await platform.said(platform.private(platform.ada)) == ["user: hello"]


async def test_a_handler_that_fails_does_not_hold_the_end_up(
    platform: Platform, caplog: pytest.LogCaptureFixture
) -> None:
    async def fail(chat_session: ChatSession, text: str) -> None:
        raise LookupError("a bug of the bot's")

    await platform.start(fail)
    await platform.say(platform.ada, "hello")
    await platform.wait(lambda: "a bug of the bot's" in caplog.text)
    await platform.stop()
    assert "still run" not in caplog.text
