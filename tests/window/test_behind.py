"""A message far from the end sees what it would see in the whole session."""

from __future__ import annotations

from typing import Any

import msgspec
from hypothesis import assume, given
from hypothesis import strategies as st

from profiles import many
from turnkeep import Turn, WindowError
from turnkeep._window.arrange import View
from turnkeep._window.behind import Behind
from turnkeep._window.build import build_window
from turnkeep._window.options import WindowOptions
from turnkeep._window.tail import Tail

from .chats import CHATS_WITH_A_USER, OPTIONS, Chat, info_of, window_or_error
from .writer import Writer


def seen_by(
    chat: Chat,
    turns: list[Turn],
    behind: Behind,
    options: WindowOptions,
    view: View,
    most: int,
    tail: Tail | None,
) -> Any:
    part, whole = behind.sight(turns, view.as_of or 0, most)
    complete = whole and turns == chat.turns
    try:
        made = build_window(chat.info, part, options, view, complete=complete, tail=tail)
    except WindowError as error:
        return str(error)
    return None if made is None else made.messages(options)


@many(2500, proof=True)
@given(
    CHATS_WITH_A_USER,
    OPTIONS,
    st.lists(
        st.tuples(st.integers(0, 40), st.integers(1, 30), st.booleans(), st.integers(0, 6)),
        min_size=1,
        max_size=8,
    ),
)
def test_its_window_is_that_of_the_whole_session_or_asks_for_more(
    chat: Chat, options: WindowOptions, looks: list[tuple[int, int, bool, int]]
) -> None:
    assume(chat.users)
    behind, tail = Behind(), Tail()
    for place, most, answers, unread in looks:
        user = chat.users[place % len(chat.users)]
        view = View(as_of=user, before_answer=user if answers else None)
        turns = chat.turns[unread:]
        found = seen_by(chat, turns, behind, options, view, most, tail)
        assert found is None or found == window_or_error(chat, options, view)


@many(500)
@given(
    st.lists(
        st.tuples(st.integers(0, 3), st.sampled_from(("", "", "edit", "delete"))), max_size=30
    ),
    st.integers(1, 40),
    OPTIONS,
)
def test_the_next_message_in_a_queue_sees_what_was_said_and_changed_meanwhile(
    steps: list[tuple[int, str]], most: int, options: WindowOptions
) -> None:
    writer = Writer()
    for number in range(40):
        writer.add("user", f"#{number}")
    behind, tail = Behind(), Tail()
    for number, (answers, change) in enumerate(steps, start=1):
        view = View(as_of=number, before_answer=number)
        chat = Chat(writer.turns, info_of(writer.last_id))
        found = seen_by(chat, [*chat.turns], behind, options, view, most, tail)
        assert found is None or found == window_or_error(chat, options, view)
        for _ in range(answers):
            writer.add("assistant", f"to {number}", answers=number)
        if change:
            at = number * 7 % len(writer.turns)
            changed = msgspec.structs.replace(writer.turns[at], content="changed")
            writer.turns[at : at + 1] = [changed] if change == "edit" else []
