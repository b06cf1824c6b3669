"""An answer of the storage is lost on its way: the change was made or not, and is made once."""

from __future__ import annotations

from collections.abc import Awaitable, Callable
from typing import Any

import anyio
import pytest

from turnkeep import LostAcknowledgementError, Session, SessionStore
from turnkeep.adapter import Recorder
from turnkeep.storage.base import Capabilities
from turnkeep.storage.memory import MemoryStorage

from .tools import answer, said, stored
from .two import KEY, Summarizer, Two

pytestmark = pytest.mark.anyio


class Losing(MemoryStorage):
    """A server that answers a verb on a bad line: it has done it, or has never heard of it."""

    def __init__(self) -> None:
        super().__init__(shared=True)
        self.losses: dict[str, list[bool]] = {}
        self.meanwhile: Callable[[], Awaitable[object]] | None = None

    @property
    def capabilities(self) -> Capabilities:
        return Capabilities(shared=True, remote=True, search=True)

    def lose(self, verb: str, *, done: bool, times: int = 1) -> None:
        """Lose the next answers of a verb, which is done all the same, or not."""
        self.losses[verb] = [done] * times

    async def lost(self, verb: str, arguments: Any, options: Any) -> Any:
        perform: Any = getattr(super(), verb)
        if not self.losses.get(verb):
            return await perform(*arguments, **options)
        if self.losses[verb].pop():
            await perform(*arguments, **options)
        meanwhile, self.meanwhile = self.meanwhile, None
        if meanwhile is not None:
            await meanwhile()
        raise LostAcknowledgementError("the connection broke")


def _losing(verb: str) -> Any:
    async def lost(self: Losing, *arguments: Any, **options: Any) -> Any:
        return await self.lost(verb, arguments, options)

    return lost


for _verb in (
    *("append", "edit", "delete", "clear", "consolidate", "update_metadata"),
    *("rename", "unlink", "forget", "claim", "release"),
):
    setattr(Losing, _verb, _losing(_verb))


class Line:
    """A store at a bad line, and one at a good one."""

    def __init__(self) -> None:
        self.storage = Losing()
        self.store = SessionStore(self.storage)
        self.other = SessionStore(self.storage)
        self.session = self.store.session(KEY)

    async def conversation(self) -> Session:
        """Two exchanges; the session, bound to the second message."""
        await answer(await self.session.receive("one", source_id="m1", sender="42"), "to one")
        asked = await self.session.receive("two", source_id="m2", sender="7")
        await answer(asked, "to two")
        return asked


@pytest.fixture
async def line(anyio_backend: str) -> Any:
    line = Line()
    async with line.store, line.other:
        yield line


done = pytest.mark.parametrize("done", [True, False], ids=["done", "not done"])
twice = pytest.mark.parametrize("times", [1, 2])


@done
@twice
@pytest.mark.parametrize("source_id", ["m1", None])
async def test_an_append_is_stored_once(
    line: Line, done: bool, times: int, source_id: str | None
) -> None:
    line.storage.lose("append", done=done, times=times)
    turn = await line.session.append("user", "Hi", source_id=source_id)
    assert turn.id == 1
    assert [
        one.id for one in await line.session.extend([{"role": "user", "content": "a"}] * 3)
    ] == [
        2,
        3,
        4,
    ]
    assert await said(line.session) == ["Hi", "a", "a", "a"]


@done
async def test_a_received_message_is_stored_once_and_not_taken_for_a_redelivery(
    line: Line, done: bool
) -> None:
    line.storage.lose("append", done=done)
    received = await line.session.receive("Hi", source_id="m1")
    assert not received.already_answered
    await answer(received)
    assert await said(line.session) == ["Hi", "Hello!"]


