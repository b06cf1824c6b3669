"""Answers on Telegram whose place is lost in the middle of them: they go on, or end there."""

from __future__ import annotations

from collections.abc import AsyncIterator, Callable
from pathlib import Path

import pytest
import pytest_asyncio

from adapters.on_telegram import Telegram
from adapters.platforms import Place
from turnkeep import Turn
from turnkeep.adapter import ChatSession

pytestmark = pytest.mark.asyncio


@pytest_asyncio.fixture
async def platform(tmp_path: Path) -> AsyncIterator[Telegram]:
    async with Telegram(tmp_path / "sessions") as platform:
        yield platform


async def answer(
    platform: Telegram, at: Place, pieces: list[str], accident: Callable[[], object]
) -> tuple[int, Turn]:
    """How many pieces of an answer were paid for, with an accident at the second; and its turn."""
    paid = 0

    async def says() -> AsyncIterator[str]:
        nonlocal paid
        for piece in pieces:
            if paid == 1:
                accident()
            paid += 1
            yield piece

    async def handle(chat_session: ChatSession, text: str) -> None:
        assert chat_session.outlet is not None
        chat_session.outlet.pace = 0
        await chat_session.answer(says())

    await platform.start(handle)
    await platform.say(platform.ada, "count", at=at)
    await platform.hears("count")
    await platform.ended()
    await platform.stop()
    *_, turn = await platform.turns(at)
    return paid, turn


async def test_in_a_topic_that_is_closed_a_message_still_grows(platform: Telegram) -> None:
    at = platform.topic
    paid, turn = await answer(
        platform,
        at,
        ["one ", "two ", "three"],
        lambda: platform.server.close_topic(at.chat, at.topic),
    )
    assert (paid, turn.text, turn.interrupted) == (3, "one two three", False)
    assert platform.sent(at) == ["one two three"]


async def test_in_a_topic_that_is_closed_an_answer_ends_with_its_message(
    platform: Telegram,
) -> None:
    at = platform.topic
    paid, turn = await answer(
        platform,
        at,
        ["word " * 600] * 40,
        lambda: platform.server.close_topic(at.chat, at.topic),
    )
    assert (paid, turn.interrupted) == (2, True)
    assert len(platform.sent(at)) == 1
    assert len(platform.sent(at)[0]) > 3000, "the message that was there is full"
    assert turn.source_ids == platform.source_ids(at)


async def test_in_a_topic_that_is_deleted_an_answer_ends_and_is_shown_nowhere_else(
    platform: Telegram,
) -> None:
    at = platform.topic
    paid, turn = await answer(
        platform,
        at,
        [f"{number} " for number in range(40)],
        lambda: platform.server.delete_topic(at.chat, at.topic),
    )
    assert (paid, turn.text, turn.interrupted) == (2, "0 1 ", True)
    assert platform.server.sent(at.chat) == []


async def test_in_a_group_that_removes_the_bot_an_answer_ends(platform: Telegram) -> None:
    at = platform.group
    paid, turn = await answer(
        platform,
        at,
        [f"{number} " for number in range(40)],
        lambda: platform.server.kick(at.chat),
    )
    assert (paid, turn.text, turn.interrupted) == (2, "0 1 ", True)
    assert turn.source_ids == platform.source_ids(at)


async def test_a_message_that_is_deleted_in_mid_answer_is_sent_again(platform: Telegram) -> None:
    at = platform.private(platform.ada)
    paid, turn = await answer(
        platform,
        at,
        ["one ", "two ", "three"],
        lambda: platform.server.delete({"update_id": 0, "message": platform.server.sent(71)[0]}),
    )
    assert (paid, turn.text) == (3, "one two three")
    assert platform.sent(at) == ["one two three"]
    assert platform.source_ids(at)[0] in turn.source_ids


async def test_who_blocks_the_bot_in_mid_answer_sees_the_message_grow_but_gets_no_other(
    platform: Telegram,
) -> None:
    at = platform.private(platform.ada)
    paid, turn = await answer(
        platform, at, ["word " * 600] * 40, lambda: platform.server.block(int(platform.ada.id))
    )
    assert (paid, turn.interrupted) == (2, True)
    assert turn.source_ids == platform.source_ids(at)
    assert len(turn.source_ids) == 1
