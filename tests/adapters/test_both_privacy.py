"""What people can see and erase of what is kept of them, on each platform."""

from __future__ import annotations

import asyncio
import json
from typing import Any

import pytest

from adapters.platforms import Platform, echo
from patience import PATIENCE

pytestmark = pytest.mark.asyncio


def rows(file: str | bytes) -> list[tuple[Any, ...]]:
    assert isinstance(file, bytes)
    return [(row["role"], row.get("name"), row["content"]) for row in json.loads(file)]


async def both_are_answered(platform: Platform) -> None:
    for person in (platform.ada, platform.bob):
        await platform.say(person, f"{person.name}'s", at=platform.group)
    await platform.wait(lambda: len(platform.sent(platform.group)) == 2, "two answers")
    await platform.ended()


async def test_in_private_they_are_about_all_of_it(platform: Platform) -> None:
    here = platform.private(platform.ada)
    await platform.start(echo, privacy=True)
    assert await platform.export(platform.ada, here) == "Nothing is kept of you here."
    await platform.say(platform.ada, "my secret")
    await platform.stores("user: my secret", "assistant: to my secret", at=here)
    assert rows(await platform.export(platform.ada, here)) == [
        ("user", "Ada", "my secret"),
        ("assistant", None, "to my secret"),
    ]
    assert await platform.forget(platform.ada, here) == "What was kept of you here is erased."
    assert await platform.export(platform.ada, here) == "Nothing is kept of you here."
    assert await platform.forget(platform.ada, here) == "Nothing is kept of you here."
    await platform.stop()
    assert b"secret" not in platform.bytes()


async def test_where_several_share_a_session_they_are_about_who_asks(platform: Platform) -> None:
    here = platform.group
    await platform.start(echo, privacy=True)
    await both_are_answered(platform)
    assert rows(await platform.export(platform.ada, here)) == [
        ("user", "Ada", "Ada's"),
        ("assistant", None, "to Ada's"),
    ]
    await platform.forget(platform.ada, here)
    await platform.stop()
    assert sorted(await platform.said(here)) == ["assistant: to Bob's", "user: Bob's"]
    assert b"Ada" not in platform.bytes()


async def test_where_each_has_his_own_session_they_are_about_that(platform: Platform) -> None:
    here = platform.group
    await platform.start(echo, privacy=True, sharing="user in chat")
    await both_are_answered(platform)
    exported = rows(await platform.export(platform.ada, here))
    assert [content for _, _, content in exported] == ["Ada's", "to Ada's"]
    await platform.forget(platform.ada, here)
    await platform.stop()
    assert await platform.sessions() == [["Bob's"]]
    assert b"Ada" not in platform.bytes()


async def test_the_old_epochs_are_exported_and_forgotten_too(platform: Platform) -> None:
    here = platform.private(platform.ada)
    await platform.start(privacy=True)
    await platform.say(platform.ada, "long ago")
    await platform.hears("long ago")
    await platform.store.session(platform.key(here)).clear()
    await platform.say(platform.ada, "lately")
    await platform.hears("long ago", "lately")
    exported = rows(await platform.export(platform.ada, here))
    assert [content for _, _, content in exported] == ["long ago", "lately"]
    await platform.forget(platform.ada, here)
    await platform.stop()
    assert b"long ago" not in platform.bytes()


async def test_a_person_is_forgotten_in_every_chat_with_one_call(platform: Platform) -> None:
    await platform.start()
    for person in (platform.ada, platform.bob):
        await platform.say(person, f"{person.name}'s", at=platform.group)
        await platform.say(person, f"{person.name}'s")
    await platform.wait(lambda: len(platform.heard) == 4)
    prefix = platform.key(platform.group).partition(":")[0]
    await platform.store.forget_sender(platform.ada.id, prefix=f"{prefix}:")
    await platform.stop()
    assert await platform.sessions() == [["Bob's"], ["Bob's"]]
    assert b"Ada" not in platform.bytes()


async def test_what_is_deleted_on_the_platform_leaves_no_copy(platform: Platform) -> None:
    here = platform.told_of_deletions
    await platform.start()
    messages = [await platform.say(platform.ada, f"secret {n}", at=here) for n in range(3)]
    await platform.say(platform.ada, "open", at=here)
    await platform.wait(lambda: "open" in platform.heard)
    await platform.ended()
    async with asyncio.timeout(PATIENCE):
        while platform.bytes().count(b"secret") != 3:  # an update is kept until it is handled
            await asyncio.sleep(0.01)
    await platform.edit(messages[0], "another secret")
    await platform.delete(*messages)
    await platform.told()
    await platform.stop()
    assert b"secret" not in platform.bytes()
    assert await platform.said(here) == ["user: open"]
