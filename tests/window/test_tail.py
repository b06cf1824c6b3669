"""A window is the same whether or not the end of the session was arranged for one before."""

from __future__ import annotations

from typing import Any, Final

import msgspec
import pytest
from hypothesis import given
from hypothesis import strategies as st

from profiles import many
from turnkeep import SessionInfo, SessionStore, Turn, WindowError
from turnkeep._window import tail as tail_module
from turnkeep._window.arrange import View
from turnkeep._window.build import build_window
from turnkeep._window.options import WindowOptions
from turnkeep._window.tail import KEPT_TURNS, Tail, Tails

from .chats import CHATS, OPTIONS, Chat, info_of, view_of
from .grown import plain_chat
from .writer import NOW

replace = msgspec.structs.replace


def messages(
    info: SessionInfo, turns: list[Turn], options: WindowOptions, view: View, tail: Tail | None
) -> Any:
    complete = bool(turns) and turns[0].id == 1
    try:
        window = build_window(info, turns, options, view, complete=complete, tail=tail)
    except WindowError as error:
        return str(error)
    return None if window is None else window.messages(options)


STEPS = st.lists(
    st.tuples(
        st.integers(0, 4),  # how many turns come
        st.sampled_from(("", "", "", "edit", "delete", "clear", "consolidate")),
        st.integers(0, 1000),  # which turn that is done to
        st.integers(1, 40),  # how many turns are read
        st.integers(0, 1000),  # the sight
        st.booleans(),  # with the first options, or the second
    ),
    min_size=4,
    max_size=25,
)


@many(2500, proof=True)
@given(CHATS, STEPS, OPTIONS, OPTIONS)
def test_a_window_that_goes_on_from_the_one_before_is_the_one_that_is_built_anew(
    chat: Chat, steps: list[Any], options: WindowOptions, others: WindowOptions
) -> None:
    tail = Tail()
    stored: list[Turn] = []
    coming = iter(chat.turns)
    info = replace(chat.info, epoch=1, last_consolidated=0, last_id=0)
    for count, change, place, limit, sight, first in steps:
        stored += [turn for _, turn in zip(range(count), coming, strict=False)]
        if not stored:
            continue
        newest = max(stored[-1].id, info.last_id)
        info = replace(info, last_id=newest, epoch=max(info.epoch, stored[-1].epoch))
        at = place % len(stored)
        if change == "edit":
            stored[at] = replace(stored[at], content=f"#{stored[at].id} edited")
        elif change == "delete":
            del stored[at]
        elif change == "clear":
            info = replace(info, epoch=info.epoch + 1)
        elif change == "consolidate":
            pointer = max(info.last_consolidated, stored[at].id)
            info = replace(info, last_consolidated=pointer)
        if stored:
            view = view_of(Chat(stored, info), sight)
            read = stored[-limit:]
            asked = options if first else others
            anew = messages(info, read, asked, view, None)
            assert messages(info, read, asked, view, tail) == anew


LINES: Final = [
    Turn(id=1, role="user", content="What is the weather?", time=NOW),
    Turn(id=2, role="system", content="Be brief.", time=NOW),
    Turn(
        id=3,
        role="assistant",
        tool_calls=[{"id": "c", "function": {"name": "weather", "arguments": "{}"}}],
        time=NOW,
        answers=1,
    ),
]


def after(first: WindowOptions, then: WindowOptions, turns: list[Turn] = LINES) -> Any:
    """The second window of a chat of three lines; the first one was of `LINES`."""
    tail, info = Tail(), info_of(3)
    assert messages(info, LINES, first, View(), tail) is not None
    return messages(info, turns, then, View(), tail)


def test_an_edit_since_the_last_window_is_in_the_next_one() -> None:
    edited = [replace(LINES[0], content="What time is it?"), *LINES[1:]]
    plain = WindowOptions()
    assert after(plain, plain, edited)[0]["content"] == "What time is it?"


