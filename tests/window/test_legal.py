"""A window is legal for every provider, whatever was stored."""

from __future__ import annotations

import pytest
from hypothesis import given

from turnkeep import check_messages
from turnkeep._window.options import WindowOptions

from .chats import (
    CHATS,
    OPTIONS,
    SIGHTS,
    WIDE,
    Chat,
    Messages,
    many,
    view_of,
    window,
    window_or_error,
)
from .rules import refused_by_mistral, refused_by_openai, refused_by_openai_types


@pytest.mark.timeout(900)  # a busy machine takes its time over so many examples
@many(7000)
@given(CHATS, OPTIONS, SIGHTS)
def test_a_window_is_legal_for_every_provider_whatever_was_stored(
    chat: Chat, options: WindowOptions, sight: int
) -> None:
    made = window_or_error(chat, options, view_of(chat, sight))
    if made and not isinstance(made, str):
        assert check_messages(made) == []
        assert refused_by_openai(made) == ""
        assert refused_by_openai_types(made) == ""
        assert refused_by_mistral(made) == ""


@many(1000)
@given(CHATS)
def test_all_that_was_stored_makes_one_legal_window(chat: Chat) -> None:
    made = window(chat, WIDE)
    if made:
        assert check_messages(made) == []
        assert refused_by_openai(made) == ""
        assert refused_by_openai_types(made) == ""
        assert refused_by_mistral(made) == ""


ASKS: Messages = [
    {"role": "user", "content": "Hi"},
    {
        "role": "assistant",
        "content": None,
        "tool_calls": [
            {"id": "c1", "type": "function", "function": {"name": "f", "arguments": "{}"}}
        ],
    },
]
RESULT = {"role": "tool", "content": "21°", "tool_call_id": "c1"}


@pytest.mark.parametrize(
    "illegal",
    [
        pytest.param([*ASKS, {"role": "user", "content": "?"}], id="a call is not answered"),
        pytest.param([ASKS[0], RESULT], id="a result without its call"),
        pytest.param([*ASKS, RESULT, RESULT], id="a call is answered twice"),
    ],
)
def test_the_rules_that_windows_are_held_against_refuse_what_is_illegal(illegal: Messages) -> None:
    assert refused_by_openai(illegal)
    assert refused_by_mistral(illegal)
    assert check_messages(illegal)


def test_the_rules_refuse_an_empty_message() -> None:
    illegal = [ASKS[0], {"role": "assistant", "content": " "}, ASKS[0]]
    assert refused_by_openai(illegal)
    assert check_messages(illegal)


def test_the_types_refuse_a_message_of_another_shape() -> None:
    assert refused_by_openai_types([{"role": "user", "content": [{"type": "sticker"}]}])
