"""A storage that fails, on each platform: a session whose file can't be written."""

from __future__ import annotations

import asyncio
import logging

import pytest

from adapters.platforms import Place, Platform
from patience import PATIENCE
from turnkeep import StorageError
from turnkeep.adapter import ChatSession

pytestmark = pytest.mark.asyncio


async def count(chat_session: ChatSession, text: str) -> None:
    """A handler that tells how much of the conversation it sees."""
    async with chat_session.reply() as reply:
        window = await reply.get_history()
        reply.add_text(f"{len(window)} seen")
    assert chat_session.outlet is not None
    await chat_session.outlet.send(reply.turns[-1].text)


def broken(platform: Platform, at: Place | None = None) -> None:
    """Makes the storage fail at a session, Ada's private one: its file is a folder."""
    platform.file(at or platform.private(platform.ada)).mkdir(parents=True)


def mended(platform: Platform, at: Place | None = None) -> None:
    platform.file(at or platform.private(platform.ada)).rmdir()


async def test_by_default_the_error_is_raised_and_the_message_not_handled(
    platform: Platform, caplog: pytest.LogCaptureFixture
) -> None:
    here = platform.private(platform.ada)
    broken(platform)
    await platform.start(count)
    await platform.say(platform.ada, "hello")
    await platform.wait(lambda: any(record.exc_info for record in caplog.records), "an error")
    errors = [one.exc_info[1] for one in caplog.records if one.exc_info]
    assert isinstance(errors[0], StorageError), "as the framework tells of it"
    assert platform.key(here) in str(errors[0])
    await platform.say(platform.bob, "hello")
    await platform.shows("1 seen", at=platform.private(platform.bob))
    await platform.stop()
    assert platform.sent(here) == []
    assert platform.heard == ["hello"], "the other one's"


async def test_a_message_that_was_refused_is_taken_when_it_is_delivered_again(
    platform: Platform, caplog: pytest.LogCaptureFixture
) -> None:
    here = platform.private(platform.ada)
    broken(platform)
    await platform.start(count)
    hello = await platform.say(platform.ada, "hello")
    await platform.wait(lambda: any(record.exc_info for record in caplog.records), "an error")
    mended(platform)
    await platform.redeliver(hello)
    await platform.shows("1 seen", at=here)
    await platform.stop()
    assert await platform.said(here) == ["user: hello", "assistant: 1 seen"]


async def test_with_later_it_is_logged_answered_without_history_and_recorded_in_order(
    platform: Platform, caplog: pytest.LogCaptureFixture
) -> None:
    here = platform.private(platform.ada)
    await platform.start(count)
    await platform.say(platform.ada, "before")
    await platform.shows("1 seen", at=here)
    await platform.stop()
    kept = platform.file(here).rename(platform.folder.parent / "kept")
    broken(platform)
    await platform.start(count, on_storage_error="later")
    a = await platform.say(platform.ada, "a")
    await platform.shows("1 seen", "1 seen", at=here)
    assert "recorded later" in caplog.text
    await platform.say(platform.ada, "b")
    await platform.shows("1 seen", "1 seen", "3 seen", at=here)
    await platform.ended()
    mended(platform)
    kept.rename(platform.file(here))
    await platform.say(platform.ada, "c")
    await platform.shows("1 seen", "1 seen", "3 seen", "7 seen", at=here)
    await platform.ended()
    await platform.redeliver(a)
    await platform.told()
    await platform.stop()
    assert await platform.said(here) == [
        "user: before",
        "assistant: 1 seen",
        "user: a",
        "assistant: 1 seen",
        "user: b",
        "assistant: 3 seen",
        "user: c",
        "assistant: 7 seen",
    ]
    answers = [turn.answers for turn in await platform.turns(here)]
    assert answers == [None, 1, None, 3, None, 5, None, 7]
    assert platform.heard == ["before", "a", "b", "c"], "delivered again, it is known"


@pytest.mark.parametrize("works", [True, False], ids=["works again", "fails still"])
async def test_what_waits_at_the_end_is_recorded_or_its_loss_is_told(
    platform: Platform, caplog: pytest.LogCaptureFixture, works: bool
) -> None:
    here = platform.private(platform.ada)
    broken(platform)
    await platform.start(count, on_storage_error="later")
    await platform.say(platform.ada, "hello")
    await platform.shows("1 seen", at=here)
    await platform.ended()
    if works:
        mended(platform)
    caplog.clear()
    with caplog.at_level(logging.ERROR):
        await platform.stop()
    lost = f"session {platform.key(here)}: 2 turns could not be recorded and are lost"
    assert (lost in caplog.text) is not works
    if works:
        assert await platform.said(here) == ["user: hello", "assistant: 1 seen"]


async def test_an_answer_that_alone_is_not_taken_is_recorded_later(platform: Platform) -> None:
    here, begun, go_on = platform.private(platform.ada), asyncio.Event(), asyncio.Event()

    async def wait(chat_session: ChatSession, text: str) -> None:
        async with chat_session.reply() as reply:
            begun.set()
            await go_on.wait()
            reply.add_text(f"to {text}")

    await platform.start(wait, on_storage_error="later")
    await platform.say(platform.ada, "a")
    await asyncio.wait_for(begun.wait(), PATIENCE)
    kept = platform.file(here).rename(platform.folder.parent / "kept")
    broken(platform)
    go_on.set()
    await platform.ended()
    mended(platform)
    kept.rename(platform.file(here))
    await platform.say(platform.ada, "b")
    await platform.hears("a", "b")
    await platform.ended()
    await platform.stop()
    lines = ["user: a", "assistant: to a", "user: b", "assistant: to b"]
    assert await platform.said(here) == lines


async def test_another_session_is_not_held_up(platform: Platform) -> None:
    broken(platform)
    await platform.start(count, on_storage_error="later")
    await platform.say(platform.ada, "hello")
    await platform.say(platform.bob, "hello")
    await platform.shows("1 seen", at=platform.private(platform.bob))
    await platform.stop()
    there = platform.private(platform.bob)
    assert await platform.said(there) == ["user: hello", "assistant: 1 seen"]


async def test_what_is_edited_or_deleted_while_it_waits_is_recorded_so(
    platform: Platform,
) -> None:
    here = platform.told_of_deletions
    broken(platform, here)
    await platform.start(on_storage_error="later")
    changed = await platform.say(platform.ada, "before", at=here)
    gone = await platform.say(platform.ada, "gone", at=here)
    await platform.hears("before", "gone")
    await platform.edit(changed, "after")
    await platform.delete(gone)
    await platform.told()
    mended(platform, here)
    await platform.stop()
    assert await platform.said(here) == ["user: after"]
    assert b"gone" not in platform.bytes()
