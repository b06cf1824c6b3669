"""Answers that a crash or a restart cut off: the bot's own handlers give them after it."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator, Callable
from datetime import datetime, timedelta, timezone
from pathlib import Path

import pytest

from adapters.platforms import Platform, echo, quiet
from patience import PATIENCE
from turnkeep import Reply, SessionStore, Unanswered
from turnkeep.adapter import ChatSession
from turnkeep.storage.memory import MemoryStorage

pytestmark = pytest.mark.asyncio


class Clock:
    """The time of a storage, which a test moves on."""

    def __init__(self) -> None:
        self.ahead = timedelta()

    def __call__(self) -> datetime:
        return datetime.now(timezone.utc) + self.ahead


@pytest.fixture(params=["jsonl", "shared"])
def new_store(request: pytest.FixtureRequest, tmp_path: Path) -> Callable[[], SessionStore]:
    """Makes the stores of a bot's lives, over one storage of each kind."""
    if request.param == "jsonl":
        return lambda: SessionStore(tmp_path / "sessions", lock_timeout=0)
    shared = MemoryStorage(shared=True)
    return lambda: SessionStore(shared)


class Mortal:
    """A handler that is cut off in the middle of its first answer to a text."""

    def __init__(self, *deadly: str) -> None:
        self.deadly = [*deadly]
        self.halfway = asyncio.Event()

    async def __call__(self, chat_session: ChatSession, text: str) -> None:
        await chat_session.answer(self.answer(text))

    async def answer(self, text: str) -> AsyncIterator[str]:
        yield "to"
        if text in self.deadly:
            self.deadly.remove(text)
            self.halfway.set()
            await asyncio.Event().wait()
        yield f" {text}"

    async def is_halfway(self, platform: Platform) -> None:
        """Waits until half of an answer is shown, and that is noted with its lease."""
        await asyncio.wait_for(self.halfway.wait(), PATIENCE)
        self.halfway.clear()
        await platform.notes()


async def in_hand(platform: Platform, count: int) -> None:
    """Waits until so many messages are kept under a lease."""
    async with asyncio.timeout(PATIENCE):
        while len(await platform.in_hand()) != count:
            await asyncio.sleep(0.01)


async def until(predicate: Callable[[], object]) -> None:
    async with asyncio.timeout(PATIENCE):
        while not predicate():
            await asyncio.sleep(0.01)


async def test_what_a_crash_cut_off_is_answered_after_the_restart(
    platform: Platform, new_store: Callable[[], SessionStore]
) -> None:
    here, mortal = platform.private(platform.ada), Mortal("hello")
    await platform.start(mortal, store=new_store())
    await platform.say(platform.ada, "hello")
    await mortal.is_halfway(platform)
    await platform.die(store=new_store())
    await platform.shows("to hello", at=here)
    await platform.stores("user: hello", "assistant: to hello", at=here)
    assert await platform.store.unanswered() == []


async def test_what_stood_in_a_queue_is_answered_in_its_order(
    platform: Platform, new_store: Callable[[], SessionStore]
) -> None:
    here, mortal = platform.private(platform.ada), Mortal("1")
    await platform.start(mortal, store=new_store(), busy="queue", drain_timeout=0)
    for text in ("1", "2", "3"):
        await platform.say(platform.ada, text)
    await mortal.is_halfway(platform)
    await in_hand(platform, 3)
    await platform.die(store=new_store())
    await platform.shows("to 1", "to 2", "to 3", at=here)
    await platform.ended()
    assert platform.heard[-3:] == ["1", "2", "3"]
    stored = await platform.said(here)
    assert sorted(stored) == sorted(
        f"{who}{n}" for n in "123" for who in ("user: ", "assistant: to ")
    )


async def test_a_handler_that_answers_nothing_owes_nothing(
    platform: Platform, new_store: Callable[[], SessionStore]
) -> None:
    async def fail(chat_session: ChatSession, text: str) -> None:
        if text == "fail":
            raise RuntimeError("as it is meant")

    await platform.start(fail, store=new_store())
    for text in ("fail", "ignore"):
        await platform.say(platform.ada, text)
    await platform.hears("fail", "ignore")
    await platform.ended()
    await platform.restart(store=new_store())
    await platform.say(platform.ada, "after")
    await platform.wait(lambda: "after" in platform.heard)
    assert platform.heard == ["fail", "ignore", "after"]


async def test_an_old_question_is_told_and_not_answered(
    platform: Platform, new_store: Callable[[], SessionStore]
) -> None:
    told: list[Unanswered] = []
    here, mortal = platform.private(platform.ada), Mortal("hello")
    await platform.start(mortal, store=new_store(), resume=timedelta(seconds=60))
    await platform.say(platform.ada, "hello")
    await mortal.is_halfway(platform)
    options = {"resume": timedelta(microseconds=1), "too_old": told.append}
    await platform.die(store=new_store(), **options)
    await platform.say(platform.ada, "after")
    await platform.wait(lambda: "to after" in platform.sent(here))
    await platform.ended()
    await until(lambda: told)
    assert platform.heard == ["hello", "after"]
    assert [(one.turn.text, one.tries, str(one.key)) for one in told] == [
        ("hello", 0, platform.key(here))
    ]


