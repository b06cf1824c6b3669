"""What happens when a message comes while an earlier one of its session is being answered."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator
from typing import Any

import pytest
import pytest_asyncio

from adapters.tools import said
from turnkeep import Sender, Session, SessionStore
from turnkeep.adapter import Busy, Overlap

pytestmark = pytest.mark.asyncio


class Chat:
    """A chat whose answers take as long as the test wants."""

    def __init__(self, session: Session, overlap: Overlap) -> None:
        self.session = session
        self.overlap = overlap
        self.begun: list[str] = []
        self.answered: list[str] = []
        self.cancelled: list[str] = []
        self.open = asyncio.Event()
        self.tasks: list[asyncio.Task[object]] = []
        self.said = 0

    async def answer(self, session: Session) -> str:
        assert session.turn is not None
        text = "+".join(str(turn.content) for turn in (*session.joined, session.turn))
        self.begun.append(text)
        try:
            async with session.reply() as reply:
                await self.open.wait()
                reply.add_text(f"to {text}")
        except asyncio.CancelledError:
            self.cancelled.append(text)
            raise
        self.answered.append(text)
        return text

    async def say(
        self, text: str, sender: str = "ada", album: str | None = None, source: str | None = None
    ) -> None:
        self.said += 1
        session = await self.session.receive(
            text, source_id=source or f"7:{text}", sender=Sender(sender)
        )
        run = self.overlap.run(session, self.answer, album=album)
        self.tasks.append(asyncio.create_task(run))
        await asyncio.sleep(0.01)

    async def end(self) -> list[object]:
        self.open.set()
        return await asyncio.gather(*self.tasks)


@pytest_asyncio.fixture(autouse=True)
async def patient_clock(monkeypatch: pytest.MonkeyPatch) -> None:
    """The loop's clock stands still while anything runs, and goes on when all wait for it.

    So a burst is as quick as it is written here on any machine, and no pause takes its time.
    """
    loop: Any = asyncio.get_running_loop()
    now, select = loop.time(), loop._selector.select

    def wait(timeout: float | None) -> object:
        nonlocal now
        ready = select(timeout if timeout is None else 0)
        if not ready:
            now += timeout or 0
        return ready

    monkeypatch.setattr(loop, "time", lambda: now)
    monkeypatch.setattr(loop._selector, "select", wait)


@pytest_asyncio.fixture
async def session() -> AsyncIterator[Session]:
    async with SessionStore("memory:") as store:
        yield store.session("telegram:7")


@pytest.mark.parametrize(
    ("busy", "begun", "answered"),
    [
        ("parallel", ["a", "b", "c"], ["a", "b", "c"]),
        ("queue", ["a"], ["a", "b", "c"]),
        ("latest", ["a", "a+b", "a+b+c"], ["a+b+c"]),
        ("collect", ["a"], ["a", "b+c"]),
        ("drop", ["a"], ["a"]),
    ],
)
async def test_each_way_of_being_busy(
    session: Session, busy: Busy, begun: list[str], answered: list[str]
) -> None:
    chat = Chat(session, Overlap(busy))
    for text in "abc":
        await chat.say(text)
    assert chat.begun == begun
    await chat.end()
    assert sorted(chat.answered) == sorted(answered)
    if busy != "drop":
        for text in "abc":  # whichever way, each message has an answer, also after a restart
            again = await session.receive(text, source_id=f"7:{text}")
            assert again.already_answered, text


async def test_a_queue_is_first_come_first_served(session: Session) -> None:
    chat = Chat(session, Overlap("queue"))
    for text in "abcdef":
        await chat.say(text)
    assert await chat.end() == [*"abcdef"]
    assert chat.answered == [*"abcdef"]


@pytest.mark.parametrize("busy", ["parallel", "queue", "latest", "collect"])
async def test_a_message_that_comes_twice_is_answered_once(session: Session, busy: Busy) -> None:
    chat = Chat(session, Overlap(busy))
    await chat.say("a")
    await chat.say("a")  # while it is being answered
    await chat.say("b")
    await chat.say("a")
    await chat.end()
    await chat.say("a")  # when it was
    await chat.end()
    assert "a+a" not in "".join(chat.begun)
    assert len([text async for text in session.turns() if text.role == "assistant"]) <= 2
    assert chat.cancelled in ([], ["a"])


async def test_what_is_cancelled_may_keep_its_part(session: Session) -> None:
    overlap = Overlap("latest")
    begun = asyncio.Event()

    async def slow(bound: Session) -> None:
        async with bound.reply(keep_interrupted=True) as reply:
            reply.add_text("half of it")
            begun.set()
            await asyncio.sleep(60)

    async def quick(bound: Session) -> None:
        await bound.append("assistant", "all of it")

    first = await session.receive("a", source_id="7:1")
    task = asyncio.create_task(overlap.run(first, slow))
    await begun.wait()
    await overlap.run(await session.receive("b", source_id="7:2"), quick)
    await task
    parts = [(turn.content, turn.interrupted) async for turn in session.turns()]
    assert parts == [("a", False), ("b", False), ("half of it", True), ("all of it", False)]


async def test_a_debounce_joins_what_one_person_writes_in_a_burst(session: Session) -> None:
    chat = Chat(session, Overlap(debounce=0.2))
    await chat.say("a")
    await chat.say("x", sender="bob")
    await chat.say("b")
    await chat.say("c")
    await chat.end()
    assert sorted(chat.answered) == ["a+b+c", "x"]


async def test_a_burst_that_never_ends_is_answered(session: Session) -> None:
    chat = Chat(session, Overlap(debounce=0.02))
    chat.open.set()
    for number in range(60):
        await chat.say(str(number))
    await chat.end()
    assert len(chat.answered) > 1


async def test_the_parts_of_an_album_are_answered_together(session: Session) -> None:
    chat = Chat(session, Overlap())
    await chat.say("1", album="x")
    await chat.say("other")
    await chat.say("2", album="x")
    await chat.say("3", album="y")
    await chat.end()
    assert sorted(chat.answered) == ["1+2", "3", "other"]


async def test_a_handler_that_fails_lets_the_next_one_go_on(session: Session) -> None:
    overlap = Overlap("queue")

    async def fail(bound: Session) -> None:
        await asyncio.sleep(0.01)
        raise LookupError("no model")

    first = asyncio.create_task(overlap.run(await session.receive("a"), fail))
    await asyncio.sleep(0)
    with pytest.raises(LookupError):
        await overlap.run(await session.receive("b"), fail)
    with pytest.raises(LookupError):
        await first


@pytest.mark.parametrize("answers", ["by its handler", "by another task"])
async def test_what_was_answered_just_before_its_cancellation_is_not_answered_again(
    session: Session, answers: str
) -> None:
    by_handler = answers == "by its handler"
    overlap = Overlap("latest" if by_handler else "collect")
    begun: list[str] = []
    answered, go_on = asyncio.Event(), asyncio.Event()

    async def handle(bound: Session) -> None:
        assert bound.turn is not None
        begun.append("+".join(turn.text for turn in (*bound.joined, bound.turn)))
        async with bound.reply() as reply:
            reply.add_text(f"to {begun[-1]}")
        answered.set()
        if bound.turn.text == "a":
            await go_on.wait()  # it has more to do than to answer

    async def say(text: str) -> Session:
        bound = await session.receive(text, source_id=f"7:{text}")
        tasks.append(asyncio.create_task(overlap.run(bound, handle)))
        return bound

    tasks: list[asyncio.Task[object]] = []
    await say("a")
    await answered.wait()
    if not by_handler:  # while it waits behind the first one
        await (await say("b")).append("assistant", "to b")
    await say("c")
    go_on.set()
    await asyncio.gather(*tasks)
    assert begun == ["a", "c"]
    texts = [turn.text async for turn in session.turns() if turn.role == "assistant"]
    assert texts == ["to a", *([] if by_handler else ["to b"]), "to c"]
    assert not [turn async for turn in session.turns() if turn.also_answers]


@pytest.mark.parametrize(("busy", "debounce"), [("polite", 0), ("queue", -1)])
async def test_what_is_no_choice_is_refused(busy: Busy, debounce: float) -> None:
    with pytest.raises(ValueError, match=r"busy is one of|debounce is in seconds"):
        Overlap(busy, debounce=debounce)


async def test_a_message_of_a_forgotten_session_holds_up_none_of_the_one_that_begins_anew() -> None:
    async with SessionStore("memory:") as store:
        chat = Chat(store.session("telegram:7"), Overlap())
        await chat.say("a")
        await store.forget("telegram:7")
        await chat.say("b")
        assert chat.begun == ["a", "b"]
        await chat.end()
        assert await said(store, "telegram:7") == ["user: b", "assistant: to b"]
