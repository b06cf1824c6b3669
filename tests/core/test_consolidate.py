"""Consolidation: older turns become a summary, in one step, and nothing is lost."""

from __future__ import annotations

import json
from functools import partial
from pathlib import Path
from typing import Any

import anyio
import pytest
from anyio.lowlevel import checkpoint

from turnkeep import (
    ReadOnlyError,
    Sender,
    Session,
    SessionInfo,
    SessionStore,
    SummaryError,
    check_messages,
    estimate_tokens,
)
from turnkeep._window.summary import summary_message
from turnkeep._window.tokens import message_tokens

from .conftest import Place
from .tools import answer, said

pytestmark = pytest.mark.anyio

CALL = {"id": "c1", "type": "function", "function": {"name": "look", "arguments": "{}"}}


class Summarizer:
    """Counts its calls, keeps what it was given, and waits at a gate if there is one."""

    def __init__(self, *, gated: bool = False) -> None:
        self.given: list[list[dict[str, Any]]] = []
        self.called = anyio.Event()
        self.gate = anyio.Event()
        if not gated:
            self.gate.set()

    async def __call__(self, messages: list[dict[str, Any]]) -> str:
        self.given.append(messages)
        self.called.set()
        await checkpoint()
        await self.gate.wait()
        return f"summary {len(self.given)}"

    @property
    def texts(self) -> list[list[Any]]:
        return [[message["content"] for message in messages] for messages in self.given]


async def talk(session: Session, first: int, last: int) -> None:
    for number in range(first, last + 1):
        await session.append("user", f"q{number}")
        await session.append("assistant", f"a{number}")


async def info_of(session: Session) -> SessionInfo:
    info = await session.info()
    assert info is not None
    return info


async def shown(session: Session, **options: Any) -> list[Any]:
    return [message["content"] for message in await session.get_history(**options)]


SUMMARY_1 = summary_message("summary 1")["content"]
SUMMARY_2 = summary_message("summary 2")["content"]


async def test_older_turns_are_given_to_the_summarizer_and_the_summary_stands_for_them(
    session: Session,
) -> None:
    await talk(session, 1, 4)
    summarize = Summarizer()
    assert await session.consolidate(summarize, keep=4)
    assert summarize.texts == [["q1", "a1", "q2", "a2"]]
    assert await shown(session) == [SUMMARY_1, "q3", "a3", "q4", "a4"]
    info = await info_of(session)
    assert (info.last_consolidated, info.summary) == (4, "summary 1")


async def test_it_loses_nothing_the_turns_stay_readable(session: Session) -> None:
    await talk(session, 1, 4)
    before = await said(session)
    await session.consolidate(Summarizer(), keep=0)
    assert await said(session) == before


async def test_summary_and_pointer_are_stored_in_one_step_and_survive_a_restart(
    place: Place, tmp_path: Path
) -> None:
    async with place() as store:
        await talk(store.session("telegram:12345"), 1, 4)
        await store.session("telegram:12345").consolidate(Summarizer(), keep=2)
    async with place() as store:
        session = store.session("telegram:12345")
        info = await info_of(session)
        assert (info.last_consolidated, info.summary) == (6, "summary 1")
        assert await shown(session) == [SUMMARY_1, "q4", "a4"]
    file = tmp_path / "sessions/telegram/12345.jsonl"
    if file.exists():
        lines = [json.loads(line) for line in file.read_text().splitlines()]
        (line,) = [line for line in lines if line.get("op") == "consolidate"]
        assert (line["last_consolidated"], line["summary"]) == (6, "summary 1")
        assert [line["content"] for line in lines if "role" in line][:2] == ["q1", "a1"]


async def test_the_next_summary_is_made_of_the_one_before_and_what_came_since(
    session: Session,
) -> None:
    summarize = Summarizer()
    await talk(session, 1, 3)
    await session.consolidate(summarize, keep=2)
    await talk(session, 4, 5)
    assert await session.consolidate(summarize, keep=2)
    assert summarize.texts[1] == [SUMMARY_1, "q3", "a3", "q4", "a4"]
    assert summarize.given[1][0]["role"] == "user"
    assert await shown(session) == [SUMMARY_2, "q5", "a5"]


async def test_there_is_nothing_to_do_twice(session: Session) -> None:
    summarize = Summarizer()
    assert not await session.consolidate(summarize)
    await talk(session, 1, 3)
    assert await session.consolidate(summarize, keep=2)
    assert not await session.consolidate(summarize, keep=2)
    assert not await session.consolidate(summarize, keep=20)
    assert len(summarize.given) == 1


