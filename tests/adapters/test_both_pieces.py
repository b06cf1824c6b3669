"""`answer` takes the forms in which a model's client gives text, and names what is none."""

from __future__ import annotations

from collections.abc import AsyncIterator, Callable, Iterator
from typing import Any

import pytest

from adapters.platforms import Platform
from turnkeep import InvalidTurnError, Reply
from turnkeep.adapter import ChatSession

pytestmark = pytest.mark.asyncio


async def whole(reply: Reply) -> str:
    return f"{len(await reply.get_history())} messages"


async def with_gaps(reply: Reply) -> AsyncIterator[str | None]:
    for piece in (None, "one", None, " two", None):
        yield piece


@pytest.mark.parametrize(
    ("ask", "text"), [(whole, "1 messages"), (with_gaps, "one two")], ids=["whole", "gaps"]
)
async def test_a_function_may_return_its_text_or_yield_pieces_without_one(
    platform: Platform, ask: Callable[[Reply], Any], text: str
) -> None:
    async def handle(chat_session: ChatSession, _: str) -> None:
        await chat_session.answer(ask)

    here = platform.private(platform.ada)
    await platform.start(handle)
    await platform.say(platform.ada, "Hello.", at=here)
    await platform.stores("user: Hello.", f"assistant: {text}", at=here)
    await platform.shows(text, at=here)


async def chunks(reply: Reply) -> AsyncIterator[object]:
    yield {"choices": ["a secret"]}


async def completion(reply: Reply) -> object:
    return {"choices": ["a secret"]}


def blocking(reply: Reply) -> Iterator[str]:
    yield "Hello."


@pytest.mark.parametrize(
    ("says", "told"),
    [
        (chunks, "a piece of an answer is text, not a dict with 'choices'"),
        (completion, "a piece of an answer is text, not a dict with 'choices'"),
        (blocking, "returned a value of type generator: write it with 'async def'"),
        ([{"role": "user"}], "or a function of the reply, not a value of type list"),
        (None, "or a function of the reply, not None"),
    ],
    ids=["chunks", "completion", "blocking", "messages", "none"],
)
async def test_an_answer_that_is_no_text_is_an_error_that_tells_the_way(
    platform: Platform, says: Any, told: str
) -> None:
    errors: list[str] = []

    async def handle(chat_session: ChatSession, _: str) -> None:
        try:
            await chat_session.answer(says)
        except InvalidTurnError as error:
            errors.append(str(error))

    here = platform.private(platform.ada)
    await platform.start(handle)
    await platform.say(platform.ada, "Hello.", at=here)
    await platform.wait(lambda: errors)
    await platform.ended()
    assert told in errors[0]
    assert platform.key(here) in errors[0]
    assert "secret" not in errors[0]
    assert await platform.said(here) == ["user: Hello."]
