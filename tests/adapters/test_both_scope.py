"""Who shares a session, on each platform."""

from __future__ import annotations

import asyncio
from typing import Any

import pytest

from adapters.on_telegram import Telegram
from adapters.platforms import Platform, echo
from adapters.tools import keys
from patience import PATIENCE
from turnkeep import SessionStore
from turnkeep.adapter import ChatSession

pytestmark = pytest.mark.asyncio


@pytest.mark.parametrize(
    ("sharing", "expected"),
    [
        ("default", ["Ada here, Bob here", "Ada in a topic", "Ada in private"]),
        ("chat", ["Ada here, Ada in a topic, Bob here", "Ada in private"]),
        ("user", ["Ada here, Ada in a topic, Ada in private", "Bob here"]),
    ],
)
async def test_a_scope_says_who_shares_a_session(
    platform: Platform, sharing: str, expected: list[str]
) -> None:
    await platform.start(sharing=sharing)
    await everybody_speaks(platform)
    assert await shared(platform) == expected


async def test_per_user_in_a_chat_shares_nothing_with_another_user_or_chat(
    platform: Platform,
) -> None:
    await platform.start(sharing="user in chat")
    await everybody_speaks(platform)
    # A user's threads on Discord are chats, his topics on Telegram are one chat's.
    here = ["Ada here, Ada in a topic"]
    if not isinstance(platform, Telegram):
        here = ["Ada here", "Ada in a topic"]
    assert await shared(platform) == [*here, "Ada in private", "Bob here"]


async def test_per_bot_account_the_key_names_the_account(platform: Platform) -> None:
    await platform.start(sharing="account")
    await platform.say(platform.ada, "hello", at=platform.group)
    await platform.hears("hello")
    (key,) = await keys(platform.store)
    assert key == f"{platform.key(platform.group)}:account:{platform.account}"


async def test_a_function_of_the_event_says_who_shares_a_session_or_that_there_is_none(
    platform: Platform,
) -> None:
    await platform.start(sharing=lambda name: None if name == "Bob" else "support:all")
    await everybody_speaks(platform, but="Bob here")
    assert await shared(platform) == ["Ada here, Ada in a topic, Ada in private"]
    assert await keys(platform.store) == ["support:all"]


async def test_the_window_holds_what_those_said_who_share_it(platform: Platform) -> None:
    async def recall(chat_session: ChatSession, text: str) -> None:
        window: list[Any] = await chat_session.get_history()
        await chat_session.answer(" + ".join(str(one["content"]) for one in window))

    await platform.start(recall, sharing="user")
    await platform.say(platform.ada, "Ada's", at=platform.group)
    await platform.shows("Ada's", at=platform.group)
    await platform.say(platform.bob, "Bob's", at=platform.group)
    await platform.shows("Ada's", "Bob's", at=platform.group)
    private = platform.private(platform.ada)
    await platform.say(platform.ada, "Ada's in private")
    await platform.shows("Ada's + Ada's + Ada's in private", at=private)


async def test_a_link_of_two_keys_makes_one_session_also_after_a_restart(
    platform: Platform,
) -> None:
    here, there = platform.group, platform.private(platform.ada)
    await platform.start(echo)
    await platform.store.link(platform.key(there), to=platform.key(here))
    await platform.say(platform.ada, "here", at=here)
    await platform.shows("to here", at=here)
    await platform.say(platform.ada, "there")
    await platform.shows("to there", at=there)
    await platform.restart()
    await platform.say(platform.ada, "again")
    await platform.shows("to there", "to again", at=there)
    assert await keys(platform.store) == [platform.key(here)]
    await platform.stop()
    lines = [f"{who} {text}" for text in ("here", "there", "again") for who in ("user:", "to")]
    assert await platform.said(here) == [one.replace("to", "assistant: to") for one in lines]


async def test_one_person_on_both_platforms_is_one_session_where_that_is_said(
    platform: Platform, other_platform: Platform
) -> None:
    async with SessionStore(platform.folder) as store:
        here, there = platform.private(platform.ada), other_platform.private(other_platform.ada)
        await store.link(platform.key(here), to=other_platform.key(there))
        for each in (platform, other_platform):
            await each.start(echo, store=store)
            await each.say(each.ada, f"on {each}")
            await each.shows(f"to on {each}", at=each.private(each.ada))
        lines = [
            f"user: on {platform}",
            f"assistant: to on {platform}",
            f"user: on {other_platform}",
            f"assistant: to on {other_platform}",
        ]
        async with asyncio.timeout(PATIENCE):
            while await platform.said(here) != lines:  # an answer is stored when it is sent
                await asyncio.sleep(0.01)
        assert await keys(store) == [other_platform.key(there)]


async def everybody_speaks(platform: Platform, but: str = "") -> None:
    ada, bob = platform.ada, platform.bob
    said = [
        (ada, "Ada here", platform.group),
        (bob, "Bob here", platform.group),
        (ada, "Ada in a topic", platform.topic),
        (ada, "Ada in private", platform.private(ada)),
    ]
    for person, text, at in said:
        await platform.say(person, text, at=at)
        if text != but:
            await platform.wait(lambda text=text: text in platform.heard, text)  # type: ignore[misc]


async def shared(platform: Platform) -> list[str]:
    titles = {"[thread: Thread]", f"[topic: Topic {platform.topic.topic}]"}
    said = [{*texts} - titles for texts in await platform.sessions()]
    return sorted(", ".join(sorted(texts)) for texts in said)
