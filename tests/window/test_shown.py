"""A window as an object, over turns from anywhere, and without those that are left out."""

from __future__ import annotations

from typing import Any

import pytest
from hypothesis import given

from profiles import many
from turnkeep import Session, SessionStore, Turn, WindowError, build_window, check_messages

from .chats import CHATS, Chat

pytestmark = pytest.mark.anyio


async def filled(store: SessionStore, exchanges: int = 4) -> Session:
    session = store.session("a:1")
    for number in range(1, exchanges + 1):
        await session.append("user", f"question {number}")
        await session.append("assistant", f"answer {number}", extra={"number": number})
    return session


async def test_a_window_says_whether_it_was_cut_and_where() -> None:
    async with SessionStore("memory:") as store:
        session = await filled(store)
        whole = await session.window()
        short = await session.window(4, slack=0)
        assert whole.cut is None
        assert whole.messages == await session.get_history()
        assert [turn.id for turn in whole.turns] == [*range(1, 9)]
        assert short.cut == 5
        assert [turn.id for turn in short.turns] == [5, 6, 7, 8]


async def test_a_window_counts_its_tokens_as_its_bound_does() -> None:
    async with SessionStore("memory:") as store:
        session = await filled(store)

        def count(message: Any) -> int:
            return len(message["content"])

        window = await session.window(count_message=count)
        assert window.tokens == sum(len(one["content"]) for one in await session.get_history())


async def test_turns_of_which_a_function_says_so_are_left_out_with_their_answers() -> None:
    async with SessionStore("memory:") as store:
        session = await filled(store)
        await session.append("user", "secret")
        async with session.reply() as reply:
            reply.add_text("hidden with it")
        await session.append("user", "last")
        window = await session.get_history(leaving_out=lambda turn: turn.text == "secret")
        assert [one["content"] for one in window[-3:]] == ["question 4", "answer 4", "last"]
        without = await session.get_history(leaving_out=lambda turn: turn.extra.get("number") == 2)
        assert "answer 2" not in str(without)
        with pytest.raises(WindowError, match="leaving_out is a function"):
            await session.get_history(leaving_out=[2])  # type: ignore[call-overload]


def test_answers_that_name_no_question_go_with_the_one_that_is_left_out() -> None:
    call = {"id": "c", "function": {"name": "f", "arguments": "{}"}}
    turns: list[dict[str, Any]] = [
        {"role": "user", "content": "one"},
        {"role": "assistant", "content": "first"},
        {"role": "user", "content": "secret"},
        {"role": "assistant", "content": None, "tool_calls": [call]},
        {"role": "tool", "content": "found", "tool_call_id": "c"},
        {"role": "assistant", "content": "an answer to it"},
        {"role": "user", "content": "two"},
    ]
    for number in (0, 1):
        window = build_window(
            turns[2 * number :], leaving_out=lambda turn: "secret" in turn.text
        ).messages
        assert [message["content"] for message in window] == ["one", "first", "two"][2 * number :]


@many(150)
@given(CHATS)
def test_a_window_over_any_turns_is_legal(chat: Chat) -> None:
    window: Any = build_window(chat.turns, overflow="truncate").messages
    assert check_messages(window) == []


async def test_a_list_from_elsewhere_gets_the_same_window_as_a_session() -> None:
    async with SessionStore("memory:") as store:
        session = await filled(store)
        turns = [turn async for turn in session.turns()]
        history: Any = await session.get_history(max_messages=5)
    dicts = [{"role": turn.role, "content": turn.content} for turn in turns]
    assert build_window(turns, max_messages=5).messages == history
    assert build_window(dicts, max_messages=5).messages == history
    chain: list[Turn] = [turns[6], turns[1], turns[0]]  # out of order: they stand as they are given
    made: Any = build_window(chain).messages
    assert [one["content"] for one in made] == ["question 4", "answer 1", "question 1"]
    assert build_window([]).messages == []
    assert build_window([], shape="anthropic").messages == {"messages": []}


async def test_merge_gives_one_system_message_and_alternating_roles() -> None:
    async with SessionStore("memory:") as store:
        session = store.session("a:1")
        await session.append("system", "Be kind.")
        await session.append("user", "one", name="Ada")
        await session.append("user", ["two", "three"])
        await session.append("system", "Be brief.")
        await session.append("assistant", "a")
        await session.append("assistant", "b")
        await session.append("user", "last")
        window = await session.get_history(merge=True, system="keep")
        assert [one["role"] for one in window] == ["system", "user", "assistant", "user"]
        assert window[0]["content"] == "Be kind.\n\nBe brief."
        assert [part["text"] for part in window[1]["content"]] == ["one", "two", "three"]
        assert window[2]["content"] == "a\n\nb"


async def test_cache_marks_where_the_next_request_begins_like_this_one() -> None:
    async with SessionStore("memory:") as store:
        session = await filled(store)
        await session.append("user", "last")
        first = await session.get_history(shape="anthropic", cache=True)
        plain = await session.get_history(shape="anthropic")
        await session.append("assistant", "answer")
        await session.append("user", "more")
        second = await session.get_history(shape="anthropic", cache=True)
    assert marks(first) == [6, 8]
    assert marks(plain) == []
    assert marks(second) == [8, 10]


def marks(window: Any) -> list[int]:
    return [
        index
        for index, message in enumerate(window["messages"])
        for block in message["content"]
        if block.get("cache_control") == {"type": "ephemeral"}
    ]
