"""Reactions and votes are turns where the bot's author chooses so, on both platforms."""

from __future__ import annotations

from typing import Any

import pytest
from aiogram.types import InputPollOption

from adapters.on_discord import Discord
from adapters.on_telegram import Telegram
from adapters.platforms import Platform, echo

pytestmark = pytest.mark.asyncio


async def react(platform: Platform, raw: Any, emoji: str, *, remove: bool = False) -> None:
    if isinstance(platform, Telegram):
        emojis = () if remove else (emoji,)
        user = int(platform.ada.id)
        platform.server.react(raw, *emojis, user_id=user, first_name=platform.ada.name)
        return
    assert isinstance(platform, Discord)
    await platform.server.react(raw, platform.ada.id, emoji, remove=remove)


async def test_a_reaction_is_a_turn_until_it_is_taken_back(platform: Platform) -> None:
    await platform.start(echo, record_reactions=True)
    await platform.say(platform.bob, "hello", at=platform.group)
    await platform.shows("to hello", at=platform.group)
    sent = platform.latest(platform.group).raw
    name = "Emulated" if isinstance(platform, Telegram) else "Bot"
    said = ["user: hello", "assistant: to hello"]
    reaction = f"user: [reply to {name}: to hello]\n[reaction: 👍]"
    await platform.ended()
    await react(platform, sent, "👍")
    await platform.stores(*said, reaction, at=platform.group)
    await react(platform, sent, "👍", remove=True)
    await platform.stores(*said, at=platform.group)
    await react(platform, sent, "👍")
    await platform.stores(*said, reaction, at=platform.group)
    turn = (await platform.turns(platform.group))[-1]
    assert turn.sender is not None
    assert (turn.sender.id, turn.sender.name) == (platform.ada.id, platform.ada.name)
    assert platform.heard == ["hello"], "nobody answers it"


async def test_without_the_choice_reactions_leave_nothing(platform: Platform) -> None:
    await platform.start(echo)
    said = await platform.say(platform.ada, "hello")
    private = platform.private(platform.ada)
    await platform.shows("to hello", at=private)
    await react(platform, said.raw, "👍")
    await platform.told()
    await platform.stores("user: hello", "assistant: to hello", at=private)


async def test_a_vote_in_a_poll_of_the_bots_is_a_turn(platform: Platform) -> None:
    await platform.start(record_votes=True)
    at = platform.group.chat
    if isinstance(platform, Telegram):
        platform.server.open_chat(at)
        options: list[InputPollOption | str] = ["tea", "coffee"]
        await platform.bot.send_poll(at, "Drink?", options, is_anonymous=False)
        poll = platform.latest(platform.group).raw
        platform.server.vote(poll, 1, user_id=71)
    else:
        assert isinstance(platform, Discord)
        poll = await platform.server.say(at, platform.server.bot, "", poll=POLL)
        await platform.server.vote(poll, platform.ada.id, 2)
    await platform.stores("user: [vote: Drink? coffee]", at=platform.group)
    if isinstance(platform, Telegram):
        platform.server.vote(poll, user_id=71)
    elif isinstance(platform, Discord):
        await platform.server.vote(poll, platform.ada.id, 2, remove=True)
    await platform.stores(at=platform.group)


async def test_a_vote_in_a_poll_from_before_a_restart_is_a_turn(platform: Platform) -> None:
    await platform.start(record_votes=True)
    at = platform.group.chat
    if isinstance(platform, Telegram):
        platform.server.open_chat(at)
        options: list[InputPollOption | str] = ["tea", "coffee"]
        for question in ("Eat?", "Drink?"):
            await platform.bot.send_poll(at, question, options, is_anonymous=False)
        await platform.restart()
        polls = [one for one in platform.server.sent(at) if "poll" in one]
        platform.server.vote(polls[1], 0, user_id=71)
        platform.server.vote(polls[0], 1, user_id=71)
    else:
        assert isinstance(platform, Discord)
        eat = {**POLL, "question": {"text": "Eat?"}}
        polls = [
            await platform.server.say(at, platform.server.bot, "", poll=one) for one in (eat, POLL)
        ]
        await platform.restart()
        await platform.server.vote(polls[1], platform.ada.id, 1)
        await platform.server.vote(polls[0], platform.ada.id, 2)
    await platform.stores(
        "user: [vote: Drink? tea]", "user: [vote: Eat? coffee]", at=platform.group
    )


POLL: dict[str, Any] = {
    "question": {"text": "Drink?"},
    "answers": [
        {"answer_id": 1, "poll_media": {"text": "tea"}},
        {"answer_id": 2, "poll_media": {"text": "coffee"}},
    ],
    "expiry": "2030-01-01T00:00:00+00:00",
    "allow_multiselect": False,
    "layout_type": 1,
}
