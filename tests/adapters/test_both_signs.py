"""Signs of life while the model is silent, on each platform."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator

import pytest

from adapters.on_telegram import Telegram
from adapters.platforms import Handler, Platform
from turnkeep.adapter import ChatSession

pytestmark = pytest.mark.asyncio


def typing(platform: Platform) -> int:
    """How often the bot has shown that it is typing."""
    if isinstance(platform, Telegram):
        return len(platform.server.called("sendChatAction"))
    return sum(call.path.endswith("/typing") for call in platform.server.requests)  # type: ignore[attr-defined]


class Thinker:
    """A model that says a word, and the next when it may."""

    def __init__(self, *words: str) -> None:
        self.words = words
        self.may_go_on = asyncio.Event()

    async def says(self) -> AsyncIterator[str]:
        for word in self.words:
            yield word
            await self.may_go_on.wait()

    def handler(self, *, pace: float = 0, draft_seconds: float = 0.01) -> Handler:
        async def handle(chat_session: ChatSession, text: str) -> None:
            outlet = chat_session.outlet
            assert outlet is not None
            outlet.pace, outlet.sign_seconds = pace, 0.01
            outlet.draft_seconds = draft_seconds
            await chat_session.answer(self.says())

        return handle


async def test_typing_is_shown_as_long_as_the_model_thinks(platform: Platform) -> None:
    thinker = Thinker("", "done")
    await platform.start(thinker.handler())
    await platform.say(platform.ada, "hello")
    await platform.wait(lambda: typing(platform) >= 4, "typing, again and again")
    thinker.may_go_on.set()
    await platform.shows("done", at=platform.private(platform.ada))
    await platform.ended()
    shown = typing(platform)
    await asyncio.sleep(0.1)
    assert typing(platform) == shown, "and no longer"


async def test_what_was_yielded_is_shown_while_the_model_is_silent_behind_it(
    platform: Platform,
) -> None:
    thinker = Thinker("Let me look. ", "Here it is.")
    here = platform.private(platform.ada)

    async def handle(chat_session: ChatSession, text: str) -> None:
        async def says() -> AsyncIterator[str]:
            yield "Let me "
            yield "look. "  # sooner than the pace allows
            await thinker.may_go_on.wait()
            yield "Here it is."

        outlet = chat_session.outlet
        assert outlet is not None
        outlet.pace, outlet.sign_seconds = 0.2, 0.01
        await chat_session.answer(says())

    await platform.start(handle)
    await platform.say(platform.ada, "hello")
    await platform.wait(lambda: [text.strip() for text in platform.sent(here)] == ["Let me look."])
    thinker.may_go_on.set()
    await platform.shows("Let me look. Here it is.", at=here)


async def test_a_draft_is_renewed_before_it_fades(platform: Platform) -> None:
    if not isinstance(platform, Telegram):
        assert platform.sent(platform.group) == [], "Discord has no drafts"
        return
    thinker = Thinker("half ", "whole")
    await platform.start(thinker.handler(), drafts=True)
    await platform.say(platform.ada, "hello")
    drafts = platform.server.drafts
    await platform.wait(lambda: platform.server.drafts, "a draft")
    for _ in range(3):  # as often as somebody watches for half a minute
        platform.server.clock.advance(31)
        assert platform.server.drafts == drafts == {}
        await platform.wait(lambda: platform.server.drafts, "the draft again")
    thinker.may_go_on.set()
    await platform.shows("half whole", at=platform.private(platform.ada))


async def test_the_adapters_renew_what_fades_before_it_does(platform: Platform) -> None:
    seconds: list[tuple[float, float]] = []

    async def handle(chat_session: ChatSession, text: str) -> None:
        outlet = chat_session.outlet
        assert outlet is not None
        seconds.append((outlet.sign_seconds, outlet.draft_seconds + outlet.sign_seconds))

    await platform.start(handle)
    await platform.say(platform.ada, "hello")
    await platform.hears("hello")
    fades = 5 if isinstance(platform, Telegram) else 10
    assert seconds[0][0] < fades
    assert seconds[0][1] < 30, "a draft fades after 30"
