"""A model that fails in mid-answer, on each platform: `answer(…, failed=…)`."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator, Callable
from pathlib import Path
from typing import Any

import pytest

from adapters.on_telegram import Telegram
from adapters.platforms import Handler, Platform
from turnkeep import Reply
from turnkeep.adapter import ChatSession

pytestmark = pytest.mark.asyncio

SORRY = "Sorry, please try again."


def failing(*pieces: str, error: BaseException | None = None, **options: Any) -> Handler:
    """A handler whose model says these pieces, and then fails."""

    async def says() -> AsyncIterator[str]:
        for piece in pieces:
            yield piece
        raise error or LookupError("no model")

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


@pytest.mark.parametrize(
    "error",
    [
        ExceptionGroup("two", [ValueError("one"), ExceptionGroup("more", [KeyError("other")])]),
        asyncio.CancelledError("the client's own"),
        TimeoutError(),
    ],
    ids=lambda error: type(error).__name__,
)
@pytest.mark.parametrize("pieces", [(), ("half of ", "it")], ids=["at once", "in the middle"])
async def test_whatever_a_model_raises_is_told(
    platform: Platform, error: BaseException, pieces: tuple[str, ...]
) -> None:
    assert await ask(platform, failing(*pieces, error=error, failed=SORRY)) == [SORRY]
    assert await platform.said(platform.private(platform.ada)) == ["user: hello"]


async def test_a_function_that_fails_itself_leaves_no_half_answer(
    platform: Platform, caplog: pytest.LogCaptureFixture
) -> None:
    def failed(error: Exception) -> str:
        raise RuntimeError("no words")

    assert await ask(platform, failing("half of ", "it", failed=failed)) == ["(no answer)"]
    assert await platform.said(platform.private(platform.ada)) == ["user: hello"]
    assert "no words" in caplog.text
    assert "no model" in caplog.text, "the framework logs the model's exception"


async def test_a_footer_that_fails_takes_nothing_away(platform: Platform) -> None:
    def footer(reply: Reply) -> str:
        raise RuntimeError("no words")

    async def handle(chat_session: ChatSession, text: str) -> None:
        await chat_session.answer("an answer", footer=footer, failed=SORRY)

    assert await ask(platform, handle) == ["an answer"]
    (_, answer) = await platform.turns(platform.private(platform.ada))
    assert (answer.text, answer.interrupted) == ("an answer", False)


async def test_a_chunk_without_text_is_no_end(platform: Platform) -> None:
    async def chunks() -> AsyncIterator[Any]:  # as `yield chunk.choices[0].delta.content`
        for piece in (None, "an ", None, "answer", None):
            yield piece

    async def handle(chat_session: ChatSession, text: str) -> None:
        await chat_session.answer(chunks())

    assert await ask(platform, handle) == ["an answer"]


@pytest.mark.parametrize("status", [500, 502, "lost"])
@pytest.mark.parametrize("says", ["a text", "a stream"])
async def test_an_answer_outlives_a_moment_in_which_telegram_fails(
    tmp_path: Path, status: int | str, says: str
) -> None:
    async def stream() -> AsyncIterator[str]:
        yield "the "
        failure: dict[str, Any] = {"lost": True} if status == "lost" else {"status": status}
        platform.server.fail_next("editMessageText", **failure, times=2)
        yield "answer"

    async def handle(chat_session: ChatSession, text: str) -> None:
        if says == "a text":
            failure: dict[str, Any] = {"lost": True} if status == "lost" else {"status": status}
            platform.server.fail_next("sendMessage", **failure)
        await chat_session.answer("the answer" if says == "a text" else stream(), failed=SORRY)

    async with Telegram(tmp_path / "sessions") as platform:
        sent = await ask(platform, handle)
        is_lost = status == "lost" and says == "a text"
        assert sent == ["the answer"] * (2 if is_lost else 1), "nobody can tell if it arrived"
        here = platform.private(platform.ada)
        assert await platform.said(here) == ["user: hello", "assistant: the answer"]


async def test_the_adapter_has_a_default_for_all_answers(platform: Platform) -> None:
    assert await ask(platform, failing("half"), failed=SORRY) == [SORRY]


async def test_one_answer_may_differ_from_the_adapters_default(platform: Platform) -> None:
    assert await ask(platform, failing("half", failed=""), failed=SORRY) == ["half\n\n…"]


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
