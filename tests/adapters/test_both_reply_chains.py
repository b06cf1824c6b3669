"""Reply chains as conversations: a window is the chain of replies up to the message in hand."""

from __future__ import annotations

import asyncio
from datetime import datetime, timedelta, timezone
from typing import Any

import pytest

from adapters.on_discord import Discord
from adapters.on_telegram import Telegram
from adapters.platforms import Person, Place, Platform, Said, echo
from patience import PATIENCE
from turnkeep.adapter import ChatSession

pytestmark = pytest.mark.asyncio


async def reply(platform: Platform, person: Person, text: str, to: Said) -> Said:
    """Somebody replies to a message of the group."""
    at = platform.group.chat
    if isinstance(platform, Telegram):
        who: dict[str, Any] = {"user_id": int(person.id), "first_name": person.name}
        update = platform.server.say(at, text, reply_to=to.raw, **who)
        return Said(update, f"{at}:{update['message']['message_id']}")
    assert isinstance(platform, Discord)
    message = await platform.server.say(at, person.id, text, reply_to=to.raw)
    return Said(message, f"{at}:{message['id']}")


async def recall(chat_session: ChatSession, text: str) -> None:
    """Answers with the window: the last line of each message."""
    window: list[Any] = await chat_session.get_history()
    lines = [str(one["content"]).rpartition("\n")[2].rpartition("> ")[2] for one in window]
    await chat_session.answer(f"{text[-1]}> " + " + ".join(lines))


async def answered(platform: Platform, count: int, at: Place | None = None) -> str:
    """The latest answer of the bot, when there are so many, and they are stored."""
    place = at or platform.group
    await platform.wait(lambda: len(platform.sent(place)) >= count)
    await platform.ended()
    return platform.sent(place)[-1].partition("> ")[2]


async def test_a_window_is_the_chain_of_replies_up_to_the_message_in_hand(
    platform: Platform,
) -> None:
    await platform.start(recall, sharing="reply chain")
    ada, bob, group = platform.ada, platform.bob, platform.group
    first = await platform.say(ada, "a", at=group)
    assert await answered(platform, 1) == "a"
    of_a = platform.latest(group)
    await platform.say(bob, "b", at=group)
    assert await answered(platform, 2) == "b", "it replies to nothing"
    of_b = platform.latest(group)
    await reply(platform, bob, "c", of_a)
    assert await answered(platform, 3) == "a + a + c", "an answer brings its question along"
    of_c = platform.latest(group)
    await reply(platform, ada, "d", of_b)
    assert await answered(platform, 4) == "b + b + d", "the other chain"
    await reply(platform, bob, "e", first)
    assert await answered(platform, 5) == "a + e", "a branch from a person's message"
    await reply(platform, ada, "f", of_c)
    assert await answered(platform, 6) == "a + a + c + a + a + c + f"


async def test_in_private_the_window_is_the_whole_conversation(platform: Platform) -> None:
    await platform.start(recall, sharing="reply chain")
    private = platform.private(platform.ada)
    await platform.say(platform.ada, "a")
    await answered(platform, 1, private)
    await platform.say(platform.ada, "b")
    assert await answered(platform, 2, private) == "a + a + b"


async def test_a_chain_survives_a_restart(platform: Platform) -> None:
    await platform.start(recall, sharing="reply chain")
    await platform.say(platform.ada, "a", at=platform.group)
    await answered(platform, 1)
    await platform.restart()
    await reply(platform, platform.bob, "b", platform.latest(platform.group))
    assert await answered(platform, 2) == "a + a + b"


async def test_a_reset_ends_all_chains(platform: Platform) -> None:
    await platform.start(recall, sharing="reply chain")
    await platform.say(platform.ada, "a", at=platform.group)
    await answered(platform, 1)
    of_a = platform.latest(platform.group)
    await platform.store.session(platform.key(platform.group)).clear()
    await reply(platform, platform.bob, "b", of_a)
    assert await answered(platform, 2) == "b"


async def test_what_somebody_let_the_bot_forget_does_not_come_back_by_a_chain(
    platform: Platform,
) -> None:
    await platform.start(recall, sharing="reply chain", privacy=True, record="addressed")
    ada, bob, group = platform.ada, platform.bob, platform.group
    unheard = await platform.say(bob, "u", at=group)  # to nobody in particular
    secret = await reply(platform, ada, "s", unheard)
    await platform.say(ada, "a", at=group, mention=True)
    await answered(platform, 1)
    await platform.forget(ada, group)
    before = len(platform.sent(group))
    between = await reply(platform, bob, "m", secret)
    mention = "@emulated_bot x" if isinstance(platform, Telegram) else f"<@{platform.account}> x"
    await say_to_bot(platform, bob, mention, between)
    assert not {"s", "u", "a"} & {*(await answered(platform, before + 1)).split(" + ")}
    stored = [turn.text.rpartition("\n")[2] for turn in await platform.turns(group)]
    assert not {"s", "u"} & {*stored}, stored