@done
@twice
@pytest.mark.parametrize("joined", [False, True])
async def test_a_replys_commit_is_stored_once(
    line: Line, done: bool, times: int, joined: bool
) -> None:
    first = await line.session.receive("part 1", source_id="m1")
    asked = await line.session.receive("part 2", source_id="m2")
    if joined:
        assert asked.turn is not None
        assert first.turn is not None
        asked = line.session.bind(asked.turn, joined=[first.turn])
    async with asked.reply() as reply:
        reply.add_tool_call("c1", "look", "{}")
        reply.add_tool_result("c1", "a cat")
        reply.add_text("A cat.")
        await reply.link("m3")
        line.storage.lose("append", done=done, times=times)
    assert [turn.id for turn in reply.turns] == [3, 4, 5]
    assert not reply.discarded
    assert [turn.role for turn in await stored(line.session)] == [
        *("user", "user", "assistant", "tool", "assistant")
    ]


@done
async def test_a_replys_commit_is_stored_once_where_its_session_is_renamed_between(
    line: Line, done: bool
) -> None:
    await line.other.session("telegram:2").append("user", "there")
    asked = await line.session.receive("Why?", source_id="m1")
    line.storage.meanwhile = lambda: line.other.rename(KEY, "telegram:2")
    async with asked.reply() as reply:
        reply.add_text("Because.")
        line.storage.lose("append", done=done)
    assert not reply.discarded
    turns = await stored(line.other.session("telegram:2"))
    question = next(turn for turn in turns if turn.content == "Why?")
    assert [turn.answers for turn in turns if turn.role == "assistant"] == [question.id]


@done
async def test_after_three_lost_answers_the_error_has_the_token_to_store_it_once(
    line: Line, done: bool
) -> None:
    line.storage.lose("append", done=done, times=3)
    with pytest.raises(LostAcknowledgementError) as error:
        await line.session.append("user", "Hi")
    assert error.value.token
    turn = await line.session.append("user", "Hi", token=error.value.token)
    assert turn.id == 1
    assert await said(line.session) == ["Hi"]


@done
async def test_after_three_lost_answers_several_turns_are_stored_once(
    line: Line, done: bool
) -> None:
    turns = [{"role": "user", "content": f"{number}"} for number in range(3)]
    line.storage.lose("append", done=done, times=3)
    with pytest.raises(LostAcknowledgementError) as error:
        await line.session.extend(turns)
    stored_ = await line.session.extend(turns, token=error.value.token)
    assert [turn.id for turn in stored_] == [1, 2, 3]
    assert await said(line.session) == ["0", "1", "2"]


@done
@pytest.mark.parametrize("by", ["turn", "id", "source id"])
async def test_an_edit_is_made_once(line: Line, done: bool, by: str) -> None:
    asked = await line.conversation()
    assert asked.turn is not None
    named: Any = {"turn": asked.turn, "id": asked.turn.id, "source id": "m2"}[by]
    line.storage.lose("edit", done=done)
    turn = await line.session.edit(named, "changed")
    assert turn is not None
    assert turn.content == "changed"
    info = await line.session.info()
    assert info is not None
    assert info.revision == 1


@done
async def test_a_link_after_the_reply_is_made_once(line: Line, done: bool) -> None:
    async with (await line.session.receive("Hi")).reply() as reply:
        reply.add_text("Hello!")
    line.storage.lose("edit", done=done)
    await reply.link("m2")
    assert (await stored(line.session))[-1].source_ids == ("m2",)


@done
@pytest.mark.parametrize("by", ["turn", "id", "source id", "store"])
async def test_a_deletion_gives_back_what_it_took(line: Line, done: bool, by: str) -> None:
    asked = await line.conversation()
    assert asked.turn is not None
    line.storage.lose("delete", done=done)
    if by == "store":
        assert await line.store.delete("m2", prefix="telegram:") == 1
    else:
        named: Any = {"turn": asked.turn, "id": asked.turn.id, "source id": "m2"}[by]
        turn = await line.session.delete(named)
        assert turn is not None
        assert turn.content == "two"
    assert await said(line.session) == ["one", "to one", "to two"]


@done
async def test_a_deletion_by_a_recorder_is_made_once(line: Line, done: bool) -> None:
    await line.conversation()
    line.storage.lose("delete", done=done)
    await Recorder(line.store).delete(["m1", "m2"], key=line.session.key)
    assert await said(line.session) == ["to one", "to two"]


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
