"""Conversations that begin anew by themselves, on each platform, by the times of its messages."""

from __future__ import annotations

from datetime import UTC, datetime, timedelta

import pytest

from adapters.platforms import Platform
from turnkeep.adapter import ChatSession, ResetPolicy

pytestmark = pytest.mark.asyncio

HOUR = timedelta(hours=1)


async def recall(chat_session: ChatSession, text: str) -> None:
    """A handler that tells what its window holds; it is silent about what is old."""
    window = await chat_session.get_history()
    if not text.startswith("old"):  # an answer has the time of now
        await chat_session.answer(" + ".join(str(one["content"]) for one in window))


async def epochs(platform: Platform) -> list[tuple[int, str]]:
    turns = await platform.turns(platform.private(platform.ada))
    return [(turn.epoch, turn.text) for turn in turns]


async def test_it_begins_anew_after_a_silence_and_keeps_the_old_epoch(platform: Platform) -> None:
    now, ada = datetime.now(UTC), platform.ada
    here = platform.private(ada)
    await platform.start(recall, reset=ResetPolicy(idle=6 * HOUR))
    await platform.say(ada, "old one", time=now - 13 * HOUR)
    await platform.say(ada, "old two", time=now - 8 * HOUR)
    await platform.hears("old one", "old two")
    await platform.say(ada, "new", time=now)
    await platform.shows("new", at=here)
    await platform.say(ada, "newer")
    await platform.shows("new", "new + new + newer", at=here)
    await platform.stop()
    assert await epochs(platform) == [
        (1, "old one"),
        (1, "old two"),
        (2, "new"),
        (2, "new"),
        (2, "newer"),
        (2, "new + new + newer"),
    ]


async def test_it_begins_anew_daily_at_an_hour(platform: Platform) -> None:
    now, ada = datetime.now(UTC), platform.ada
    here = platform.private(ada)
    await platform.start(recall, reset=ResetPolicy(daily_at=(now - 2 * HOUR).timetz()))
    await platform.say(ada, "old", time=now - 3 * HOUR)
    await platform.hears("old")
    await platform.say(ada, "new", time=now - HOUR)
    await platform.shows("new", at=here)
    await platform.say(ada, "newer")
    await platform.shows("new", "new + new + newer", at=here)
    await platform.stop()
    assert (await epochs(platform))[:3] == [(1, "old"), (2, "new"), (2, "new")]


async def test_by_default_no_silence_is_too_long(platform: Platform) -> None:
    await platform.start(recall)
    await platform.say(platform.ada, "old", time=datetime.now(UTC) - timedelta(days=700))
    await platform.hears("old")
    await platform.say(platform.ada, "new")
    await platform.shows("old + new", at=platform.private(platform.ada))


async def test_a_restart_does_not_hide_the_silence(platform: Platform) -> None:
    now, ada = datetime.now(UTC), platform.ada
    await platform.start(recall, reset=ResetPolicy(idle=6 * HOUR))
    await platform.say(ada, "old", time=now - 8 * HOUR)
    await platform.hears("old")
    await platform.restart()
    await platform.say(ada, "new")
    await platform.shows("new", at=platform.private(ada))


async def test_a_message_that_comes_again_begins_nothing(platform: Platform) -> None:
    now, ada = datetime.now(UTC), platform.ada
    await platform.start(reset=ResetPolicy(idle=6 * HOUR))
    new = await platform.say(ada, "new", time=now)
    await platform.say(ada, "old", time=now - 8 * HOUR)  # it was on its way for long
    await platform.hears("new", "old")
    await platform.redeliver(new)
    await platform.say(ada, "less old", time=now - 7 * HOUR)
    await platform.wait(lambda: "less old" in platform.heard)
    assert await epochs(platform) == [(1, "new"), (1, "old"), (1, "less old")]


async def test_two_messages_that_end_a_silence_together_begin_one_epoch(
    platform: Platform,
) -> None:
    now, ada = datetime.now(UTC), platform.ada
    await platform.start(reset=ResetPolicy(idle=6 * HOUR))
    await platform.say(ada, "old", time=now - 8 * HOUR)
    await platform.hears("old")
    await platform.say(ada, "one")
    await platform.say(ada, "two")
    await platform.hears("old", "one", "two")
    assert await epochs(platform) == [(1, "old"), (2, "one"), (2, "two")]
