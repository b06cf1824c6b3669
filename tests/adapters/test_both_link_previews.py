"""Links in answers: no platform fetches them unless the bot's author wants it."""

from __future__ import annotations

import json
from collections.abc import AsyncIterator
from typing import Any

import pytest

from adapters.on_discord import Discord
from adapters.on_telegram import Telegram
from adapters.platforms import Platform
from turnkeep.adapter import ChatSession

pytestmark = pytest.mark.asyncio

LEAK = "https://evil.example/?said=secret"


async def leaking(chat_session: ChatSession, text: str) -> None:
    """Answer with a stream, which is sent and then edited, and with a text."""

    async def says() -> AsyncIterator[str]:
        yield "Look: "
        yield LEAK

    assert chat_session.outlet is not None
    chat_session.outlet.pace = 0
    await chat_session.answer(says())
    await chat_session.answer(LEAK)


def previews(platform: Platform) -> list[bool]:
    """Return for each request that carried an answer whether its links are fetched."""
    found: list[bool] = []
    if isinstance(platform, Telegram):
        for call in platform.server.calls:
            if call.method in ("sendMessage", "editMessageText"):
                options = call.params.get("link_preview_options") or "{}"
                given = json.loads(options) if isinstance(options, str) else options
                found.append(not given.get("is_disabled", False))
    elif isinstance(platform, Discord):
        for request in platform.server.requests:
            if request.path.endswith("/messages") and request.method == "POST":
                found.append(not request.body.get("flags", 0) & 4)  # the edits keep it
    return found


@pytest.mark.parametrize(
    ("options", "fetched"), [({}, False), ({"link_previews": True}, True)], ids=["default", "on"]
)
async def test_the_platform_fetches_links_in_answers_only_if_the_bot_says_so(
    platform: Platform, options: dict[str, Any], fetched: bool
) -> None:
    await platform.start(leaking, **options)
    await platform.say(platform.ada, "hello")
    await platform.hears("hello")
    await platform.ended()
    found = previews(platform)
    assert len(found) >= 2
    assert set(found) == {fetched}


async def test_what_is_said_for_a_failure_or_a_refusal_has_no_previews_either(
    platform: Platform,
) -> None:
    async def failing(chat_session: ChatSession, text: str) -> None:
        async def says() -> AsyncIterator[str]:
            raise RuntimeError(LEAK)
            yield ""

        with pytest.raises(RuntimeError):
            await chat_session.answer(says())

    await platform.start(failing, failed=LEAK)
    await platform.say(platform.ada, "hello")
    await platform.shows(LEAK, at=platform.private(platform.ada))
    await platform.ended()
    assert set(previews(platform)) == {False}
