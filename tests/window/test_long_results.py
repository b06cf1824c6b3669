"""A long tool result is shortened, so that the model never forgets what it has called."""

from __future__ import annotations

from functools import partial
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from profiles import many
from turnkeep import Turn, check_messages, estimate_tokens
from turnkeep._window.options import WindowOptions
from turnkeep._window.tokens import message_tokens

from .chats import Chat, Messages, info_of, window, words
from .writer import NOW, Writer

TRUNCATE: dict[str, Any] = {"max_tokens": 4000, "overflow": "truncate"}


def loop(*results: str | list[str], user: str = "#1 Look", arguments: str = "{}") -> Chat:
    """A user turn, and one answer with calls for each result, or for several at once."""
    writer = Writer()
    writer.add("user", user)
    for number, result in enumerate(results):
        texts = [result] if isinstance(result, str) else result
        ids = [f"c{number}_{place}" for place in range(len(texts))]
        function = {"name": "f", "arguments": arguments}
        writer.add("assistant", tool_calls=[{"id": id, "function": function} for id in ids])
        for id, text in zip(ids, texts, strict=True):
            writer.add("tool", text, tool_call_id=id)
    return Chat(writer.turns, info_of(writer.last_id))


def tokens(messages: Messages) -> int:
    return sum(map(partial(message_tokens, count=estimate_tokens), messages))


def results(messages: Messages) -> list[str]:
    return [message["content"] for message in messages if message["role"] == "tool"]


def called(messages: Messages) -> list[str]:
    return [call["id"] for message in messages for call in message.get("tool_calls", ())]


def test_a_result_over_the_bound_is_shortened_and_the_calls_before_it_stay() -> None:
    made = window(loop("21°", "22°", "word " * 4000), WindowOptions(**TRUNCATE))
    assert called(made) == ["c0_0", "c1_0", "c2_0"]
    small, other, long = results(made)
    assert (small, other) == ("21°", "22°")
    assert long.startswith("word word")
    assert long.endswith(" […]")
    assert 3900 < tokens(made) <= 4000
    assert check_messages(made) == []


def test_parallel_calls_stay_where_the_bound_in_messages_is_smaller() -> None:
    made = window(loop(["21°"] * 12), WindowOptions(max_messages=10))
    assert len(called(made)) == len(results(made)) == 12
    assert check_messages(made) == []


def test_of_several_results_the_long_ones_are_cut_to_one_length_and_short_ones_stay() -> None:
    texts = ["a " * 7000, "short", "b " * 9000, "c " * 500]
    made = window(loop(texts), WindowOptions(**TRUNCATE))
    first, short, second, third = results(made)
    assert short == "short"
    assert third == "c " * 500
    assert len(first) == len(second) > 4000
    assert first.endswith(" […]")
    assert second.endswith(" […]")
    assert 3900 < tokens(made) <= 4000


def test_a_result_that_was_too_long_is_still_there_at_the_next_call() -> None:
    made = window(loop("word " * 4000, "21°"), WindowOptions(**TRUNCATE))
    assert called(made) == ["c0_0", "c1_0"]
    long, short = results(made)
    assert long.endswith(" […]")
    assert len(long) > 2500
    assert short == "21°"


def test_whole_groups_go_once_shortened_ones_do_not_fit() -> None:
    made = window(loop(*["word " * 4000] * 12), WindowOptions(**TRUNCATE))
    assert called(made)[-1] == "c11_0"
    assert 2 <= len(called(made)) <= 4
    assert called(made) == [f"c{number}_0" for number in range(12 - len(called(made)), 12)]
    assert tokens(made) <= 4000


def test_long_arguments_of_a_call_are_shortened_too() -> None:
    made = window(
        loop("done", arguments='{"text": "' + "x" * 50_000 + '"}'), WindowOptions(**TRUNCATE)
    )
    arguments = made[1]["tool_calls"][0]["function"]["arguments"]
    assert arguments.startswith('{"arguments":"{\\"text\\": \\"xxx')
    assert tokens(made) <= 4000
    assert results(made) == ["done"]
    assert check_messages(made) == []


