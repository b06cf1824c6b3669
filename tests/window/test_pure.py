"""A window is a pure function of what is stored, and reads no more of it than it needs."""

from __future__ import annotations

import copy
import random
from typing import Any

import msgspec
from hypothesis import given
from hypothesis import strategies as st

from profiles import many
from turnkeep import WindowError
from turnkeep._window.arrange import View
from turnkeep._window.build import build_window
from turnkeep._window.options import WindowOptions
from turnkeep._window.tail import Tail

from .chats import (
    CHATS,
    OPTIONS,
    SIGHTS,
    Chat,
    built,
    ids_of,
    info_of,
    read_window,
    view_of,
    window,
    window_or_error,
)
from .grown import mixed_talk, plain_chat
from .writer import Writer


@many(2500, proof=True)
@given(CHATS, OPTIONS, SIGHTS)
def test_every_tail_gives_the_window_of_the_whole_session_or_asks_for_more(
    chat: Chat, options: WindowOptions, sight: int
) -> None:
    seen = view_of(chat, sight)
    whole = window_or_error(chat, options, seen)
    for start in range(1, len(chat.turns)):
        try:
            made: Any = built(chat.info, chat.turns[start:], options, seen, complete=False)
        except WindowError as error:
            made = str(error)
        assert made is None or made == whole, f"from turn {chat.turns[start].id} on"


@many(1500)
@given(CHATS, OPTIONS, SIGHTS)
def test_a_session_read_with_growing_limits_gives_the_window_of_everything_at_once(
    chat: Chat, options: WindowOptions, sight: int
) -> None:
    seen = view_of(chat, sight)
    assert read_window(chat, options, seen)[0] == window_or_error(chat, options, seen)


@many(500)
@given(
    st.lists(st.integers(1, 5), min_size=10, max_size=40),
    st.integers(5, 40),
    st.integers(3, 9),
    st.sampled_from((0.5, 0.2, 0.9)),
)
def test_every_tail_gives_the_window_of_the_whole_session_where_both_bounds_are_near(
    exchanges: list[int], most: int, per_message: int, slack: float
) -> None:
    chat = plain_chat(exchanges)
    options = WindowOptions(max_messages=most, max_tokens=most * per_message, slack=slack)
    whole = window(chat, options)
    for start in range(0, len(chat.turns), 3):
        tail = chat.turns[start:]
        made = built(chat.info, tail, options, View(), complete=False)
        assert made is None or made == whole, f"from turn {start + 1} on"


