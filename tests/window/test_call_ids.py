"""Each call of a window has an id of its own, and its result has the same, whatever was stored."""

from __future__ import annotations

from typing import Any

import pytest
from hypothesis import given

from profiles import many
from turnkeep import check_messages
from turnkeep._window.arrange import NO_RESULT
from turnkeep._window.options import WindowOptions

from .chats import (
    CHATS,
    OPTIONS,
    SIGHTS,
    WIDE,
    Chat,
    Messages,
    info_of,
    view_of,
    window,
    window_or_error,
)
from .writer import Writer

NO_IDS = ["", None, "null", " "]


def call(id: Any, name: str = "f") -> dict[str, Any]:
    return {"id": id, "type": "function", "function": {"name": name, "arguments": "{}"}}


def exchange(calls: list[dict[str, Any]], *results: tuple[str | None, str]) -> Messages:
    """The window of a question, these calls, and the results by their ids."""
    writer = Writer()
    writer.add("user", "Look")
    writer.add("assistant", tool_calls=calls)
    for id, text in results:
        writer.add("tool", text, tool_call_id=id)
    made = window(Chat(writer.turns, info_of(writer.last_id)), WIDE)
    assert check_messages(made) == []
    return made


def paired(messages: Messages) -> list[tuple[str, str]]:
    """The name of each call, and the result with its id."""
    names: dict[str, str] = {}
    pairs = []
    for message in messages:
        for one in message.get("tool_calls", ()):
            assert one["id"] not in names
            names[one["id"]] = one["function"]["name"]
        if message["role"] == "tool":
            pairs.append((names[message["tool_call_id"]], message["content"]))
    return pairs


def test_parallel_calls_with_one_id_are_told_apart_and_get_their_results_in_order() -> None:
    made = exchange([call("c", "a"), call("c", "b")], ("c", "first"), ("c", "second"))
    assert paired(made) == [("a", "first"), ("b", "second")]
    assert made[1]["tool_calls"][0]["id"] == "c"


def test_second_results_of_calls_with_one_id_replace_the_first_ones_in_order() -> None:
    results = [("c", "pending a"), ("c", "pending b"), ("c", "done a"), ("c", "done b")]
    made = exchange([call("c", "a"), call("c", "b")], *results)
    assert paired(made) == [("a", "done a"), ("b", "done b")]


def test_a_call_with_a_used_id_that_has_no_result_gets_a_short_one() -> None:
    made = exchange([call("c", "a"), call("c", "b")], ("c", "first"))
    assert paired(made) == [("a", "first"), ("b", NO_RESULT)]


@pytest.mark.parametrize("answered", NO_IDS)
@pytest.mark.parametrize("id", NO_IDS)
def test_calls_without_an_id_get_one_and_their_results_in_order(id: Any, answered: Any) -> None:
    made = exchange([call(id, "a"), call(id, "b")], (answered, "first"), (answered, "second"))
    assert paired(made) == [("a", "first"), ("b", "second")]


def test_a_call_whose_id_is_missing_altogether_gets_one() -> None:
    made = exchange([{"function": {"name": "a", "arguments": "{}"}}], ("", "first"))
    assert paired(made) == [("a", "first")]


def test_a_result_without_an_id_answers_the_first_call_that_has_none_yet() -> None:
    made = exchange([call("c1", "a"), call("c2", "b")], ("c1", "first"), ("", "second"))
    assert paired(made) == [("a", "first"), ("b", "second")]


@pytest.mark.parametrize("answered", NO_IDS)
def test_results_without_ids_answer_calls_of_which_some_have_none(answered: Any) -> None:
    calls = [call(None, "a"), call("c", "b")]
    made = exchange(calls, (answered, "first"), (answered, "second"))
    assert paired(made) == [("a", "first"), ("b", "second")]
    made = exchange(calls[::-1], (answered, "of a"), ("c", "of b"))
    assert paired(made) == [("b", "of b"), ("a", "of a")]


def test_a_number_as_an_id_is_that_number_as_text() -> None:
    made = exchange([call(7, "a")], ("7", "first"))
    assert paired(made) == [("a", "first")]
    assert made[1]["tool_calls"][0]["id"] == "7"


def test_an_id_that_a_later_answer_of_the_exchange_uses_again_is_renamed_there() -> None:
    writer = Writer()
    writer.add("user", "Look")
    for text in ("first", "second"):
        writer.add("assistant", tool_calls=[call("call_0", text)])
        writer.add("tool", text, tool_call_id="call_0")
    made = window(Chat(writer.turns, info_of(writer.last_id)), WIDE)
    assert paired(made) == [("first", "first"), ("second", "second")]


def test_results_of_two_replies_that_use_one_id_each_go_to_their_own() -> None:
    writer = Writer()
    first, second = writer.user(1), writer.user(1)
    writer.add("assistant", tool_calls=[call("call_0", "a")], answers=first)
    writer.add("assistant", tool_calls=[call("call_0", "b")], answers=second)
    writer.add("tool", "of a", tool_call_id="call_0", answers=first)
    writer.add("tool", "of b", tool_call_id="call_0", answers=second)
    made = window(Chat(writer.turns, info_of(writer.last_id)), WIDE)
    results = [message["content"] for message in made if message["role"] == "tool"]
    assert results == ["of a", "of b"]
    assert check_messages(made) == []


def test_made_up_ids_stay_the_same_while_the_chat_grows() -> None:
    writer = Writer()
    for _ in range(3):
        writer.add("user", "Look")
        writer.add("assistant", tool_calls=[call(""), call("")])
        writer.add("tool", "first", tool_call_id="")
        writer.add("tool", "second", tool_call_id="")
        writer.add("assistant", "Done")
    whole = window(Chat(writer.turns, info_of(15)), WIDE)
    for count in (5, 10):
        assert window(Chat(writer.turns[:count], info_of(count)), WIDE) == whole[:count]
    assert window(Chat(writer.turns, info_of(15)), WindowOptions(max_messages=5)) == whole[10:]


@many(1500)
@given(CHATS, OPTIONS, SIGHTS)
def test_no_two_calls_of_an_exchange_have_one_id(
    chat: Chat, options: WindowOptions, sight: int
) -> None:
    made = window_or_error(chat, options, view_of(chat, sight))
    used: set[str] = set()
    for message in made if not isinstance(made, str) else ():
        if message["role"] == "user":
            used = set()
        for one in message.get("tool_calls", ()):
            assert one["id"] not in used
            used.add(one["id"])
