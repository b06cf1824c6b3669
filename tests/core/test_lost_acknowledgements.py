"""An answer of the storage is lost on its way: the change was made or not, and is made once."""

from __future__ import annotations

from typing import Any

import pytest

from turnkeep import LostAcknowledgementError
from turnkeep.adapter import Recorder

from .losing import Line
from .tools import answer, said, stored
from .two import KEY

pytestmark = pytest.mark.anyio


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
    assert await said(line.session) == []  # the answers go with their questions
