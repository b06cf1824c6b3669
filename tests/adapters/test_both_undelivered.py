"""Answers that cannot be delivered, on each platform: blocked, or told to wait for hours."""

from __future__ import annotations

from collections.abc import AsyncIterator
from typing import Any, Literal

import pytest

from adapters.on_telegram import Telegram
from adapters.platforms import Handler, Platform
from turnkeep.adapter import ChatSession, SlowDownError, UnreachableError

pytestmark = pytest.mark.asyncio

HOURS = 43_838


class Model:
    """A model of 40 pieces, which counts those that were paid for."""

    def __init__(self) -> None:
        self.paid = 0
        self.closed = False
        self.raised: list[Exception] = []

    async def says(self) -> AsyncIterator[str]:
        try:
            for number in range(40):
                self.paid += 1
                yield f"piece {number} "
        finally:
            self.closed = True

    def handler(self, says: str = "", **options: Any) -> Handler:
        async def handle(chat_session: ChatSession, text: str) -> None:
            assert chat_session.outlet is not None
            chat_session.outlet.pace = 0
            try:
                await chat_session.answer(says or self.says(), **options)
            except (SlowDownError, UnreachableError) as error:
                self.raised.append(error)

        return handle


async def block(platform: Platform) -> None:
    """Ada blocks the bot."""
    if isinstance(platform, Telegram):
        platform.server.block(int(platform.ada.id))
    else:
        await platform.server.block(platform.ada.id)  # type: ignore[attr-defined]


async def ask_and_block(platform: Platform, model: Model, **options: Any) -> None:
    """Ada asks, and has blocked the bot when it answers."""
    handle = model.handler(**options)

    async def blocked(chat_session: ChatSession, text: str) -> None:
        await block(platform)
        await handle(chat_session, text)

    await ask(platform, blocked)


async def ask(platform: Platform, handler: Handler) -> None:
    await platform.start(handler)
    await platform.say(platform.ada, "hello")
    await platform.hears("hello")
    await platform.ended()
    await platform.stop()


async def test_a_stream_is_not_consumed_to_its_end_for_a_user_who_blocked_the_bot(
    platform: Platform, caplog: pytest.LogCaptureFixture
) -> None:
    model = Model()
    await ask_and_block(platform, model)
    assert (model.paid, model.closed) == (1, True)
    assert model.raised == []
    assert "could not be delivered" in caplog.text


@pytest.mark.parametrize("wish", ["store", "drop", "raise"])
async def test_what_was_said_to_nobody_is_stored_or_dropped_or_raised_as_its_author_wishes(
    platform: Platform, wish: Literal["store", "drop", "raise"]
) -> None:
    model = Model()
    await ask_and_block(platform, model, undelivered=wish)
    turns = await platform.turns(platform.private(platform.ada))
    stored = [("piece 0 ", True)] if wish == "store" else []
    assert [(turn.text, turn.interrupted) for turn in turns[1:]] == stored
    assert [type(error) for error in model.raised] == [UnreachableError] * (wish == "raise")


async def test_the_wish_may_be_a_function_of_the_error(platform: Platform) -> None:
    model, told = Model(), list[Exception]()

    def wish(error: Exception) -> Literal["drop"]:
        told.append(error)
        return "drop"

    await ask_and_block(platform, model, undelivered=wish)
    assert [type(error) for error in told] == [UnreachableError]
    assert await platform.said(platform.private(platform.ada)) == ["user: hello"]


async def test_a_whole_text_that_reaches_nobody_is_stored_without_a_mark(
    platform: Platform,
) -> None:
    await ask_and_block(platform, Model(), says="All of it.")
    (_, turn) = await platform.turns(platform.private(platform.ada))
    assert (turn.text, turn.interrupted, turn.source_ids) == ("All of it.", False, ())


@pytest.mark.parametrize("edits", [False, True], ids=["send", "edit"])
async def test_told_to_wait_for_hours_while_it_streams_the_answer_ends_at_once(
    platform: Platform, edits: bool
) -> None:
    here, model = platform.private(platform.ada), Model()
    platform.slow_down(edits=edits, seconds=HOURS)
    await ask(platform, model.handler())
    assert (model.paid, model.closed) == (1 + edits, True)
    (_, turn) = await platform.turns(here)
    assert turn.interrupted
    assert turn.text == "".join(f"piece {number} " for number in range(1 + edits))
    assert [text.strip() for text in platform.sent(here)] == ["piece 0"] * edits
    assert turn.source_ids == platform.source_ids(here), "it is linked to what was sent"


async def test_told_to_wait_for_hours_at_its_end_it_does_not_wait_either(
    platform: Platform,
) -> None:
    here, model = platform.private(platform.ada), Model()
    platform.slow_down(edits=False, seconds=HOURS)
    await ask(platform, model.handler("All of it."))
    assert platform.sent(here) == []
    assert await platform.said(here) == ["user: hello", "assistant: All of it."]


async def test_the_next_message_is_not_behind_an_answer_that_would_wait_for_hours(
    platform: Platform,
) -> None:
    here, model = platform.private(platform.ada), Model()
    platform.slow_down(edits=False, seconds=HOURS)
    await platform.start(model.handler("All of it."), busy="queue")
    await platform.say(platform.ada, "one")
    await platform.say(platform.ada, "two")
    await platform.shows("All of it.", at=here)
    await platform.hears("one", "two")


async def test_whoever_would_wait_no_second_says_so(platform: Platform) -> None:
    model = Model()
    platform.slow_down(edits=False, seconds=1)
    await ask(platform, model.handler("All of it.", max_wait=0, undelivered="raise"))
    if isinstance(platform, Telegram):  # on Discord, discord.py itself waits up to 30 s
        (error,) = model.raised
        assert isinstance(error, SlowDownError)
        assert error.seconds == 1
    else:
        assert platform.sent(platform.private(platform.ada)) == ["All of it."]
