"""A window starts with a user turn, keeps its bounds, and has the latest user turn in it."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from functools import partial
from typing import Any

import msgspec
import pytest
from hypothesis import given
from hypothesis import strategies as st
from msgspec.structs import replace

from profiles import many
from turnkeep import Turn, WindowError
from turnkeep._window.arrange import View
from turnkeep._window.options import WindowOptions
from turnkeep._window.summary import SUMMARY_HEAD
from turnkeep._window.tokens import MEDIA_TOKENS, message_tokens

from .chats import (
    CHATS,
    CHATS_WITH_A_USER,
    OPTIONS,
    SIGHTS,
    WIDE,
    Chat,
    Messages,
    id_of,
    ids_of,
    info_of,
    says_something,
    view_of,
    window,
    window_or_error,
    words,
)
from .grown import plain_chat
from .writer import NOW


def said(window: Messages) -> Messages:
    """The window without the summary and stored system turns."""
    return [
        message
        for message in window
        if message["role"] != "system" and not str(message["content"]).startswith(SUMMARY_HEAD)
    ]


def users_in_sight(chat: Chat, view: View) -> list[int]:
    return [id for id in chat.users if view.as_of is None or id <= view.as_of]


def tokens(window: Messages, options: WindowOptions) -> int:
    count = options.count_message or partial(message_tokens, count=options.count_tokens)
    return sum(map(count, window))


@many(1000)
@given(CHATS, OPTIONS, SIGHTS)
def test_a_window_starts_with_a_user_turn_and_is_never_empty_if_there_is_one(
    chat: Chat, options: WindowOptions, sight: int
) -> None:
    seen = view_of(chat, sight)
    made = window_or_error(chat, options, seen)
    if isinstance(made, str):
        return
    assert made or not users_in_sight(chat, seen)
    if made:
        assert said(made)[0]["role"] == "user"
        if options.system == "drop":
            assert all(message["role"] != "system" for message in made)


@many(2000)
@given(CHATS, OPTIONS, SIGHTS)
def test_a_window_holds_no_more_messages_and_tokens_than_asked_for(
    chat: Chat, options: WindowOptions, sight: int
) -> None:
    made = window_or_error(chat, options, view_of(chat, sight))
    if isinstance(made, str):
        return
    # The exception: the latest user turn and the newest calls, also where they alone are more.
    least = len(only_calls(made))
    assert len(made) <= max(options.max_messages, least)
    if options.max_tokens is not None and tokens(made, options) > options.max_tokens:
        assert least
        assert all(is_bare(message) for message in said(made)[1:])


def only_calls(window: Messages) -> Messages:
    """The window, if it is only a user turn and one group of calls behind it."""
    roles = [message["role"] for message in said(window)]
    return window if roles[:3] == ["user", "assistant", "tool"] and {*roles[3:]} <= {"tool"} else []


def is_bare(message: Mapping[str, Any]) -> bool:
    """Whether what an answer or a result says is cut away, but for a mark or a short word."""
    arguments = [call["function"]["arguments"] for call in message.get("tool_calls", ())]
    content = message["content"] or ""
    if isinstance(content, list):
        content = "".join(part["text"] for part in content)
    return len(content) <= 5 and all(len(each) <= len('{"arguments":1234}') for each in arguments)


@many(1000)
@given(CHATS, OPTIONS, SIGHTS)
def test_the_latest_user_turn_is_always_in_the_window(
    chat: Chat, options: WindowOptions, sight: int
) -> None:
    seen = view_of(chat, sight)
    users = users_in_sight(chat, seen)
    made = window_or_error(chat, options, seen)
    if users and not isinstance(made, str):
        last = [message for message in made if message["role"] == "user"][-1]
        latest = options.message(next(turn for turn in chat.turns if turn.id == users[-1]))
        cut = last["content"]
        in_words = isinstance(cut, str) and isinstance(latest["content"], list)
        assert last == latest or (options.max_tokens and (in_words or cut.endswith(" […]")))


@many(1000)
@given(CHATS_WITH_A_USER, OPTIONS, st.integers(1, 200))
def test_an_error_says_that_the_latest_user_turn_alone_is_too_long(
    chat: Chat, options: WindowOptions, bound: int
) -> None:
    options = replace(options, overflow="error", max_tokens=bound)
    made = window_or_error(chat, options)
    latest = next(turn for turn in chat.turns if turn.id == chat.users[-1])
    cost = tokens([options.message(latest)], options)
    cost += MEDIA_TOKENS * len(latest.media) if options.media else 0
    assert isinstance(made, str) == (cost > bound)
    if isinstance(made, str):
        assert f"the latest user turn (id {latest.id}) alone costs {cost:,} tokens" in made


@many(1000)
@given(CHATS)
def test_a_window_that_holds_all_leaves_out_no_user_turn_and_no_answer_that_has_one(
    chat: Chat,
) -> None:
    chat = Chat(chat.turns, info_of(chat.info.last_id, chat.info.epoch))
    shown = ids_of(window(chat, WIDE))
    assert len(shown) == len(set(shown))
    for turn in chat.turns:
        if turn.hidden or turn.epoch != chat.info.epoch or id_of(turn.content) is None:
            continue
        if turn.role == "user":
            assert turn.id in shown
        if turn.role == "assistant" and says_something(turn.content):
            before = [id for id in chat.users if id < turn.id]
            has_one = turn.answers is None or turn.answers in before
            assert (turn.id in shown) == has_one


def test_a_window_holds_as_many_messages_as_asked_for() -> None:
    assert len(window(plain_chat([2] * 25), WindowOptions(max_messages=50))) == 50


def test_behind_an_exchange_that_is_too_long_all_is_shown() -> None:
    chat = plain_chat([2] * 8)
    long = "word " * 1000
    chat.turns[3] = msgspec.structs.replace(chat.turns[3], content=long)
    assert ids_of(window(chat, WindowOptions(max_tokens=1000)))[0] == 5


def test_extra_fields_count_in_tokens() -> None:
    chat = plain_chat([2, 2])
    chat.turns[3].extra["thoughts"] = "hm " * 40
    options = WindowOptions(max_tokens=40, count_tokens=words)
    assert len(window(chat, options)) == 4
    assert len(window(chat, replace(options, extra=["thoughts"]))) == 1


def test_the_summary_and_a_synthetic_result_count_as_messages() -> None:
    chat = plain_chat([2, 4, 1])
    unanswered = [turn for turn in chat.turns if turn.role != "tool"]
    chat = Chat(unanswered, info_of(7, consolidated=2, summary="They met."))
    assert [message["role"] for message in window(chat, WindowOptions(max_messages=6))] == [
        "user",
        "user",
        "assistant",
        "tool",
        "assistant",
        "user",
    ]
    assert [message["role"] for message in window(chat, WindowOptions(max_messages=5))] == [
        "user",
        "user",
    ]


def test_the_summary_counts_in_tokens() -> None:
    chat = plain_chat([2, 2, 2])
    chat.info = info_of(6, summary="s " * 10)
    # A message of two words costs six tokens, with its overhead.
    bound = 4 + words(SUMMARY_HEAD) + 10 + 1 + 4 * 6
    with_four = window(chat, WindowOptions(max_tokens=bound, count_tokens=words, slack=0))
    assert len(with_four) == 5
    with_two = window(chat, WindowOptions(max_tokens=bound - 1, count_tokens=words, slack=0))
    assert len(with_two) == 3


@pytest.mark.parametrize(
    "options", [WindowOptions(max_messages=1), WindowOptions(max_tokens=10, count_tokens=words)]
)
def test_the_summary_goes_before_the_latest_user_turn_does(options: WindowOptions) -> None:
    chat = plain_chat([1])
    chat.info = info_of(1, summary="They met.")
    assert window(chat, options) == [{"role": "user", "content": "#1 Hi"}]


def user_turn(content: object) -> Chat:
    turn = Turn(id=7, role="user", content=content, time=NOW)  # type: ignore[arg-type]
    return Chat([turn], info_of(7))


@pytest.mark.parametrize("counter", [len, words])
def test_truncation_keeps_the_start_of_a_user_turn_and_marks_the_cut(
    counter: Callable[[str], int],
) -> None:
    text = "one two three four " * 50
    options = WindowOptions(max_tokens=44, count_tokens=counter, overflow="truncate")
    (message,) = window(user_turn(text), options)
    head, mark = message["content"][:-4], message["content"][-4:]
    assert mark == " […]"
    assert text.startswith(head)
    assert counter(message["content"]) + 4 <= 44
    assert counter(text[: len(head) + 5] + mark) + 4 > 44


def test_a_user_turn_of_which_nothing_fits_is_an_error_also_where_it_may_be_truncated() -> None:
    options = WindowOptions(max_tokens=6, count_tokens=len, overflow="truncate")
    with pytest.raises(WindowError, match=r"not even the beginning .*\(id 7\) fits into 6 tokens"):
        window(user_turn("Hello"), options)


def test_a_picture_that_is_too_much_is_told_in_words() -> None:
    options = WindowOptions(max_tokens=50, overflow="truncate")
    image = [{"type": "image_url", "image_url": {"url": "https://example.org/1.png"}}]
    chat = Chat([Turn(id=1, role="user", content=image, time=NOW)], info_of(1))
    told = "[image: https://example.org/1.png]"
    assert window(chat, options) == [{"role": "user", "content": told}]


@pytest.mark.parametrize(
    ("options", "says"),
    [
        ({"max_messages": 0}, "max_messages is a whole number, 1 or more, not 0"),
        ({"max_messages": True}, "max_messages is a whole number"),
        ({"max_messages": None}, "max_messages is a whole number"),
        ({"max_tokens": 0}, "max_tokens is a whole number, 1 or more, not 0"),
        ({"max_tokens": 4.5}, "max_tokens is a whole number"),
        ({"count_tokens": "gpt-4"}, "count_tokens is a function"),
        ({"slack": 1}, "slack is a share of the window"),
        ({"slack": -0.1}, "slack is a share of the window"),
        ({"slack": float("nan")}, "slack is a share of the window"),
        ({"slack": "half"}, "slack is a share of the window"),
        ({"system": "first"}, "system is 'drop' or 'keep', not 'first'"),
        ({"unanswered": None}, "unanswered is 'result' or 'drop'"),
        ({"results": "both"}, "results is 'last' or 'first', not 'both'"),
        ({"overflow": "cut"}, "overflow is 'error' or 'truncate'"),
        ({"extra": "name"}, "extra is a list of names"),
        ({"extra": ["content"]}, "extra is a list of names"),
    ],
)
def test_an_option_that_means_nothing_is_a_window_error(
    options: dict[str, object], says: str
) -> None:
    with pytest.raises(WindowError, match=says):
        WindowOptions(**options)  # type: ignore[arg-type]