def test_a_deletion_since_the_last_window_is_in_the_next_one() -> None:
    plain = WindowOptions()
    assert [one["role"] for one in after(plain, plain, LINES[:2])] == ["user"]


@pytest.mark.parametrize("first", ["result", "drop"])
def test_calls_without_a_result_are_in_the_next_window_as_that_one_asks(first: Any) -> None:
    then: Any = "drop" if first == "result" else "result"
    shown = after(WindowOptions(unanswered=first), WindowOptions(unanswered=then))
    assert [one["role"] for one in shown] == (
        ["user"] if then == "drop" else ["user", "assistant", "tool"]
    )


@pytest.mark.parametrize("first", ["drop", "keep"])
def test_system_turns_are_in_the_next_window_as_that_one_asks(first: Any) -> None:
    then: Any = "keep" if first == "drop" else "drop"
    shown = after(WindowOptions(system=first), WindowOptions(system=then))
    assert ("system" in [one["role"] for one in shown]) is (then == "keep")


def test_texts_that_came_with_calls_behind_them_are_in_the_next_window() -> None:
    said = [Turn(id=number, role="assistant", content=f"{number}", time=NOW) for number in (4, 5)]
    call = replace(LINES[2], id=6, tool_calls=[{**(LINES[2].tool_calls or [{}])[0], "id": "d"}])
    plain = WindowOptions()
    tail, turns = Tail(), [*LINES, *said, call]
    assert messages(info_of(3), LINES, plain, View(), tail) is not None
    shown = messages(info_of(6), turns, plain, View(), tail)
    assert shown == messages(info_of(6), turns, plain, View(), None)
    assert [one["content"] for one in shown if one["role"] == "assistant"] == [None, "4", "5", None]


def test_a_chat_that_grows_is_arranged_once() -> None:
    chat = plain_chat([2] * 200)
    options = WindowOptions(max_messages=20, slack=0)
    tail = Tail()
    anew = 0
    before = None
    for end in range(40, 401):
        read = chat.turns[end - 36 : end]
        info = replace(chat.info, last_id=read[-1].id)
        assert messages(info, read, options, View(), tail)
        arranged, _ = tail.arranged(info, read, "result")
        anew += arranged is not before
        before = arranged
    assert anew <= 5  # of 361: once what is kept is several times what is read


def test_what_is_kept_of_windows_is_bounded() -> None:
    tails = Tails()
    for number in range(5000):
        tails.of(f"test:{number}", turns=100)
    assert 1 < len(tails._tails) <= KEPT_TURNS / 200
    assert tails._weight == sum(tail.weight for tail in tails._tails.values())
    first = next(iter(tails._tails))
    tails.of(first, turns=100)
    tails.of("test:another", turns=100)
    assert first in tails._tails  # it was used last but one
    for name in list(tails._tails):
        tails.forget(name)
    tails.forget("test:nobody")
    assert tails._weight == 0


@pytest.mark.anyio
async def test_nothing_of_a_forgotten_session_is_kept_in_memory() -> None:
    async with SessionStore("memory:") as store:
        session = store.session("test:1")
        await session.append("user", "my secret")
        await session.get_history()
        assert store.desk.tails._tails
        await store.forget("test:1")
        assert not store.desk.tails._tails


def test_turns_that_were_read_again_are_compared_by_their_values_once(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    compared: list[int] = []
    same = tail_module._are_same

    def counted(turns: list[Turn], known: list[Turn]) -> bool:
        compared.append(len(turns))
        return same(turns, known)

    monkeypatch.setattr(tail_module, "_are_same", counted)
    chat = plain_chat([2] * 20)
    tail, options = Tail(), WindowOptions()
    again = [replace(turn, id=turn.id) for turn in chat.turns]
    for turns in (chat.turns, again, again, again):
        messages(chat.info, turns, options, View(), tail)
    assert compared == [len(again)]