@pytest.mark.parametrize("keep", range(10))
async def test_it_ends_just_before_a_user_turn_and_leaves_the_newest_messages(
    session: Session, keep: int
) -> None:
    for number in range(1, 5):
        await session.append("user", f"q{number}")
        await session.append("assistant", None, tool_calls=[CALL])
        await session.append("tool", "a cat", tool_call_id="c1")
        await session.append("assistant", f"a{number}")
    await session.consolidate(Summarizer(), keep=keep)
    window = [m for m in await session.get_history() if m["content"] != SUMMARY_1]
    assert window[0]["role"] == "user"
    assert len(window) == max(4, -(-keep // 4) * 4)
    assert check_messages(window) == []


async def test_it_never_takes_the_latest_user_turn(session: Session) -> None:
    await talk(session, 1, 2)
    await session.append("user", "q3")
    for keep in (0, 0, 1):
        await session.consolidate(Summarizer(), keep=keep)
    assert await shown(session) == [SUMMARY_1, "q3"]


@pytest.mark.parametrize("error", [OSError("no network"), anyio.EndOfStream()])
async def test_a_failing_summarizer_changes_nothing(session: Session, error: Exception) -> None:
    async def fail(messages: object) -> str:
        raise error

    await talk(session, 1, 3)
    before = await info_of(session)
    with pytest.raises(type(error)):
        await session.consolidate(fail, keep=0)
    assert await info_of(session) == before
    assert await session.consolidate(Summarizer(), keep=0)


async def test_a_cancelled_summarizer_changes_nothing(session: Session) -> None:
    await talk(session, 1, 3)
    before = await info_of(session)
    summarize = Summarizer(gated=True)
    async with anyio.create_task_group() as tasks:
        tasks.start_soon(partial(session.consolidate, summarize, keep=0))
        await summarize.called.wait()
        tasks.cancel_scope.cancel()
    assert await info_of(session) == before
    assert await session.consolidate(Summarizer(), keep=0)


@pytest.mark.parametrize("answer", [None, 7, b"sum", ["sum"], "", " \n", "\0".strip("\0")])
async def test_a_summary_that_is_no_text_is_refused_before_anything_is_stored(
    session: Session, answer: Any
) -> None:
    async def summarize(messages: object) -> Any:
        return answer

    await talk(session, 1, 3)
    before = await info_of(session)
    with pytest.raises(SummaryError, match=r"^session telegram:12345: .*nothing was changed"):
        await session.consolidate(summarize, keep=0)
    assert await info_of(session) == before


async def test_a_summarizer_that_is_not_async_is_refused(session: Session) -> None:
    await talk(session, 1, 3)
    summarize: Any = lambda messages: "sum"  # noqa: E731
    with pytest.raises(SummaryError, match=r"^session telegram:12345: .*async def"):
        await session.consolidate(summarize, keep=0)


@pytest.mark.parametrize(
    "options",
    [
        {"keep": -1},
        {"keep": True},
        {"keep": "x"},
        {"max_tokens": 0},
        {"count_tokens": None},
        {"speakers": "x"},
        {"summarize": "x"},
    ],
)
async def test_an_option_that_makes_no_sense_is_refused(
    session: Session, options: dict[str, Any]
) -> None:
    name = next(iter(options))
    with pytest.raises(SummaryError, match=name):
        await session.consolidate(**{"summarize": Summarizer(), **options})


async def test_two_at_once_do_it_once(session: Session) -> None:
    await talk(session, 1, 3)
    summarize = Summarizer(gated=True)
    done: list[bool] = []

    async def consolidate() -> None:
        done.append(await session.store.session(session.key).consolidate(summarize, keep=0))

    async with anyio.create_task_group() as tasks:
        for _ in range(3):
            tasks.start_soon(consolidate)
        await summarize.called.wait()
        summarize.gate.set()
    assert sorted(done) == [False, False, True]
    assert len(summarize.given) == 1


async def test_turns_appended_meanwhile_are_not_skipped(session: Session) -> None:
    await talk(session, 1, 3)
    summarize = Summarizer(gated=True)
    async with anyio.create_task_group() as tasks:
        tasks.start_soon(partial(session.consolidate, summarize, keep=0))
        await summarize.called.wait()
        await talk(session, 4, 20)
        summarize.gate.set()
    await session.consolidate(summarize, keep=0)
    await talk(session, 21, 21)
    texts = [text for given in summarize.texts for text in given] + await shown(session)
    for number in range(1, 22):
        assert texts.count(f"q{number}") == texts.count(f"a{number}") == 1


@pytest.mark.parametrize("erase", [False, True])
async def test_a_session_that_is_cleared_meanwhile_gets_no_summary(
    session: Session, erase: bool
) -> None:
    await talk(session, 1, 3)
    summarize = Summarizer(gated=True)
    results: list[bool] = []

    async def consolidate() -> None:
        results.append(await session.consolidate(summarize, keep=0))

    async with anyio.create_task_group() as tasks:
        tasks.start_soon(consolidate)
        await summarize.called.wait()
        await session.clear(erase=erase)
        await session.append("user", "anew")
        summarize.gate.set()
    assert results == [False]
    assert await shown(session) == ["anew"]


async def test_a_reply_that_is_open_holds_the_summary_back_until_it_is_stored(
    session: Session,
) -> None:
    asked = await session.receive("slow question", source_id="1")
    summarize = Summarizer()
    async with asked.reply() as reply:
        await talk(session, 1, 5)
        assert not await session.consolidate(summarize, keep=0)
        reply.add_text("slow answer")
    assert (await shown(session))[:2] == ["slow question", "slow answer"]
    assert await session.consolidate(summarize, keep=0)
    assert summarize.texts[0][:3] == ["slow question", "slow answer", "q1"]


async def test_a_reply_begun_while_it_runs_loses_no_answer(session: Session) -> None:
    asked = await session.receive("question", source_id="1")
    await talk(session, 1, 5)
    summarize = Summarizer(gated=True)
    async with anyio.create_task_group() as tasks:
        tasks.start_soon(partial(session.consolidate, summarize, keep=0))
        await summarize.called.wait()
        async with asked.reply() as reply:
            summarize.gate.set()
            await anyio.wait_all_tasks_blocked()
            reply.add_text("answer")
    assert (await shown(session))[:2] == ["question", "answer"]


async def test_a_late_answer_is_summarized_with_its_question(session: Session) -> None:
    first = await session.receive("first", source_id="1")
    second = await session.receive("second", source_id="2")
    await answer(second, "to second")
    await answer(first, "to first")
    summarize = Summarizer()
    assert await session.consolidate(summarize, keep=0)
    assert summarize.texts == [["first", "to first"]]
    assert await shown(session) == [SUMMARY_1, "second", "to second"]


async def test_a_pointer_in_the_middle_of_an_exchange_heals(session: Session) -> None:
    await talk(session, 1, 4)
    async with session.store.desk.use(session.key, write=True) as storage:
        expected = (await info_of(session)).expected()
        assert await storage.consolidate(session.key, 3, "from elsewhere", expected=expected)
    assert (await shown(session))[1:3] == ["q2", "a2"]
    summarize = Summarizer()
    assert await session.consolidate(summarize, keep=2)
    assert summarize.texts[0][1:] == ["q2", "a2", "q3", "a3"]
    assert await shown(session) == [SUMMARY_1, "q4", "a4"]


async def test_a_pointer_out_of_range_heals(session: Session) -> None:
    await talk(session, 1, 2)
    async with session.store.desk.use(session.key, write=True) as storage:
        expected = (await info_of(session)).expected()
        assert await storage.consolidate(session.key, 999, "from elsewhere", expected=expected)
    assert (await shown(session))[1:] == ["q2", "a2"]
    await talk(session, 3, 4)
    summarize = Summarizer()
    assert await session.consolidate(summarize, keep=2)
    assert summarize.texts[0][1:] == ["q3", "a3"]
    assert await shown(session) == [SUMMARY_1, "q4", "a4"]


async def test_a_long_backlog_goes_in_pieces_each_stored_before_the_next(
    session: Session,
) -> None:
    await talk(session, 1, 10)
    summarize = Summarizer()
    reached: list[int] = []

    async def watch(messages: list[dict[str, Any]]) -> str:
        reached.append((await info_of(session)).last_consolidated)
        return await summarize(messages)

    one_exchange = 2 * (4 + 1)
    await session.consolidate(
        watch, keep=2, max_tokens=3 * one_exchange, count_tokens=lambda text: 1
    )
    # A summary costs as much as a message, so later pieces are smaller.
    assert reached == [0, 6, 10, 14]
    assert [texts[-2:] for texts in summarize.texts] == [
        ["q3", "a3"], ["q5", "a5"], ["q7", "a7"], ["q9", "a9"],
    ]  # fmt: skip
    assert all(check_messages(given) == [] for given in summarize.given)
    assert (await info_of(session)).last_consolidated == 18


async def test_a_failure_in_a_later_piece_keeps_the_earlier_ones(session: Session) -> None:
    await talk(session, 1, 10)
    summarize = Summarizer()

    async def fail_at_second(messages: list[dict[str, Any]]) -> str:
        if summarize.given:
            raise OSError("no network")
        return await summarize(messages)

    options: dict[str, Any] = {"keep": 2, "max_tokens": 30, "count_tokens": lambda text: 1}
    with pytest.raises(OSError, match="no network"):
        await session.consolidate(fail_at_second, **options)
    assert (await info_of(session)).last_consolidated == 6
    assert await session.consolidate(summarize, **options)
    assert summarize.texts[1][:2] == [SUMMARY_1, "q4"]
    assert (await info_of(session)).last_consolidated == 18


async def test_an_exchange_that_is_too_long_by_itself_is_cut(session: Session) -> None:
    await session.append("user", "word " * 1000)
    for _ in range(20):
        await session.append("assistant", None, tool_calls=[CALL])
        await session.append("tool", "a cat", tool_call_id="c1")
    await session.append("user", "next")
    summarize = Summarizer()
    assert await session.consolidate(summarize, keep=0, max_tokens=500)
    (given,) = summarize.given
    assert len(str(given)) < 3000
    assert given[0]["content"].startswith("word word")
    assert check_messages(given) == []


@pytest.mark.parametrize("words", [100, 1000])
async def test_the_answer_to_a_question_that_is_too_long_by_itself_is_summarized_too(
    session: Session, words: int
) -> None:
    await session.append("user", "word " * 1000)
    await session.append("assistant", "Because. " * words)
    await session.append("user", "next")
    summarize = Summarizer()
    assert await session.consolidate(summarize, keep=0, max_tokens=500)
    question, answered = summarize.given[0]
    assert question["content"].startswith("word word")
    assert answered["content"].startswith("Because. Because.")
    assert sum(message_tokens(message, estimate_tokens) for message in (question, answered)) <= 500


async def test_a_summary_of_summaries_is_bounded(session: Session) -> None:
    async def repeat(messages: list[dict[str, Any]]) -> str:
        return "".join(str(message["content"]) for message in messages) * 100

    for number in range(1, 8):
        await talk(session, number, number)
        await session.consolidate(repeat, keep=0)
        assert len((await info_of(session)).summary or "") <= 8000
    assert ((await info_of(session)).summary or "").endswith(" […]")


async def test_hidden_turns_and_earlier_epochs_are_not_summarized(session: Session) -> None:
    await talk(session, 1, 2)
    await session.clear()
    await session.append("user", "secret", hidden=True)
    await talk(session, 3, 5)
    summarize = Summarizer()
    await session.consolidate(summarize, keep=2)
    assert summarize.texts == [["q3", "a3", "q4", "a4"]]


async def test_a_summary_ends_with_its_epoch(session: Session) -> None:
    await talk(session, 1, 2)
    await session.consolidate(Summarizer(), keep=0)
    await session.clear()
    await talk(session, 3, 3)
    assert await shown(session) == ["q3", "a3"]
    await talk(session, 4, 4)
    summarize = Summarizer()
    assert await session.consolidate(summarize, keep=0)
    assert summarize.texts == [["q3", "a3"]]


async def test_the_summarizer_is_told_who_speaks_if_asked_for(session: Session) -> None:
    await session.append("user", "Hi", sender=Sender("42", "Ada"))
    await session.append("user", "Hello", sender=Sender("43", "Bob"))
    summarize = Summarizer()
    await session.consolidate(summarize, keep=0, speakers="prefix")
    assert summarize.texts == [["Ada (42): Hi"]]


async def test_a_read_only_store_refuses_before_the_summarizer_is_asked(place: Place) -> None:
    async with place() as store:
        await talk(store.session("telegram:12345"), 1, 3)
    summarize = Summarizer()
    async with place(read_only=True) as store:
        with pytest.raises(ReadOnlyError):
            await store.session("telegram:12345").consolidate(summarize, keep=0)
    assert summarize.given == []


async def test_a_session_that_does_not_exist_has_nothing_to_fold(store: SessionStore) -> None:
    assert not await store.session("telegram:0").consolidate(Summarizer(), keep=0)
    assert await store.session("telegram:0").info() is None
