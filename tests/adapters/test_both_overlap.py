"""Messages of one session that come while another one is answered, on each platform."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator
from contextlib import suppress
from typing import Any

import pytest

from adapters.on_telegram import Telegram
from adapters.platforms import Platform, echo
from patience import PATIENCE
from turnkeep.adapter import ChatSession

pytestmark = pytest.mark.asyncio


class Slow:
    """A handler that says half of its answer, and the rest when it may."""

    def __init__(self, *, keep_interrupted: bool = False) -> None:
        self.keep_interrupted = keep_interrupted
        self.may_end = asyncio.Event()
        self.begun: list[str] = []
        """What each run was to answer: the message in hand, behind those that it joins."""
        self.halfway: list[str] = []

    async def __call__(self, chat_session: ChatSession, text: str) -> None:
        assert chat_session.turn is not None
        turns = (*chat_session.joined, chat_session.turn)
        asked = "+".join(turn.text for turn in turns)
        self.begun.append(asked)
        await chat_session.answer(self.says(asked), keep_interrupted=self.keep_interrupted)

    async def says(self, asked: str) -> AsyncIterator[str]:
        yield f"to {asked}"
        self.halfway.append(asked)  # it was shown, and the bot knows as which message
        await self.may_end.wait()
        yield ", all"


async def test_by_default_they_are_handled_at_the_same_time(platform: Platform) -> None:
    slow, here = Slow(), platform.group
    await platform.start(slow)
    await platform.say(platform.ada, "a", at=here)
    await platform.say(platform.bob, "b", at=here)
    await platform.wait(lambda: sorted(platform.sent(here)) == ["to a", "to b"], "both begun")
    slow.may_end.set()
    await platform.ended()
    assert sorted(platform.sent(here)) == ["to a, all", "to b, all"]
    assert sorted(await platform.said(here)) == [
        "assistant: to a, all",
        "assistant: to b, all",
        "user: a",
        "user: b",
    ]


async def test_a_queue_is_first_come_first_served(platform: Platform) -> None:
    slow, here = Slow(), platform.group
    await platform.start(slow, busy="queue")
    for person, text in ((platform.ada, "a"), (platform.bob, "b"), (platform.ada, "c")):
        await platform.say(person, text, at=here)
    await platform.stores("user: a", "user: b", "user: c", at=here)
    await platform.shows("to a", at=here)
    assert slow.begun == ["a"], "the others wait"
    slow.may_end.set()
    await platform.shows("to a, all", "to b, all", "to c, all", at=here)
    await platform.ended()
    answers = [turn.answers for turn in await platform.turns(here)]
    assert answers == [None, None, None, 1, 2, 3]


@pytest.mark.parametrize("keep_interrupted", [True, False], ids=["kept", "dropped"])
async def test_the_latest_cancels_the_one_before_whose_part_is_kept_and_marked_or_dropped(
    platform: Platform, keep_interrupted: bool
) -> None:
    slow, here = Slow(keep_interrupted=keep_interrupted), platform.private(platform.ada)
    await platform.start(slow, busy="latest")
    await platform.say(platform.ada, "a")
    await platform.wait(lambda: slow.halfway == ["a"], "half of an answer")
    await platform.say(platform.ada, "b")
    await platform.wait(lambda: slow.halfway == ["a", "a+b"], "half of an answer")
    half = ["to a\n\n…"] if keep_interrupted else []
    assert platform.sent(here) == [*half, "to a+b"]
    slow.may_end.set()
    await platform.shows(*half, "to a+b, all", at=here)
    await platform.stop()
    turns = await platform.turns(here)
    kept = [("assistant", "to a", True)] if keep_interrupted else []
    assert [(turn.role, turn.text, turn.interrupted) for turn in turns] == [
        ("user", "a", False),
        ("user", "b", False),
        *kept,
        ("assistant", "to a+b, all", False),
    ]
    assert (turns[-1].answers, turns[-1].also_answers) == (2, (1,))
    sources = platform.source_ids(here)
    assert [turn.source_ids for turn in turns[2:]] == [(one,) for one in sources][-len(turns[2:]) :]


async def test_a_half_answer_that_was_just_being_sent_is_taken_away_too(
    platform: Platform,
) -> None:
    slow, here = Slow(), platform.private(platform.ada)
    slow.may_end.set()
    on_screen, may_return = asyncio.Event(), asyncio.Event()

    async def handle(session: ChatSession, text: str) -> None:
        assert session.outlet is not None
        send = session.outlet.send

        async def send_slowly(piece: str, buttons: Any = None) -> str | None:
            sent = await send(piece, buttons)
            on_screen.set()
            await may_return.wait()
            return sent

        if not on_screen.is_set():
            session.outlet.send = send_slowly  # type: ignore[method-assign, assignment]
        await slow(session, text)

    await platform.start(handle, busy="latest")
    await platform.say(platform.ada, "a")
    await asyncio.wait_for(on_screen.wait(), PATIENCE)
    await platform.say(platform.ada, "b")
    await platform.stores("user: a", "user: b", at=here)
    await platform.told()  # the first handler is cancelled by now
    may_return.set()
    await platform.shows("to a+b, all", at=here)
    await platform.ended()
    assert (await platform.said(here))[-1] == "assistant: to a+b, all"


@pytest.mark.parametrize("keep_interrupted", [True, False], ids=["kept", "dropped"])
async def test_an_answer_that_its_handler_gives_up_is_marked_or_taken_away(
    platform: Platform, keep_interrupted: bool
) -> None:
    slow, here = Slow(keep_interrupted=keep_interrupted), platform.group
    given_up = 0

    async def handle(session: ChatSession, text: str) -> None:
        nonlocal given_up
        answer = asyncio.create_task(slow(session, text))
        await platform.wait(lambda: slow.halfway == ["a"], "half of an answer")
        answer.cancel()  # as asyncio.timeout() does
        with suppress(asyncio.CancelledError):
            await answer
        given_up += 1

    await platform.start(handle, stop=True)
    await platform.say(platform.ada, "a", at=here)
    await platform.wait(lambda: given_up == 1)
    await platform.ended()
    assert platform.sent(here) == (["to a\n\n…"] if keep_interrupted else [])
    assert platform.labels(here) == ([[]] if keep_interrupted else []), "nothing left to stop"


async def test_an_album_keeps_its_place_in_a_queue(platform: Platform) -> None:
    slow, here = Slow(), platform.private(platform.ada)
    slow.may_end.set()
    await platform.start(slow, busy="queue")
    await platform.pictures(platform.ada, "my cat")
    await platform.say(platform.ada, "what is that?")
    await platform.wait(lambda: len(platform.sent(here)) == 2)
    await platform.ended()
    assert platform.sent(here)[0].startswith("to my cat")
    assert platform.sent(here)[1] == "to what is that?, all"


async def test_what_came_meanwhile_is_collected_and_answered_together(platform: Platform) -> None:
    slow, here = Slow(), platform.private(platform.ada)
    await platform.start(slow, busy="collect")
    await platform.say(platform.ada, "a")
    await platform.shows("to a", at=here)
    for text in "bc":
        await platform.say(platform.ada, text)
    await platform.stores("user: a", "user: b", "user: c", at=here)
    await platform.told()  # they are in line by now, too
    slow.may_end.set()
    await platform.shows("to a, all", "to b+c, all", at=here)
    await platform.ended()
    assert slow.begun == ["a", "b+c"]
    turns = await platform.turns(here)
    assert [(one.answers, one.also_answers) for one in turns[3:]] == [(1, ()), (3, (2,))]


async def test_what_came_meanwhile_may_be_dropped_and_is_recorded(platform: Platform) -> None:
    slow, here = Slow(), platform.private(platform.ada)
    await platform.start(slow, busy="drop")
    await platform.say(platform.ada, "a")
    await platform.shows("to a", at=here)
    await platform.say(platform.ada, "b")
    await platform.stores("user: a", "user: b", at=here)
    await platform.told()  # it is dropped by now, too
    slow.may_end.set()
    await platform.shows("to a, all", at=here)
    await platform.ended()
    await platform.say(platform.ada, "c")
    await platform.shows("to a, all", "to c, all", at=here)
    await platform.stop()
    lines = ["user: a", "user: b", "assistant: to a, all", "user: c", "assistant: to c, all"]
    assert await platform.said(here) == lines
    assert slow.begun == ["a", "c"]


async def test_chats_do_not_wait_for_each_other(platform: Platform) -> None:
    slow = Slow()
    await platform.start(slow, busy="queue")
    await platform.say(platform.ada, "a")
    await platform.say(platform.bob, "b")
    await platform.shows("to a", at=platform.private(platform.ada))
    await platform.shows("to b", at=platform.private(platform.bob))
    slow.may_end.set()
    await platform.ended()


async def test_a_debounce_joins_what_one_person_writes_in_a_burst(platform: Platform) -> None:
    slow, here = Slow(), platform.group
    slow.may_end.set()
    await platform.start(slow, debounce=3)
    for person, text in ((platform.ada, "a"), (platform.bob, "x"), (platform.ada, "b")):
        await platform.say(person, text, at=here)
    await platform.wait(lambda: len(platform.sent(here)) == 2, "two answers")
    await platform.ended()
    assert sorted(slow.begun) == ["a+b", "x"]
    lines = await platform.said(here)
    assert lines[:3] == ["user: a", "user: x", "user: b"], "each is recorded by itself"
    assert len(lines) == 5


async def test_pictures_that_are_sent_together_have_one_answer(platform: Platform) -> None:
    slow, here = Slow(), platform.private(platform.ada)
    slow.may_end.set()
    await platform.start(slow)
    await platform.pictures(platform.ada, "look")
    await platform.wait(lambda: platform.sent(here), "an answer")
    await platform.ended()
    *pictures, answer = await platform.turns(here)
    assert sum(len(turn.media) for turn in pictures) == 3
    assert len(pictures) == (3 if isinstance(platform, Telegram) else 1), "as the platform sends"
    assert {*answer.also_answers, answer.answers} == {turn.id for turn in pictures}
    assert len(platform.sent(here)) == 1


async def test_an_answer_that_is_cancelled_while_the_platform_lets_it_wait_holds_nothing_up(
    platform: Platform,
) -> None:
    here = platform.private(platform.ada)
    await platform.start(echo, busy="latest")
    platform.slow_down(edits=False, seconds=5)
    await platform.say(platform.ada, "a")
    await platform.wait(lambda: platform.refusals() == 1, "a refusal")
    await platform.say(platform.ada, "b")
    await platform.wait(lambda: "to b" in platform.sent(here), "an answer")
    await platform.stop()
    assert await platform.said(here) == ["user: a", "user: b", "assistant: to b"]
