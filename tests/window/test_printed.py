"""A generated conversation on which a test fails is printed so that a person can read it."""

from __future__ import annotations

import re

import pytest
from hypothesis import Phase, given

from profiles import many

from .chats import CHATS, OPTIONS, SIGHTS, Chat, Options, view_of


def test_a_conversation_that_fails_is_printed_as_what_happened_and_what_is_stored() -> None:
    @many(2000, phases=[Phase.generate, Phase.shrink])
    @given(CHATS, OPTIONS, SIGHTS)
    def answers_no_call(chat: Chat, options: Options, sight: int) -> None:
        view_of(chat, sight)
        assert not any(turn.tool_call_id == "call_1_0" for turn in chat.turns)

    with pytest.raises(AssertionError) as caught:
        answers_no_call()
    printed, _, bytes_of_it = "\n".join(caught.value.__notes__).partition("You can reproduce")
    assert bytes_of_it
    for pattern in (
        r"happened: \w+\(\d+\)",
        r"  1 user: .*#1 .*\n",
        r" \d assistant: .*, calls '.*'\(.*\) as 'call_1_0'",
        r" \d tool: .*, result of 'call_1_0'",
        r"options=WindowOptions\(max_messages=\d+",
        r"what is seen of it: View\(",
    ):
        assert re.search(pattern, printed), printed
    assert "b'" not in printed
