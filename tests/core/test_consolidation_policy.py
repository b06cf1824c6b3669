"""The policy: a session is consolidated by itself, after a reply, once it is long enough."""

from __future__ import annotations

import asyncio
import gc
import logging
from collections.abc import AsyncIterator, Callable
from contextlib import asynccontextmanager
from random import Random
from typing import Any

import anyio
import pytest
import trio

from patience import PATIENCE
from turnkeep import ConsolidationPolicy, Session, SessionStore, SummaryError
from turnkeep._session.due import Lengths

from .conftest import Place
from .test_consolidate import SUMMARY_1, Summarizer, info_of, shown
from .tools import answer, failed_reply, said, stored

pytestmark = pytest.mark.anyio


async def exchange(session: Session, number: int) -> None:
    await session.append("user", f"q{number}")
    await answer(session, f"a{number}")


async def exchanges(session: Session, first: int, last: int) -> None:
    for number in range(first, last + 1):
        await exchange(session, number)


async def test_it_runs_after_the_reply_that_makes_more_than_so_many_messages(
    session: Session,
) -> None:
    summarize = Summarizer()
    session.store.consolidation = ConsolidationPolicy(summarize, after_messages=6, keep=2)
    await exchanges(session, 1, 3)
    assert summarize.given == []
    await exchange(session, 4)
    assert summarize.texts == [["q1", "a1", "q2", "a2", "q3", "a3"]]
    assert await shown(session) == [SUMMARY_1, "q4", "a4"]
    await exchanges(session, 5, 6)
    assert len(summarize.given) == 1
    await exchange(session, 7)
    assert len(summarize.given) == 2


async def test_it_runs_after_the_reply_that_makes_more_than_so_many_tokens(
    session: Session,
) -> None:
    summarize = Summarizer()
    # A message costs its text, here 6, and 4 for itself.
    session.store.consolidation = ConsolidationPolicy(
        summarize, after_tokens=60, keep=2, count_tokens=lambda text: 6
    )
    await exchanges(session, 1, 3)
    assert summarize.given == []
    await exchange(session, 4)
    assert summarize.texts == [["q1", "a1", "q2", "a2", "q3", "a3"]]


async def test_either_threshold_is_enough(session: Session) -> None:
    summarize = Summarizer()
    session.store.consolidation = ConsolidationPolicy(
        summarize, after_messages=100, after_tokens=10, keep=2
    )
    await exchanges(session, 1, 2)
    assert summarize.texts == [["q1", "a1"]]


@pytest.mark.parametrize("limit", ["after_messages", "after_tokens"])
async def test_it_reads_only_the_new_turns_until_they_may_pass_the_limit(
    session: Session, monkeypatch: pytest.MonkeyPatch, limit: str
) -> None:
    summarize = Summarizer()
    most: Any = {limit: 100 if limit == "after_messages" else 100 * 10}
    session.store.consolidation = ConsolidationPolicy(
        summarize, keep=2, count_tokens=lambda text: 6, **most
    )
    read, desk = [0], session.store.desk
    plain = desk.read

    async def counted(*arguments: Any, **options: Any) -> Any:
        found = await plain(*arguments, **options)
        read[0] += len(found.turns)
        return found

    await exchange(session, 1)
    monkeypatch.setattr(desk, "read", counted)
    for number in range(2, 48):
        await session.append("user", f"q{number}")
        read[0] = 0
        await session.append("assistant", f"a{number}")
        assert read[0] == 2
    assert summarize.given == []
    await exchanges(session, 48, 51)
    assert len(summarize.given) == 1