def test_a_long_user_turn_leaves_a_quarter_of_the_bound_to_the_newest_calls() -> None:
    chat = loop("21 degrees", "word " * 4000, user="#1 " + "paper " * 9000)
    made = window(chat, WindowOptions(**TRUNCATE))
    assert called(made)[-1] == "c1_0"
    assert made[0]["content"].endswith(" […]")
    assert 2500 < tokens(made[:1]) <= 3000
    assert len(results(made)[-1]) > 1000
    assert tokens(made) <= 4000


def test_a_user_turn_that_fits_is_not_cut_for_the_calls_unless_it_may_be() -> None:
    user = "#1 " + "paper " * 2200
    chat = loop("word " * 4000, user=user)
    made = window(chat, WindowOptions(max_tokens=4000))
    assert made[0]["content"] == user
    assert called(made) == ["c0_0"]
    assert tokens(made) <= 4000


@pytest.mark.parametrize("overflow", ["error", "truncate"])
def test_calls_that_alone_are_over_the_bound_stay_with_bare_results(overflow: Any) -> None:
    chat = loop(["word " * 100] * 12)
    made = window(chat, WindowOptions(max_tokens=60, overflow=overflow))
    assert len(called(made)) == 12
    assert results(made) == [" […]"] * 12
    assert check_messages(made) == []


def test_a_long_answer_of_the_current_exchange_is_shortened() -> None:
    writer = Writer()
    writer.add("user", "#1 Tell me")
    writer.add("assistant", "#2 " + "word " * 4000)
    chat = Chat(writer.turns, info_of(2))
    made = window(chat, WindowOptions(**TRUNCATE))
    assert made[1]["content"].endswith(" […]")
    assert 3900 < tokens(made) <= 4000


def test_behind_a_long_result_the_question_and_its_answer_stay_in_the_window() -> None:
    chat = loop("word " * 2000, "word " * 4000)
    for role, text in (("assistant", "It is warm."), ("user", "And tomorrow?")):
        chat.turns.append(Turn(id=len(chat.turns) + 1, role=role, content=text, time=NOW))  # type: ignore[arg-type]
    chat.info = info_of(len(chat.turns))
    made = window(chat, WindowOptions(max_tokens=4000))
    assert [made[0]["content"], *(one["content"] for one in made[-2:])] == [
        "#1 Look",
        "It is warm.",
        "And tomorrow?",
    ]
    assert called(made) == ["c0_0", "c1_0"]
    assert all(text.endswith(" […]") for text in results(made))
    assert tokens(made) <= 2100


def test_a_long_answer_of_an_earlier_exchange_is_not_shortened() -> None:
    chat = loop("21°")
    long = "word " * 1500
    for role, text in (("assistant", long), ("user", "And tomorrow?")):
        chat.turns.append(Turn(id=len(chat.turns) + 1, role=role, content=text, time=NOW))  # type: ignore[arg-type]
    chat.info = info_of(len(chat.turns))
    made = window(chat, WindowOptions(max_tokens=4000))
    assert [message["content"] for message in made] == ["#1 Look", long, "And tomorrow?"]


SIZES = st.lists(st.sampled_from((1, 10, 100, 400, 2000)), min_size=1, max_size=30)


@many(300)
@given(SIZES, st.sampled_from((0, 0.5, 0.9)), st.integers(100, 2000))
def test_calls_that_were_left_out_never_come_back_while_the_loop_goes_on(
    sizes: list[int], slack: float, bound: int
) -> None:
    chat = loop(*("w " * size for size in sizes))
    options = WindowOptions(max_tokens=bound, count_tokens=words, slack=slack)
    first = 0
    for count in range(3, len(chat.turns) + 1, 2):
        made = window(Chat(chat.turns[:count], info_of(count)), options)
        numbers = [int(id.split("_")[0][1:]) for id in called(made)]
        assert numbers == [*range(numbers[0], count // 2)]
        assert numbers[0] >= first
        first = numbers[0]


def test_until_the_next_step_only_the_newest_results_of_a_window_change() -> None:
    chat = loop(*("word " * size for size in [100, 3000, 40, 900, 80, 5000, 20, 300] * 12))
    options = WindowOptions(max_tokens=8000)
    steps = 0
    before: Messages = []
    for count in range(3, len(chat.turns) + 1, 2):
        made = window(Chat(chat.turns[:count], info_of(count)), options)
        if called(made)[:1] != called(before)[:1]:
            steps += 1
        elif steps > 1:
            assert made[: len(before) - 1] == before[:-1]
        before = made
    assert 10 < steps < 30
