"""A model that fails in mid-answer, on each platform: `answer(…, failed=…)`."""

from __future__ import annotations

from collections.abc import AsyncIterator, Callable
from typing import Any

import pytest

from adapters.on_telegram import Telegram
from adapters.platforms import Handler, Platform
from turnkeep.adapter import ChatSession

pytestmark = pytest.mark.asyncio

SORRY = "Sorry, please try again."


def failing(*pieces: str, **options: Any) -> Handler:
    """A handler whose model says these pieces, and then fails."""

    async def says() -> AsyncIterator[str]:
        for piece in pieces:
            yield piece
        raise LookupError("no model")

    async def handle(chat_session: ChatSession, text: str) -> None:
        assert chat_session.outlet is not None
        chat_session.outlet.pace = 0
        await chat_session.answer(says(), **options)

    return handle


async def ask(platform: Platform, handler: Handler, **options: Any) -> list[str]:
    """What Ada sees in the end, when she has asked the bot."""
    await platform.start(handler, **options)
    await platform.say(platform.ada, "hello")
    await platform.hears("hello")
    await platform.ended()
    await platform.stop()
    return platform.sent(platform.private(platform.ada))


async def test_the_user_is_told_in_the_place_of_the_half_answer_and_nothing_is_stored(
    platform: Platform, caplog: pytest.LogCaptureFixture
) -> None:
    sent = await ask(platform, failing("half of ", "it", failed=SORRY))
    assert "half of" in platform.texts()[0], "it was on the screen"
    assert sent == [SORRY]
    assert await platform.said(platform.private(platform.ada)) == ["user: hello"]
    assert "no model" in caplog.text, "the framework logs the exception"


async def test_a_half_answer_of_several_messages_is_taken_away_whole(platform: Platform) -> None:
    sent = await ask(platform, failing("word " * platform.limit, failed=SORRY))
    assert sent == [SORRY]


async def test_a_part_that_is_kept_is_marked_on_the_screen_and_in_the_store(
    platform: Platform,
) -> None:
    sent = await ask(platform, failing("half of it", failed=SORRY, keep_interrupted=True))
    assert sent == [f"half of it\n\n{SORRY}"]
    here = platform.private(platform.ada)
    (_, turn) = await platform.turns(here)
    assert (turn.text, turn.interrupted) == ("half of it", True)
    assert turn.source_ids == platform.source_ids(here)


async def test_the_mark_does_not_stand_in_a_code_block_that_was_cut_off(
    platform: Platform,
) -> None:
    handler = failing("See:\n```python\nprint(", failed=SORRY, keep_interrupted=True)
    assert await ask(platform, handler) == [f"See:\n```python\nprint(\n```\n\n{SORRY}"]


async def test_a_model_that_fails_before_its_first_word_is_told_of_too(
    platform: Platform,
) -> None:
    assert await ask(platform, failing(failed=SORRY)) == [SORRY]


async def test_what_is_said_can_be_a_function_of_the_exception(platform: Platform) -> None:
    told: Callable[[Exception], str] = lambda error: f"It failed: {error}"  # noqa: E731
    assert await ask(platform, failing("half", failed=told)) == ["It failed: no model"]


async def test_the_adapter_has_a_default_for_all_answers(platform: Platform) -> None:
    assert await ask(platform, failing("half"), failed=SORRY) == [SORRY]


async def test_one_answer_may_differ_from_the_adapters_default(platform: Platform) -> None:
    assert await ask(platform, failing("half", failed=""), failed=SORRY) == ["half"]


async def test_a_half_answer_that_is_shown_as_a_draft_is_replaced_too(
    platform: Platform,
) -> None:
    if not isinstance(platform, Telegram):
        assert platform.sent(platform.group) == [], "Discord has no drafts"
        return
    sent = await ask(platform, failing("half of it"), drafts=True, failed=SORRY)
    assert (sent, platform.server.drafts) == ([SORRY], {})


async def test_a_user_who_cannot_be_told_does_not_hide_the_models_exception(
    platform: Platform, caplog: pytest.LogCaptureFixture
) -> None:
    def told(error: Exception) -> str:
        platform.slow_down(edits=True, seconds=43_838)
        return SORRY

    assert await ask(platform, failing("half", failed=told)) == ["half"]
    assert "no model" in caplog.text
    assert "could not be told" in caplog.text