@many(60)
@given(
    st.integers(0, 2**32),
    st.sampled_from((300, 1000, 4000)),
    st.sampled_from((0.5, 0, 0.25, 0.9)),
    st.sampled_from((30, 120, 1000)),
)
def test_of_a_long_chat_each_reading_gives_the_window_of_the_whole(
    seed: int, most: int, slack: float, median: int
) -> None:
    chat, chance = mixed_talk(500, seed, median), random.Random(seed)
    options = WindowOptions(max_tokens=most, slack=slack, overflow="truncate")
    tail = Tail()
    for end in sorted(chance.sample(range(len(chat.turns) // 2, len(chat.turns)), 12)):
        grown = Chat(chat.turns[:end], info_of(end))
        whole = window(grown, options)
        made, limit = read_window(grown, options)
        assert made == whole
        kept = build_window(
            grown.info, grown.turns[-limit:], options, View(), complete=limit > end, tail=tail
        )
        assert kept is not None
        assert kept.messages(options) == whole


def test_system_turns_at_the_start_of_a_tail_do_not_move_its_cut() -> None:
    writer = Writer()
    writer.lose_ids(6)
    for role in ("user", "system", "system", "user", "assistant", "user", "assistant", "user"):
        writer.add(role, f"#{writer.last_id + 1} Hi")
    chat = Chat(writer.turns, info_of(writer.last_id))
    options = WindowOptions(max_messages=6, system="keep")
    assert ids_of(window(chat, options)) == [11, 12, 13, 14, 15]
    tail = built(chat.info, chat.turns[1:], options, View(), complete=False)
    assert tail in (None, window(chat, options))


EXCHANGES = st.lists(st.integers(1, 6), min_size=1, max_size=120)
BOUNDS = st.builds(
    WindowOptions,
    max_messages=st.integers(1, 60),
    max_tokens=st.none() | st.integers(50, 100_000),
    slack=st.sampled_from((0.5, 0, 0.9)),
)


@many(500)
@given(EXCHANGES, BOUNDS, st.integers(0, 800))
def test_no_more_is_read_than_about_twice_the_bound_and_the_current_exchange(
    exchanges: list[int], options: WindowOptions, consolidated: int
) -> None:
    chat = plain_chat(exchanges)
    chat.info = info_of(len(chat.turns), consolidated=consolidated)
    _, limit = read_window(chat, options)
    # Where a reading is not enough the next one asks for twice as much. The start in tokens is
    # chosen by up to 256 turns before the window.
    before = 0 if options.max_tokens is None else 256
    enough = options.max_messages + before + 6 + exchanges[-1]
    assert limit <= max(options.first_read, 2 * enough)


def test_a_large_bound_in_tokens_does_not_read_more_than_the_bound_in_messages_needs() -> None:
    chat = plain_chat([2] * 1000)
    options = WindowOptions(max_messages=50, max_tokens=1_000_000)
    assert read_window(chat, options)[1] == options.first_read


def test_a_large_bound_in_messages_does_not_read_more_than_the_bound_in_tokens_needs() -> None:
    chat = plain_chat([2] * 1000)
    # Each turn costs some 7 tokens: 200 hold 28 turns, and what is before them is 128 at most.
    made, limit = read_window(chat, WindowOptions(max_messages=10_000, max_tokens=200))
    assert len(made) < 30
    assert limit <= 160


def test_a_pointer_far_back_is_not_read_back_to() -> None:
    chat = plain_chat([3] * 1000)
    chat.info = info_of(3000, consolidated=30, summary="They met.")
    options = WindowOptions(max_messages=50)
    assert read_window(chat, options)[1] == options.first_read


def test_what_was_consolidated_is_not_read_again_for_a_window_that_is_not_full() -> None:
    chat = plain_chat([2] * 1000)
    chat.info = info_of(2000, consolidated=1980, summary="They met.")
    options = WindowOptions(max_messages=50)
    made, limit = read_window(chat, options)
    assert len(made) == 21
    assert limit == options.first_read


def test_turns_of_earlier_epochs_are_not_read_for_a_window_that_is_not_full() -> None:
    chat = plain_chat([2] * 1000)
    chat.turns[:1990] = [msgspec.structs.replace(turn, epoch=0) for turn in chat.turns[:1990]]
    options = WindowOptions(max_messages=50)
    made, limit = read_window(chat, options)
    assert len(made) == 10
    assert limit == options.first_read


@many(500)
@given(CHATS, OPTIONS)
def test_a_caller_who_changes_a_window_changes_no_later_one(
    chat: Chat, options: WindowOptions
) -> None:
    stored = copy.deepcopy(chat.turns)
    mine = window_or_error(chat, options)
    pristine = copy.deepcopy(mine)
    _spoil(mine)
    assert chat.turns == stored
    assert window_or_error(chat, options) == pristine


def _spoil(value: Any) -> None:
    """Changes all of a value that can be changed."""
    if isinstance(value, dict):
        for item in value.values():
            _spoil(item)
        value.clear()
    elif isinstance(value, list):
        for item in value:
            _spoil(item)
        value.append("spoilt")


def test_extra_fields_that_are_asked_for_are_the_callers_own_too() -> None:
    chat = plain_chat([3])
    (call,) = chat.turns[1].tool_calls or []
    call["thoughts"] = chat.turns[0].extra["thoughts"] = [{"signature": "x"}]
    options = WindowOptions(extra=["thoughts"])
    first = window(chat, options)
    pristine = copy.deepcopy(first)
    assert first[0]["thoughts"] == first[1]["tool_calls"][0]["thoughts"] == [{"signature": "x"}]
    _spoil(first)
    assert window(chat, options) == pristine


def test_an_unknown_session_has_an_empty_window() -> None:
    assert built(None, [], WindowOptions(), View(), complete=True) == []
