"""A person's costs are bounded, and they are told, on each platform."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator
from datetime import timedelta
from typing import Any

import pytest

from adapters.platforms import Platform, echo
from turnkeep import SessionStore
from turnkeep.adapter import ChatSession, RateLimit, Refusal

pytestmark = pytest.mark.asyncio


class Held:
    """A handler that answers when it may."""

    def __init__(self) -> None:
        self.may_end = asyncio.Event()

    async def __call__(self, chat_session: ChatSession, text: str) -> None:
        await self.may_end.wait()
        await chat_session.answer(f"to {text}")


async def test_a_message_too_many_in_a_queue_is_recorded_and_its_author_is_told_once(
    platform: Platform,
) -> None:
    held, here = Held(), platform.private(platform.ada)
    await platform.start(held, busy="queue", max_waiting=1, refused="Later, please.")
    for text in "abcd":
        await platform.say(platform.ada, text)
    await platform.stores(*(f"user: {text}" for text in "abcd"), at=here)
    await platform.shows("Later, please.", at=here)
    held.may_end.set()
    await platform.shows("Later, please.", "to a", "to b", at=here)
    await platform.say(platform.ada, "e")
    await platform.shows("Later, please.", "to a", "to b", "to e", at=here)
    answers = ("assistant: to a", "assistant: to b", "user: e", "assistant: to e")
    await platform.stores(*(f"user: {text}" for text in "abcd"), *answers, at=here)


async def test_a_person_over_their_rate_is_told_so_in_every_chat_and_others_are_answered(
    platform: Platform,
) -> None:
    def refused(refusal: Refusal) -> str:
        return f"{refusal.reason}, {refusal.seconds > 3590}"

    limit = RateLimit(1, per=timedelta(hours=1))
    await platform.start(echo, limit=limit, refused=refused)
    await platform.say(platform.ada, "a")
    await platform.shows("to a", at=platform.private(platform.ada))
    await platform.say(platform.ada, "b")
    await platform.shows("to a", "limit, True", at=platform.private(platform.ada))
    await platform.say(platform.ada, "c", at=platform.group)
    await platform.shows("limit, True", at=platform.group)
    await platform.say(platform.bob, "d", at=platform.group)
    await platform.shows("limit, True", "to d", at=platform.group)
    stored = ("user: a", "assistant: to a", "user: b")
    await platform.stores(*stored, at=platform.private(platform.ada))


@pytest.mark.parametrize("refused", ["", lambda _: ""], ids=["text", "function"])
async def test_an_empty_text_says_nothing(platform: Platform, refused: Any) -> None:
    await platform.start(echo, limit=RateLimit(1), refused=refused)
    here = platform.private(platform.ada)
    await platform.say(platform.ada, "a")
    await platform.shows("to a", at=here)
    await platform.say(platform.ada, "b")
    await platform.told()
    await platform.ended()
    assert platform.sent(here) == ["to a"]


class Endless:
    """A model that never stops, in pieces of a size."""

    def __init__(self, size: int) -> None:
        self.piece = ("word " * size)[:size]
        self.closed = False

    async def says(self) -> AsyncIterator[str]:
        try:
            while True:
                yield self.piece
        finally:
            self.closed = True

    async def __call__(self, chat_session: ChatSession, text: str) -> None:
        await chat_session.answer(self.says())


@pytest.mark.parametrize("size", [7, 1_200_000], ids=["pieces", "at once"])
async def test_an_endless_answer_is_closed_at_max_length_and_what_was_sent_is_stored(
    platform: Platform, size: int
) -> None:
    model, here = Endless(size), platform.private(platform.ada)
    await platform.start(model, max_length=9_000)
    await platform.say(platform.ada, "hello")
    await platform.hears("hello")
    await platform.ended()
    assert model.closed
    question, answer = await platform.turns(here)
    assert (answer.text, answer.interrupted) == ((model.piece * 2_000)[:9_000], True)
    assert answer.answers == question.id
    assert answer.source_ids == platform.source_ids(here)
    assert "".join(platform.sent(here)).replace(" ", "") == answer.text.replace(" ", "")
    assert len(answer.source_ids) <= 2 * 9_000 // platform.limit + 1


async def test_an_answer_given_as_a_text_is_cut_like_a_stream(platform: Platform) -> None:
    async def long(chat_session: ChatSession, text: str) -> None:
        await chat_session.answer("word " * 240_000)

    await platform.start(long)
    here = platform.private(platform.ada)
    await platform.say(platform.ada, "hello")
    await platform.hears("hello")
    await platform.ended()
    _, answer = await platform.turns(here)
    assert len(answer.text) == 40_000
    assert answer.source_ids == platform.source_ids(here)


async def test_an_answer_is_no_longer_than_its_turn_can_be(
    platform: Platform,
) -> None:
    store = SessionStore(platform.folder, lock_timeout=0, max_turn_bytes=2_000)
    model, here = Endless(7), platform.private(platform.ada)
    model.piece = '"é\n\ud83d'
    await platform.start(model, store=store)
    await platform.say(platform.ada, "hello")
    await platform.hears("hello")
    await platform.ended()
    _, answer = await platform.turns(here)
    assert 100 < len(answer.text) < 2_000
    assert answer.source_ids == platform.source_ids(here)