@pytest.mark.parametrize("seed", range(6))
async def test_it_is_due_at_the_same_answer_as_if_everything_was_read(
    session: Session, seed: int
) -> None:
    random = Random(seed)
    lengths = Lengths()
    policy = ConsolidationPolicy(Summarizer(), after_messages=9, after_tokens=130, keep=2)
    for number in range(30):
        step = random.choice(
            ("user", "user", "answer", "calls", "result", "edit", "delete", "clear")
        )
        if step in ("user", "answer"):
            role = "user" if step == "user" else "assistant"
            await session.append(role, "word " * random.randint(1, 9))
        elif step == "calls":
            calls = [
                {"id": f"c{number}-{at}", "function": {"name": "look", "arguments": "{}"}}
                for at in range(random.randint(1, 3))
            ]
            await session.append("assistant", None, tool_calls=calls)
        elif step == "result":
            await session.append("tool", "a cat", tool_call_id=f"c{number - 1}-0")
        elif step == "clear" and random.random() < 0.3:
            await session.clear()
        elif turns := await stored(session):
            if step == "edit":
                await session.edit(random.choice(turns), "word " * 20)
            elif step == "delete":
                await session.delete(random.choice(turns))
        desk, key, limits = session.store.desk, session.key, policy.limits
        assert await lengths.is_due(desk, key, limits) == await Lengths().is_due(desk, key, limits)


async def test_the_store_takes_the_policy_when_it_is_made(place: Place) -> None:
    summarize = Summarizer()
    policy = ConsolidationPolicy(summarize, after_messages=2, keep=0)
    async with place(consolidation=policy) as store:
        await exchanges(store.session("telegram:12345"), 1, 2)
    assert summarize.texts == [["q1", "a1"]]


async def test_the_reply_is_stored_before_the_summarizer_is_asked(session: Session) -> None:
    seen: list[Any] = []

    async def summarize(messages: object) -> str:
        seen.extend(await said(session))
        return "sum"

    session.store.consolidation = ConsolidationPolicy(summarize, after_messages=2, keep=0)
    await exchanges(session, 1, 2)
    assert seen == ["q1", "a1", "q2", "a2"]


@pytest.mark.parametrize("keep_interrupted", [False, True])
async def test_a_reply_that_failed_runs_none(session: Session, keep_interrupted: bool) -> None:
    summarize = Summarizer()
    session.store.consolidation = ConsolidationPolicy(summarize, after_messages=1, keep=0)
    await session.append("user", "q0")
    await session.append("user", "q1")
    await failed_reply(session, keep_interrupted=keep_interrupted)
    async with session.reply():
        pass
    assert summarize.given == []


async def test_a_summarizer_that_fails_is_logged_and_tried_after_the_next_reply(
    session: Session, caplog: pytest.LogCaptureFixture
) -> None:
    summarize = Summarizer()
    failures = [OSError("no network")]

    async def fail_once(messages: list[dict[str, Any]]) -> str:
        if failures:
            raise failures.pop()
        return await summarize(messages)

    session.store.consolidation = ConsolidationPolicy(fail_once, after_messages=2, keep=0)
    with caplog.at_level(logging.ERROR, "turnkeep"):
        await exchanges(session, 1, 2)
    assert "session telegram:12345: not consolidated" in caplog.text
    assert "no network" in caplog.text
    assert await said(session) == ["q1", "a1", "q2", "a2"]
    assert (await info_of(session)).summary is None
    await exchange(session, 3)
    assert (await info_of(session)).summary == "summary 1"


@asynccontextmanager
async def group_of(library: str) -> AsyncIterator[Any]:
    """A task group of one of the libraries, which is cancelled at the end."""
    if library == "asyncio":
        async with asyncio.TaskGroup() as group:
            yield group
    elif library == "trio":
        async with trio.open_nursery() as nursery:
            yield nursery
    else:
        async with anyio.create_task_group() as tasks:
            yield tasks


@pytest.fixture(params=["anyio", "own"])
def library(request: pytest.FixtureRequest, anyio_backend: str) -> str:
    return "anyio" if request.param == "anyio" else anyio_backend


async def test_it_runs_in_the_task_group_and_the_reply_does_not_wait_for_it(
    session: Session, library: str
) -> None:
    summarize = Summarizer(gated=True)
    async with group_of(library) as group:
        session.store.consolidation = ConsolidationPolicy(
            summarize, after_messages=2, keep=0, task_group=group
        )
        await exchanges(session, 1, 3)
        await summarize.called.wait()
        assert (await info_of(session)).summary is None
        summarize.gate.set()
    assert (await info_of(session)).summary == "summary 1"