@pytest.mark.parametrize("how", ["forget", "forget twice", "forget_sender", "in the session"])
async def test_what_code_lets_the_store_forget_does_not_come_back_by_a_chain(
    platform: Platform, how: str
) -> None:
    await platform.start(recall, sharing="reply chain", record="addressed")
    ada, bob, group = platform.ada, platform.bob, platform.group
    unheard = await platform.say(bob, "u", at=group)
    secret = await reply(platform, ada, "s", unheard)
    await say_to_bot(platform, ada, mention_of(platform, "a"), secret)
    assert (await answered(platform, 1)).endswith("a")
    store, key = platform.store, platform.key(group)
    for _ in range(2 if how == "forget twice" else 1):
        if how == "forget_sender":
            await store.forget_sender(ada.id)
        elif how == "in the session":
            await store.session(key).forget_sender(ada.id)
        else:
            await store.forget(key)
    await platform.restart()
    await say_to_bot(platform, bob, mention_of(platform, "x"), secret)
    await answered(platform, 2)
    authors = {turn.sender.name for turn in await platform.turns(group) if turn.sender}
    assert ada.name not in authors
    later = datetime.now(timezone.utc) + timedelta(minutes=1)
    new = await platform.say(bob, "n", at=group, time=later)
    await say_to_bot(platform, ada, mention_of(platform, "y"), new)
    assert (await answered(platform, 3)).startswith("n + "), "what was said since is fetched"


def mention_of(platform: Platform, text: str) -> str:
    telegram = isinstance(platform, Telegram)
    return f"@emulated_bot {text}" if telegram else f"<@{platform.account}> {text}"


async def say_to_bot(platform: Platform, person: Person, text: str, to: Said) -> None:
    if isinstance(platform, Discord):
        await reply(platform, person, text, to)
        return
    assert isinstance(platform, Telegram)
    entities = [{"type": "mention", "offset": 0, "length": 13}]
    who: dict[str, Any] = {"user_id": int(person.id), "first_name": person.name}
    at = platform.group.chat
    platform.server.say(at, text, reply_to=to.raw, entities=entities, **who)


async def test_the_chain_has_messages_that_were_not_recorded_by_themselves(
    platform: Platform,
) -> None:
    await platform.start(recall, sharing="reply chain", record="addressed")
    ada, bob, group = platform.ada, platform.bob, platform.group
    unheard = await platform.say(ada, "u", at=group)
    mention = "@emulated_bot x" if isinstance(platform, Telegram) else f"<@{platform.account}> x"
    await say_to_bot(platform, bob, mention, unheard)
    window = await answered(platform, 1)
    assert window.startswith("u + ")
    assert [turn.sender.name for turn in await platform.turns(group) if turn.sender] == [
        "Ada",
        "Bob",
    ]


async def test_a_message_that_the_bot_sent_by_itself_is_a_link_under_capture(
    platform: Platform,
) -> None:
    async def by_hand(chat_session: ChatSession, text: str) -> None:
        if text == "a":
            await platform.post(platform.group, "by hand")
        else:
            await recall(chat_session, text)

    await platform.start(by_hand, sharing="reply chain", capture=True)
    await platform.say(platform.ada, "a", at=platform.group)
    await platform.wait(lambda: len(platform.sent(platform.group)) == 1)
    sent = platform.latest(platform.group)
    async with asyncio.timeout(PATIENCE):
        while (
            await platform.store.session(platform.key(platform.group)).find(sent.source_id) is None
        ):
            await asyncio.sleep(0.01)
    await reply(platform, platform.bob, "b", sent)
    assert (await answered(platform, 2)).endswith("by hand + b")


async def test_the_reply_of_an_agent_sees_the_chain_and_what_it_has_collected(
    platform: Platform,
) -> None:
    windows = list[list[Any]]()

    async def agent(chat_session: ChatSession, text: str) -> None:
        if text != "b":
            await echo(chat_session, text)
            return
        async with chat_session.reply() as reply:
            reply.add_tool_call("1", "look", "{}")
            reply.add_tool_result("1", "found")
            windows.append(await reply.get_history())
            reply.add_text("done")
        await platform.post(platform.group, "done")

    await platform.start(agent, sharing="reply chain")
    await platform.say(platform.bob, "z", at=platform.group)
    await answered(platform, 1)
    first = await platform.say(platform.ada, "a", at=platform.group)
    await answered(platform, 2)
    await reply(platform, platform.bob, "b", first)
    await answered(platform, 3)
    assert [one["role"] for one in windows[0]] == ["user", "user", "assistant", "tool"]
    assert windows[0][-1]["content"] == "found"


async def test_messages_from_before_the_bot_are_fetched_on_discord_and_come_once(
    tmp_path: Any,
) -> None:
    async with Discord(tmp_path / "sessions") as platform:
        server, at = platform.server, platform.group.chat
        before = await server.say(at, platform.ada.id, "one")
        for text, who in (("two", platform.bob), ("three", platform.ada), ("four", platform.bob)):
            before = await server.say(at, who.id, text, reply_to=before)
        said = Said(before, f"{at}:{before['id']}")
        await platform.start(recall, sharing="reply chain")
        said = await reply(platform, platform.ada, "five", said)
        assert await answered(platform, 1) == "one + two + three + four + five"
        await reply(platform, platform.bob, "six", said)
        assert await answered(platform, 2) == "one + two + three + four + five + six"
        turns = await platform.turns(platform.group)
        users = [turn.text.rpartition("\n")[2] for turn in turns if turn.role == "user"]
        assert users == ["one", "two", "three", "four", "five", "six"]
        await platform.delete(Said({"id": before["id"], "channel_id": str(at)}, ""))
        await reply(platform, platform.bob, "seven", said)
        window = await answered(platform, 3)
    assert window == "five + seven", "a chain ends where a message is deleted"
