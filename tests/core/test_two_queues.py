"""Handlers of one session, in two processes that share its storage."""

from __future__ import annotations

from typing import Any

import anyio
import pytest

from turnkeep import Session, SessionStore
from turnkeep.adapter import Busy, Overlap

from .tools import said
from .two import KEY, Two

pytestmark = pytest.mark.anyio


class Handlers:
    """Counts those that are at work at the same time in a session."""

    def __init__(self) -> None:
        self.running = 0
        self.most = 0
        self.begun: list[Any] = []

    async def __call__(self, session: Session) -> None:
        assert session.turn is not None
        self.begun.append(session.turn.content)
        self.running += 1
        self.most = max(self.most, self.running)
        async with session.reply() as reply:
            for _ in range(5):
                await anyio.lowlevel.checkpoint()
            await anyio.sleep(0.001)
            reply.add_text(f"to {session.turn.content}")
        self.running -= 1


async def handle(two: Two, handlers: Handlers, busy: Busy, keys: tuple[str, str]) -> None:
    """Let two replicas handle five messages each, all at once."""
    overlaps = Overlap(busy), Overlap(busy)

    async def run(store: SessionStore, overlap: Overlap, key: str, number: str) -> None:
        session = await store.session(key).receive(number, source_id=f"{key} {number}")
        await overlap.run(session, handlers)

    async with anyio.create_task_group() as tasks:
        for number in range(10):
            replica = number % 2
            store = (two.a, two.b)[replica]
            tasks.start_soon(run, store, overlaps[replica], keys[replica], f"{number}")


async def test_in_a_queue_the_handlers_of_one_session_never_overlap(two: Two) -> None:
    handlers = Handlers()
    await handle(two, handlers, "queue", (KEY, KEY))
    assert handlers.most == 1
    assert sorted(handlers.begun) == [f"{number}" for number in range(10)]
    answers = [one for one in await said(two.a.session(KEY)) if str(one).startswith("to ")]
    assert sorted(answers) == [f"to {number}" for number in range(10)]
    assert await two.storage.claims() == []


async def test_linked_keys_are_one_queue(two: Two) -> None:
    await two.a.link("discord:1", KEY)
    handlers = Handlers()
    await handle(two, handlers, "queue", ("discord:1", KEY))
    assert handlers.most == 1
    assert len(handlers.begun) == 10


@pytest.mark.parametrize("busy", ["latest", "collect", "drop"])
async def test_the_handlers_of_one_session_never_overlap_however_busy(two: Two, busy: Busy) -> None:
    handlers = Handlers()
    await handle(two, handlers, busy, (KEY, KEY))
    assert handlers.most == 1


async def test_handlers_of_several_sessions_do_not_wait_for_each_other(two: Two) -> None:
    met = anyio.Event()
    came: list[str] = []

    async def meet(session: Session) -> None:
        came.append(session.key.text)
        if len(came) == 2:
            met.set()
        await met.wait()

    async def run(store: SessionStore, key: str) -> None:
        session = await store.session(key).receive("Hi", source_id="m1")
        await Overlap("queue").run(session, meet)

    async with anyio.create_task_group() as tasks:
        tasks.start_soon(run, two.a, "telegram:1")
        tasks.start_soon(run, two.b, "telegram:2")
    assert sorted(came) == ["telegram:1", "telegram:2"]


async def test_a_handler_that_is_cancelled_or_fails_lets_the_other_replica_go_on(two: Two) -> None:
    mine = await two.a.session(KEY).receive("first", source_id="m1")
    theirs = await two.b.session(KEY).receive("second", source_id="m2")
    done: list[Any] = []

    async def fail(session: Session) -> None:
        raise ZeroDivisionError

    async def finish(session: Session) -> None:
        assert session.turn is not None
        done.append(session.turn.content)

    with pytest.raises(ZeroDivisionError):
        await Overlap("queue").run(mine, fail)
    with anyio.CancelScope() as scope:

        async def cancel(session: Session) -> None:
            scope.cancel()
            await anyio.sleep_forever()

        await Overlap("queue").run(mine, cancel)
    await Overlap("queue").run(theirs, finish)
    assert done == ["second"]
