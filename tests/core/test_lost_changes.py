"""An answer of the storage is lost: what is cleared, taken away or folded is so once."""

from __future__ import annotations

from collections.abc import Awaitable, Callable

import anyio
import pytest

from turnkeep import LostAcknowledgementError, SessionStore
from turnkeep.adapter import Recorder

from .losing import Line
from .tools import answer, said
from .two import KEY, Summarizer, Two

pytestmark = pytest.mark.anyio


done = pytest.mark.parametrize("done", [True, False], ids=["done", "not done"])
twice = pytest.mark.parametrize("times", [1, 2])


@done
@twice
async def test_undo_takes_one_exchange_away(line: Line, done: bool, times: int) -> None:
    await line.conversation()
    line.storage.lose("delete", done=done, times=times)
    assert [turn.content for turn in await line.session.undo()] == ["two", "to two"]
    assert await said(line.session) == ["one", "to one"]


@done
async def test_undo_takes_one_exchange_away_where_its_session_is_renamed_between(
    line: Line, done: bool
) -> None:
    await line.other.session("telegram:2").append("user", "there")
    await line.conversation()
    line.storage.meanwhile = lambda: line.other.rename("telegram:2", KEY)
    line.storage.lose("delete", done=done)
    assert [turn.content for turn in await line.session.undo()] == ["two", "to two"]
    assert await said(line.session) == ["there", "one", "to one"]


@done
async def test_forget_sender_takes_away_what_it_took_once(line: Line, done: bool) -> None:
    await line.conversation()
    line.storage.lose("delete", done=done)
    assert await line.store.forget_sender("42") == {KEY: 2}
    assert await said(line.session) == ["two", "to two"]


@done
@twice
@pytest.mark.parametrize("erase", [False, True])
async def test_a_clear_begins_one_epoch_and_reaches_nothing_that_was_said_after_it(
    line: Line, done: bool, times: int, erase: bool
) -> None:
    await line.conversation()
    if done:
        line.storage.meanwhile = lambda: line.other.session(KEY).append("user", "after it")
    line.storage.lose("clear", done=done, times=times)
    await line.session.clear(erase=erase)
    info = await line.session.info()
    assert info is not None
    assert info.epoch == 2
    assert [turn["content"] for turn in await line.session.get_history()] == (
        ["after it"] if done else []
    )
    left = ["one", "to one", "two", "to two"] if not erase else []
    assert await said(line.session) == left + (["after it"] if done else [])


@done
async def test_a_clear_that_erases_does_so_where_another_clear_comes_between(
    line: Line, done: bool
) -> None:
    await line.conversation()
    line.storage.meanwhile = lambda: line.other.session(KEY).clear()
    line.storage.lose("clear", done=done)
    await line.session.clear(erase=True)
    assert await said(line.session) == []


async def test_a_clear_of_a_session_that_is_merged_meanwhile_clears_what_it_became(
    line: Line,
) -> None:
    await line.conversation()
    await line.other.session("telegram:2").append("user", "older")
    line.storage.meanwhile = lambda: line.other.rename("telegram:2", KEY)
    line.storage.lose("clear", done=False)
    await line.session.clear()
    assert await line.session.get_history() == []


@done
async def test_a_clear_without_a_session_does_nothing(line: Line, done: bool) -> None:
    line.storage.lose("clear", done=done)
    await line.session.clear()
    assert await line.session.info() is None


@done
@twice
async def test_a_consolidation_pays_the_summarizer_once(line: Line, done: bool, times: int) -> None:
    await line.conversation()
    summarize = Summarizer()
    line.storage.lose("consolidate", done=done, times=times)
    assert await line.session.consolidate(summarize, keep=0)
    assert len(summarize.calls) == 1
    info = await line.session.info()
    assert info is not None
    assert (info.last_consolidated, info.summary) == (2, "one | to one")


@done
@pytest.mark.parametrize("verb", ["append", "delete"])
@pytest.mark.parametrize("bound", ["reply", "append"])
async def test_a_late_answer_to_a_folded_question_is_stored_once(
    line: Line, done: bool, verb: str, bound: str
) -> None:
    asked = await line.conversation()
    await line.session.append("user", "latest")
    assert await line.session.consolidate(Summarizer(), keep=0)
    line.storage.lose(verb, done=done)
    if bound == "reply":
        await answer(asked.bind(asked.turn, answered=True), "late")  # type: ignore[arg-type]
    else:
        await asked.append("assistant", "late")
    assert (await said(line.session)).count("late") == 1
    window = [one["content"] for one in await line.session.get_history()]
    assert window[1:] == ["latest", "two", "late"]