async def test_a_question_is_handled_again_twice_at_most(
    platform: Platform, new_store: Callable[[], SessionStore]
) -> None:
    told: list[Unanswered] = []
    mortal = Mortal("hello", "hello", "hello", "hello")
    await platform.start(mortal, store=new_store(), too_old=told.append)
    await platform.say(platform.ada, "hello")
    for _ in range(3):
        await mortal.is_halfway(platform)
        await platform.die(store=new_store())
    await platform.say(platform.ada, "after")
    await platform.wait(lambda: "after" in platform.heard)
    assert platform.heard == ["hello"] * 3 + ["after"]
    await until(lambda: told)
    assert [(one.turn.text, one.tries) for one in told] == [("hello", 2)]


async def test_no_tool_that_had_run_is_run_again(
    platform: Platform, new_store: Callable[[], SessionStore]
) -> None:
    runs, halfway = list[str](), asyncio.Event()

    async def agent(reply: Reply) -> AsyncIterator[str]:
        """A model that calls two tools one after the other, and the part that runs them."""
        yield "Let me look. "
        while True:
            history = await reply.get_history()
            results = [str(one["content"]) for one in history if one["role"] == "tool"]
            if len(results) == 2:
                yield " and ".join(results)
                return
            name = f"tool_{len(results) + 1}"
            if name == "tool_2" and not halfway.is_set():
                halfway.set()
                await asyncio.Event().wait()
            runs.append(name)
            reply.add_tool_call(f"call_{name}", name, {})
            reply.add_tool_result(f"call_{name}", f"result of {name}")

    async def handle(chat_session: ChatSession, text: str) -> None:
        await chat_session.answer(agent)

    here = platform.private(platform.ada)
    await platform.start(handle, store=new_store())
    await platform.say(platform.ada, "hello")
    await asyncio.wait_for(halfway.wait(), PATIENCE)
    await platform.die(store=new_store())
    await platform.wait(lambda: any("result of tool_2" in text for text in platform.sent(here)))
    await platform.ended()
    assert runs == ["tool_1", "tool_2"]
    assert len(platform.sent(here)) == 1
    roles = [turn.role for turn in await platform.turns(here)]
    assert roles == ["user", "assistant", "tool", "assistant", "tool", "assistant"]


async def test_another_replica_answers_when_one_dies(platform: Platform) -> None:
    clock = Clock()
    shared = MemoryStorage(shared=True, clock=clock)
    here, mortal = platform.private(platform.ada), Mortal("hello")
    await platform.start(mortal, store=SessionStore(shared))
    await platform.say(platform.ada, "hello")
    await mortal.is_halfway(platform)
    async with SessionStore(shared) as other:
        assert await other.unanswered() == [], "it is in hand"
        clock.ahead = timedelta(minutes=2)  # nobody renewed it
        (owed,) = await other.unanswered(prefix=platform.key(here))
        assert (owed.turn.text, owed.tries) == ("hello", 0)
        assert await other.unanswered(prefix="other:") == []
        assert await other.unanswered(max_age=timedelta(0)) == []
    await platform.die(store=SessionStore(shared))
    await platform.shows("to hello", at=here)


async def test_what_is_owed_and_delivered_again_is_answered_once(
    platform: Platform, new_store: Callable[[], SessionStore]
) -> None:
    here = platform.private(platform.ada)
    mortal = Mortal("hello")
    await platform.start(mortal, store=new_store())
    message = await platform.say(platform.ada, "hello")
    await mortal.is_halfway(platform)
    await platform.die(store=new_store())
    await platform.redeliver(message)
    await platform.shows("to hello", at=here)
    await platform.redeliver(message)
    await platform.say(platform.ada, "and")
    await platform.shows("to hello", "to and", at=here)
    await platform.ended()
    assert platform.heard == ["hello", "hello", "and"]


async def test_a_deleted_question_is_owed_nothing_and_leaves_no_copy(platform: Platform) -> None:
    here, mortal = platform.told_of_deletions, Mortal("secret")
    await platform.start(mortal)
    message = await platform.say(platform.ada, "secret", at=here)
    await mortal.is_halfway(platform)
    await platform.delete(message)
    await platform.told()
    await until(lambda: b"secret" not in platform.bytes())
    await platform.die()
    await platform.say(platform.ada, "after", at=here)
    await platform.wait(lambda: "after" in platform.heard)
    assert platform.heard == ["secret", "after"]


async def test_what_waits_behind_a_debounce_is_answered_after_a_restart(
    platform: Platform,
) -> None:
    here = platform.private(platform.ada)
    await platform.start(quiet, debounce=3600, drain_timeout=0)
    for text in ("a", "b"):
        await platform.say(platform.ada, text)
    await in_hand(platform, 2)
    await platform.stop()
    await platform.start(echo, debounce=0.2)
    await platform.shows("to b", at=here)
    assert platform.heard == ["b"]


async def test_resume_can_be_switched_off(platform: Platform) -> None:
    here, mortal = platform.private(platform.ada), Mortal("hello")
    await platform.start(mortal, resume=timedelta(0))
    await platform.say(platform.ada, "hello")
    await asyncio.wait_for(mortal.halfway.wait(), PATIENCE)
    await platform.die()
    await platform.say(platform.ada, "after")
    await platform.wait(lambda: "to after" in platform.sent(here))
    assert platform.heard == ["hello", "after"]
