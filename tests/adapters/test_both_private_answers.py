"""`/export` and `/forget` give nobody what is somebody else's, and nobody else sees the answer."""

from __future__ import annotations

import json
from dataclasses import fields
from typing import Any

import pytest

from adapters.on_telegram import Telegram
from adapters.platforms import Platform, echo
from turnkeep import Session
from turnkeep.adapter import PrivacyTexts, privacy_texts

pytestmark = pytest.mark.asyncio

NOTHING = "Nothing is kept of you here."


def contents(file: str | bytes) -> list[Any]:
    assert isinstance(file, bytes), file
    return [row["content"] for row in json.loads(file)]


async def imported(session: Session) -> None:
    await session.append("user", "an imported secret")
    await session.append("assistant", "an imported answer")


async def test_turns_without_a_sender_in_a_group_are_somebody_elses(platform: Platform) -> None:
    here = platform.group
    await platform.start(echo, privacy=True)
    await imported(platform.store.session(platform.key(here)))
    assert await platform.export(platform.ada, here) == NOTHING
    assert await platform.forget(platform.ada, here) == NOTHING
    await platform.say(platform.ada, "Ada's", at=here)
    await platform.wait(lambda: platform.sent(here)[-1:] == ["to Ada's"])
    await platform.ended()
    assert contents(await platform.export(platform.ada, here)) == ["Ada's", "to Ada's"]
    await platform.forget(platform.ada, here)
    assert await platform.said(here) == [
        "user: an imported secret",
        "assistant: an imported answer",
    ]


async def test_what_the_bot_said_by_itself_in_a_group_is_nobodys(platform: Platform) -> None:
    here = platform.group
    await platform.start(privacy=True)
    await platform.store.session(platform.key(here)).append("assistant", "an announcement")
    assert await platform.export(platform.ada, here) == NOTHING
    assert await platform.forget(platform.ada, here) == NOTHING
    assert await platform.said(here) == ["assistant: an announcement"]


async def test_turns_without_a_sender_in_a_private_chat_are_whose_it_is(platform: Platform) -> None:
    here = platform.private(platform.ada)
    await platform.start(privacy=True)
    await imported(platform.store.session(platform.key(here)))
    exported = contents(await platform.export(platform.ada, here))
    assert exported == ["an imported secret", "an imported answer"]
    await platform.forget(platform.ada, here)
    await platform.stop()
    assert b"imported" not in platform.bytes()


@pytest.mark.parametrize("merged", [True, False])
async def test_in_a_private_chat_that_is_linked_they_are_somebody_elses(
    platform: Platform, merged: bool
) -> None:
    here, there = platform.key(platform.private(platform.ada)), platform.key(platform.group)
    await platform.start(privacy=True)
    await imported(platform.store.session(there))
    if merged:
        await platform.store.session(here).append("user", "Ada's", sender=platform.ada.id)
    await platform.store.link(here, to=there)
    private = platform.private(platform.ada)
    exported = await platform.export(platform.ada, private)
    assert contents(exported) == ["Ada's"] if merged else exported == NOTHING
    await platform.forget(platform.ada, private)
    assert "user: an imported secret" in await platform.said(there)


async def test_forgetting_says_what_it_leaves_of_a_linked_account(platform: Platform) -> None:
    here = platform.private(platform.ada)
    await platform.start(privacy=True)
    session = platform.store.session(platform.key(here))
    await session.append("user", "from elsewhere", sender="another-account")
    await session.append("user", "from here", sender=platform.ada.id)
    said = await platform.forget(platform.ada, here)
    assert said.startswith("What was kept of you here is erased.\n")
    assert "another account, stay here: 1." in said
    assert await platform.said(here) == ["user: from elsewhere"]


async def test_an_export_has_no_hidden_turns_system_turns_or_tool_results(
    platform: Platform,
) -> None:
    here = platform.private(platform.ada)
    await platform.start(privacy=True)
    session = platform.store.session(platform.key(here))
    await session.append("system", "the prompt")
    await session.append("user", "hidden", hidden=True)
    asked = await session.append("user", "how warm?", sender=platform.ada.id)
    async with session.bind(asked).reply() as reply:
        reply.add_tool_call("1", "weather", {})
        reply.add_tool_result("1", "the raw result")
        reply.add_text("Warm.")
    exported = await platform.export(platform.ada, here)
    assert contents(exported) == ["how warm?", "Warm."]
    assert isinstance(exported, bytes)
    assert b"weather" not in exported


async def test_in_a_group_the_answer_is_for_who_asks_alone(platform: Platform) -> None:
    here = platform.group
    await platform.start(echo, privacy=True, sharing="user")
    await platform.say(platform.ada, "my secret")
    await platform.wait(lambda: len(platform.heard) == 1)
    await platform.ended()
    assert contents(await platform.export(platform.ada, here)) == ["my secret", "to my secret"]
    await platform.forget(platform.ada, here)
    if isinstance(platform, Telegram):  # Discord shows the test both, marked as ephemeral
        told = await platform.server.wait_sent(here.chat, 2)
        assert [one["text"] for one in told] == ["I have answered you in private."] * 2


async def test_no_words_are_missing_in_any_language() -> None:
    english = privacy_texts("en")
    for language in ("es", "es-419", "pt-br", "ru", "uk"):
        words = privacy_texts(language)
        for field in fields(PrivacyTexts):
            assert getattr(words, field.name) != getattr(english, field.name), (language, field)
        assert "{count}" in words.left
    assert privacy_texts("xx") is privacy_texts(None) is english
