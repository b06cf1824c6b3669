"""What the bot sends by itself, recorded where that is asked for, on each platform."""

from __future__ import annotations

from collections.abc import AsyncIterator

import pytest

from adapters.platforms import Handler, Platform
from turnkeep.adapter import ChatSession

pytestmark = pytest.mark.asyncio


async def run(platform: Platform, handler: Handler, *, capture: bool = True) -> list[str]:
    """What is stored, when a bot with this handler was told "hello" and has ended."""
    await platform.start(handler, capture=capture)
    await platform.say(platform.ada, "hello", at=platform.group)
    await platform.hears("hello")
    await platform.ended()
    await platform.told()
    await platform.stop()
    return await platform.said(platform.group)


@pytest.mark.parametrize("capture", [False, True], ids=["by default", "if asked"])
async def test_it_is_recorded_only_if_asked(platform: Platform, capture: bool) -> None:
    async def handle(chat_session: ChatSession, text: str) -> None:
        await platform.post(platform.group, "one")
        await platform.post(platform.group, "two")

    captured = ["assistant: one", "assistant: two"] if capture else []
    assert await run(platform, handle, capture=capture) == ["user: hello", *captured]


async def test_a_message_is_one_turn_as_it_stands_in_the_end(platform: Platform) -> None:
    async def handle(chat_session: ChatSession, text: str) -> None:
        posted = await platform.post(platform.group, "…")
        for text in ("half", "half of", "all of it"):
            await posted.edit(text)

    assert await run(platform, handle) == ["user: hello", "assistant: all of it"]
    (_, turn) = await platform.turns(platform.group)
    assert turn.source_ids == platform.source_ids(platform.group)
    assert b"half" not in platform.bytes()


async def test_a_message_that_is_deleted_is_none(platform: Platform) -> None:
    async def handle(chat_session: ChatSession, text: str) -> None:
        posted = await platform.post(platform.group, "one moment")
        await platform.post(platform.group, "here")
        await posted.delete()

    assert await run(platform, handle) == ["user: hello", "assistant: here"]


async def test_a_streamed_answer_is_one_turn(platform: Platform) -> None:
    async def says() -> AsyncIterator[str]:
        for number in range(platform.limit // 3):
            yield f"{number} "

    async def handle(chat_session: ChatSession, text: str) -> None:
        assert chat_session.outlet is not None
        chat_session.outlet.pace = 0.05
        await chat_session.answer(says())

    whole = "".join(f"{number} " for number in range(platform.limit // 3))
    assert await run(platform, handle) == ["user: hello", f"assistant: {whole}"]
    assert len(platform.sent(platform.group)) > 1


async def test_a_placeholder_that_becomes_the_linked_answer_is_one_turn(
    platform: Platform,
) -> None:
    async def handle(chat_session: ChatSession, text: str) -> None:
        posted = await platform.post(platform.group, "…")
        async with chat_session.reply() as reply:
            reply.add_text("**said**")
            await posted.edit("said")
            await reply.link(posted.source_id)

    assert await run(platform, handle) == ["user: hello", "assistant: **said**"]


async def test_what_is_sent_after_the_reply_is_a_turn_of_its_own(platform: Platform) -> None:
    async def handle(chat_session: ChatSession, text: str) -> None:
        async with chat_session.reply() as reply:
            reply.add_text("said")
            await reply.link((await platform.post(platform.group, "said")).source_id)
        await platform.post(platform.group, "By the way")

    lines = ["user: hello", "assistant: said", "assistant: By the way"]
    assert await run(platform, handle) == lines


async def test_a_placeholder_that_is_edited_inside_of_the_reply_is_a_part_of_it(
    platform: Platform,
) -> None:
    async def handle(chat_session: ChatSession, text: str) -> None:
        posted = await platform.post(platform.group, "…")
        async with chat_session.reply() as reply:
            reply.add_text("**said**")
            await posted.edit("said")

    assert await run(platform, handle) == ["user: hello", "assistant: **said**"]


async def test_what_is_sent_inside_of_a_reply_is_a_part_of_it(platform: Platform) -> None:
    async def handle(chat_session: ChatSession, text: str) -> None:
        async with chat_session.reply() as reply:
            reply.add_text("**one** **two**")
            await platform.post(platform.group, "one")
            await platform.post(platform.group, "two")

    assert await run(platform, handle) == ["user: hello", "assistant: **one** **two**"]
    (_, turn) = await platform.turns(platform.group)
    assert turn.source_ids == platform.source_ids(platform.group)


async def test_a_chat_of_others_is_not_recorded_into_the_session_in_hand(
    platform: Platform,
) -> None:
    private = platform.private(platform.bob)
    await platform.start()
    await platform.told()  # so that the bot may write to Bob
    await platform.stop()

    async def handle(chat_session: ChatSession, text: str) -> None:
        async with chat_session.reply() as reply:
            reply.add_text("said")
            await platform.post(private, "Somebody wrote")

    assert await run(platform, handle) == ["user: hello", "assistant: said"]
    assert "assistant: Somebody wrote" in await platform.said(private)