@done
async def test_metadata_a_rename_and_an_unlink_are_made_once(line: Line, done: bool) -> None:
    await line.session.append("user", "Hi")
    line.storage.lose("update_metadata", done=done)
    assert await line.session.update_metadata(a=1) == {"a": 1}
    line.storage.lose("rename", done=done)
    await line.store.rename(KEY, "telegram:2")
    assert await said(line.store.session("telegram:2")) == ["Hi"]
    line.storage.lose("unlink", done=done)
    assert await line.store.unlink(KEY) is True
    assert await line.store.unlink(KEY) is False
    assert await said(line.session) == []


@done
async def test_a_forget_is_not_repeated_since_a_session_may_have_begun_anew(
    line: Line, done: bool
) -> None:
    await line.session.append("user", "theirs")

    async def begin_again() -> None:
        await line.other.session(KEY).append("user", "innocent")

    line.storage.meanwhile = begin_again
    line.storage.lose("forget", done=done)
    with pytest.raises(LostAcknowledgementError):
        await line.store.forget(KEY)
    assert await said(line.session) == ([] if done else ["theirs"]) + ["innocent"]


@done
async def test_a_lost_lease_is_taken_again_by_its_owner(line: Line, done: bool) -> None:
    asked = await line.session.receive("Hi", source_id="m1")
    line.storage.lose("claim", done=done)
    async with asked.reply() as reply:
        reply.add_text("Hello!")
    assert not reply.discarded
    assert await line.storage.claims() == []


async def test_a_lease_whose_end_is_lost_expires(
    line: Line, caplog: pytest.LogCaptureFixture
) -> None:
    asked = await line.session.receive("Hi", source_id="m1")
    line.storage.lose("release", done=False)
    await answer(asked)
    assert await said(line.session) == ["Hi", "Hello!"]
    assert "is leased until it expires: the connection broke" in caplog.text


@pytest.mark.parametrize("verb", ["edit", "delete", "consolidate", "update_metadata", "rename"])
async def test_after_three_lost_answers_the_error_is_raised(line: Line, verb: str) -> None:
    await line.conversation()
    line.storage.lose(verb, done=True, times=3)
    calls: dict[str, Callable[[], Awaitable[object]]] = {
        "edit": lambda: line.session.edit("m1", "changed"),
        "delete": lambda: line.session.delete("m1"),
        "consolidate": lambda: line.session.consolidate(Summarizer(), keep=0),
        "update_metadata": lambda: line.session.update_metadata(a=1),
        "rename": lambda: line.store.rename(KEY, "telegram:2"),
    }
    with pytest.raises(LostAcknowledgementError):
        await calls[verb]()
    await calls[verb]()  # and can be repeated


async def test_an_answer_that_is_recorded_later_is_stored_once(line: Line) -> None:
    recorder = Recorder(line.store, on_storage_error="later")
    session = await recorder.receive(
        recorder.session(line.session.key), "Hi", source_id="m1", sender=Two.sender
    )
    async with session.reply() as reply:
        reply.add_text("Hello!")
        line.storage.lose("append", done=True, times=3)
    await recorder.aclose()
    assert await said(line.session) == ["Hi", "Hello!"]


async def test_a_message_that_is_recorded_later_is_stored_once(line: Line) -> None:
    recorder = Recorder(line.store, on_storage_error="later")
    line.storage.lose("append", done=True, times=3)
    session = await recorder.receive(
        recorder.session(line.session.key), "Hi", source_id=None, sender=Two.sender
    )
    async with session.reply() as reply:
        reply.add_text("Hello!")
    await recorder.aclose()
    assert await said(line.session) == ["Hi", "Hello!"]


def test_a_storage_that_loses_no_answer_is_given_no_tokens() -> None:
    async def main() -> None:
        async with SessionStore("memory:") as store:
            assert (await store.session(KEY).append("user", "Hi")).token == ""

    anyio.run(main)
