"""What is recorded and what is not, on each platform."""

from __future__ import annotations

import asyncio

import pytest

from adapters.platforms import Platform, echo

pytestmark = pytest.mark.asyncio


async def test_all_that_users_write_is_recorded_by_default(platform: Platform) -> None:
    here = platform.group
    await platform.start()
    await platform.say(platform.ada, "to all", at=here)
    await platform.say(platform.bob, "to the bot", at=here, mention=True)
    await platform.told()
    turns = await platform.turns(here)
    assert [turn.text.endswith(("to all", "to the bot")) for turn in turns] == [True, True]
    assert [(one.sender.id, one.sender.name) for one in turns if one.sender] == [
        (platform.ada.id, "Ada"),
        (platform.bob.id, "Bob"),
    ]


async def test_only_what_is_said_to_the_bot_may_be_recorded(platform: Platform) -> None:
    here = platform.group
    await platform.start(echo, record="addressed")
    await platform.say(platform.ada, "to all", at=here)
    await platform.say(platform.ada, "to the bot", at=here, mention=True)
    await platform.wait(lambda: platform.sent(here), "an answer")
    await platform.ended()
    await platform.say(platform.ada, "and that", at=here, reply=True)
    await platform.say(platform.ada, "to nobody", at=here)
    await platform.wait(lambda: len(platform.sent(here)) == 2, "another answer")
    await platform.say(platform.ada, "in private")
    await platform.shows("to in private", at=platform.private(platform.ada))
    await platform.told()
    await platform.stop()
    recorded = await platform.turns(here)
    users = [turn.text.splitlines()[-1] for turn in recorded if turn.role == "user"]
    assert len(users) == 2
    assert users[0].endswith(" to the bot"), "behind the mention"
    assert users[1] == "and that"
    assert b"to all" not in platform.bytes()
    assert b"to nobody" not in platform.bytes()


async def test_only_what_a_handler_takes_may_be_recorded(platform: Platform) -> None:
    here = platform.group
    await platform.start(record="handled", takes=lambda text: "bot" in text)
    await platform.say(platform.ada, "to all", at=here)
    await platform.say(platform.ada, "dear bot", at=here)
    await platform.hears("dear bot")
    await platform.stop()
    assert await platform.said(here) == ["user: dear bot"]
    assert b"to all" not in platform.bytes()


@pytest.mark.parametrize("with_await", [False, True], ids=["function", "coroutine"])
async def test_a_predicate_says_what_is_recorded(platform: Platform, with_await: bool) -> None:
    def is_open(message: object) -> bool:
        text = getattr(message, "text", None) or getattr(message, "content", None)
        return "secret" not in str(text)

    async def is_open_async(message: object) -> bool:
        return is_open(message)

    here = platform.group
    await platform.start(record=is_open_async if with_await else is_open)
    await platform.say(platform.ada, "a secret", at=here)
    await platform.say(platform.ada, "news", at=here)
    await platform.hears("news")
    await platform.stop()
    assert await platform.said(here) == ["user: news"]
    assert b"secret" not in platform.bytes()


@pytest.mark.parametrize("asked", [False, True], ids=["by default", "if asked"])
async def test_commands_are_recorded_only_if_asked(platform: Platform, asked: bool) -> None:
    here = platform.group
    await platform.start(record_commands=asked)
    await platform.say(platform.ada, platform.command, at=here)
    await platform.say(platform.ada, "hello", at=here)
    await platform.told()
    commands = [f"user: {platform.command}"] if asked else []
    await platform.stores(*commands, "user: hello", at=here)


async def test_what_no_user_wrote_is_not_recorded(platform: Platform) -> None:
    here = platform.group
    await platform.start(echo)
    await platform.noise(here)
    await platform.say(platform.ada, "hello", at=here)
    await platform.shows("to hello", at=here)
    await platform.told()
    await platform.stop()
    assert await platform.said(here) == ["user: hello", "assistant: to hello"]
    assert platform.heard == ["hello"]


async def test_ignored_users_and_chats_leave_nothing(platform: Platform) -> None:
    await platform.start(ignore={int(platform.bob.id), platform.group.chat})
    await platform.say(platform.bob, "from Bob")
    await platform.say(platform.ada, "in the group", at=platform.group)
    await platform.say(platform.ada, "from Ada")
    await platform.hears("from Ada")
    await platform.stop()
    assert await platform.sessions() == [["from Ada"]]
    assert b"from Bob" not in platform.bytes()
    assert b"in the group" not in platform.bytes()


async def test_whom_it_ignores_may_change_later(platform: Platform) -> None:
    ignored: set[int] = set()
    await platform.start(ignore=ignored)
    await platform.say(platform.ada, "before")
    await platform.hears("before")
    ignored.add(int(platform.ada.id))
    await platform.say(platform.ada, "after")
    await platform.told()
    await platform.stop()
    assert await platform.said(platform.private(platform.ada)) == ["user: before"]


async def test_messages_are_recorded_in_their_order_each_once(platform: Platform) -> None:
    here = platform.group
    await platform.start()
    texts = [str(number) for number in range(20)]
    messages = []
    for text in texts:
        messages.append(await platform.say(platform.ada, text, at=here))
        await platform.redeliver(messages[-1])
    await platform.told()
    await platform.stop()
    turns = await platform.turns(here)
    assert [turn.text for turn in turns] == texts
    assert [turn.source_id for turn in turns] == [message.source_id for message in messages]


async def test_the_order_is_kept_where_a_predicate_takes_its_time(platform: Platform) -> None:
    here, asked = platform.group, 0

    async def looked_up(message: object) -> bool:
        nonlocal asked
        asked += 1
        await asyncio.sleep(0.1 / asked)  # the later, the quicker
        return True

    await platform.start(record=looked_up)
    for text in "abc":
        await platform.say(platform.ada, text, at=here)
    await platform.told()
    await platform.stop()
    assert await platform.said(here) == ["user: a", "user: b", "user: c"]