async def test_one_runs_for_a_session_at_a_time_and_several_sessions_at_once(
    store: SessionStore,
) -> None:
    summarize = Summarizer(gated=True)
    async with anyio.create_task_group() as group:
        store.consolidation = ConsolidationPolicy(
            summarize, after_messages=2, keep=0, task_group=group
        )
        for chat in ("t:1", "t:2"):
            await exchanges(store.session(chat), 1, 6)
        await anyio.wait_all_tasks_blocked()
        assert len(summarize.given) == 2
        summarize.gate.set()
    for chat in ("t:1", "t:2"):
        assert (await info_of(store.session(chat))).summary is not None


async def test_a_task_group_that_has_ended_is_logged_and_hurts_no_reply(
    session: Session, library: str, caplog: pytest.LogCaptureFixture
) -> None:
    async with group_of(library) as group:
        pass
    summarize = Summarizer()
    session.store.consolidation = ConsolidationPolicy(
        summarize, after_messages=2, keep=0, task_group=group
    )
    with caplog.at_level(logging.WARNING, "turnkeep"):
        await exchanges(session, 1, 2)
    assert "session telegram:12345: not consolidated" in caplog.text
    assert await said(session) == ["q1", "a1", "q2", "a2"]
    gc.collect()  # a coroutine that was never run would warn here


@pytest.mark.parametrize("in_group", [False, True])
async def test_closing_the_store_cancels_it_and_the_next_opening_begins_again(
    place: Place, in_group: bool
) -> None:
    summarize = Summarizer(gated=True)
    ended = anyio.Event()

    async def answer_all(session: Session) -> None:
        await exchanges(session, 1, 2)
        ended.set()

    async with anyio.create_task_group() as group:
        policy = ConsolidationPolicy(
            summarize, after_messages=2, keep=0, task_group=group if in_group else None
        )
        async with place(consolidation=policy) as store, anyio.create_task_group() as handlers:
            session = store.session("telegram:12345")
            handlers.start_soon(answer_all, session)
            await summarize.called.wait()
            if in_group:
                await ended.wait()  # else the reply ends with the summary
            with anyio.fail_after(PATIENCE):
                await store.aclose()
        assert ended.is_set()
    async with place() as store:
        session = store.session("telegram:12345")
        assert await said(session) == ["q1", "a1", "q2", "a2"]
        assert (await info_of(session)).summary is None
        store.consolidation = ConsolidationPolicy(Summarizer(), after_messages=2, keep=0)
        await exchange(session, 3)
        assert (await info_of(session)).summary == "summary 1"


async def test_a_handler_that_is_cancelled_meanwhile_ends_and_its_reply_is_stored(
    session: Session,
) -> None:
    summarize = Summarizer(gated=True)
    session.store.consolidation = ConsolidationPolicy(summarize, after_messages=2, keep=0)
    async with anyio.create_task_group() as handlers:
        handlers.start_soon(exchanges, session, 1, 2)
        await summarize.called.wait()
        handlers.cancel_scope.cancel()
    assert await said(session) == ["q1", "a1", "q2", "a2"]
    assert (await info_of(session)).summary is None


@pytest.mark.parametrize(
    ("options", "told"),
    [
        ({}, "after_messages or after_tokens"),
        ({"after_messages": 0}, "after_messages"),
        ({"after_tokens": True}, "after_tokens"),
        ({"after_tokens": 1.5}, "after_tokens"),
        (
            {"after_messages": 20, "keep": 20},
            r"must be more than keep \(20\)",
        ),
        ({"after_messages": 20, "keep": -1}, "keep"),
        ({"after_messages": 30, "max_tokens": 0}, "max_tokens"),
        ({"after_messages": 30, "task_group": 7}, "task_group"),
        ({"after_messages": 30, "summarize": "x"}, "summarize"),
    ],
)
def test_a_policy_that_makes_no_sense_is_refused(options: dict[str, Any], told: str) -> None:
    make: Callable[..., ConsolidationPolicy] = ConsolidationPolicy
    with pytest.raises(SummaryError, match=told):
        make(**{"summarize": print, **options})
