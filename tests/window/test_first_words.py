"""What the bot says first, and what stands around a blank message, reaches the model."""

from __future__ import annotations

from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from profiles import many
from turnkeep import SessionStore, Turn, check_messages
from turnkeep._window.arrange import BOT_FIRST, View
from turnkeep._window.message import EMPTY_MESSAGE
from turnkeep._window.options import WindowOptions

from .chats import CHATS, WIDE, Chat, Messages, info_of, says_something, window, words
from .grown import calls as model_calls
from .grown import cuts
from .rules import refused_by_mistral, refused_by_openai
from .writer import NOW, Writer

PLACEHOLDER = {"role": "user", "content": BOT_FIRST}


def chat_of(*turns: tuple[str, str]) -> Chat:
    writer = Writer()
    for role, text in turns:
        writer.add(role, text)
    return Chat(writer.turns, info_of(writer.last_id))


def contents(messages: Messages) -> list[str]:
    assert check_messages(messages) == []
    return [message["content"] for message in messages]


def test_a_greeting_stands_behind_a_placeholder_that_makes_it_legal() -> None:
    chat = chat_of(("assistant", "Hello!"), ("user", "Hi"), ("assistant", "How are you?"))
    made = window(chat, WIDE)
    assert contents(made) == [BOT_FIRST, "Hello!", "Hi", "How are you?"]
    assert made[0] == PLACEHOLDER
    assert refused_by_openai(made) == refused_by_mistral(made) == ""


def test_a_greeting_alone_is_a_window() -> None:
    assert contents(window(chat_of(("assistant", "Hello!")), WIDE)) == [BOT_FIRST, "Hello!"]


def test_what_the_bot_calls_before_any_user_speaks_is_shown_with_its_results() -> None:
    writer = Writer()
    call = {"id": "c1", "type": "function", "function": {"name": "weather", "arguments": "{}"}}
    writer.add("assistant", tool_calls=[call])
    writer.add("tool", "21°", tool_call_id="c1")
    writer.add("assistant", "Good morning, it is 21°.")
    made = window(Chat(writer.turns, info_of(3)), WIDE)
    assert [message["role"] for message in made] == ["user", "assistant", "tool", "assistant"]
    assert check_messages(made) == []


async def _first_words_after_clear() -> Messages:
    async with SessionStore("memory:") as store:
        session = store.session("test:1")
        await session.append("user", "Hi")
        await session.clear()
        await session.append("assistant", "All is forgotten.")
        await session.append("user", "Good")
        return await session.get_history()


@pytest.mark.anyio
async def test_the_first_words_after_clear_are_shown() -> None:
    assert contents(await _first_words_after_clear()) == [BOT_FIRST, "All is forgotten.", "Good"]


def test_the_opening_is_cut_as_a_whole_like_any_exchange() -> None:
    chat = chat_of(("assistant", "a"), ("user", "b"), ("assistant", "c"), ("user", "d"))
    assert contents(window(chat, WindowOptions(max_messages=5, slack=0))) == [
        *(BOT_FIRST, "a", "b", "c", "d"),
    ]
    assert contents(window(chat, WindowOptions(max_messages=3, slack=0))) == ["b", "c", "d"]


REMINDED = (
    *(("user", "Hi"), ("assistant", "Hello"), ("assistant", "Shall I order pizza?")),
    *(("user", "yes"), ("assistant", "Done")),
)


def test_what_the_bot_said_by_itself_before_the_first_user_turn_of_a_cut_is_shown() -> None:
    made = window(chat_of(*REMINDED), WindowOptions(max_messages=4, slack=0))
    assert contents(made) == [BOT_FIRST, "Shall I order pizza?", "yes", "Done"]


def test_an_answer_does_not_stand_before_the_first_user_turn_of_a_cut() -> None:
    chat = chat_of(*REMINDED[:2], *REMINDED[3:])
    assert contents(window(chat, WindowOptions(max_messages=3, slack=0))) == ["yes", "Done"]


def test_a_reminder_before_a_cut_is_left_out_where_there_is_no_room() -> None:
    chat = chat_of(*REMINDED)
    assert contents(window(chat, WindowOptions(max_messages=3, slack=0))) == ["yes", "Done"]
    words = WindowOptions(max_tokens=16, count_tokens=lambda text: len(text.split()), slack=0)
    assert contents(window(chat, words)) == ["yes", "Done"]


@pytest.mark.parametrize(
    ("options", "most"),
    [
        (WindowOptions(max_messages=20), 28),
        (WindowOptions(max_tokens=240, count_tokens=words), 28),
    ],
)
def test_with_reminders_a_window_is_cut_in_steps_too(options: WindowOptions, most: int) -> None:
    turns: list[Turn] = []
    for number in range(120):
        said = ["user", "assistant", "assistant"] if number % 3 == 0 else ["user", "assistant"]
        for role in said:
            id = len(turns) + 1
            turns.append(Turn(id=id, role=role, content=f"#{id} word word word", time=NOW))  # type: ignore[arg-type]
    made = [*model_calls(Chat(turns, info_of(len(turns))), options)]
    assert len(cuts(made)) <= most
    assert any(call.window[0] == PLACEHOLDER for call in made)
    assert all(check_messages(call.window) == [] for call in made)


def test_a_blank_message_is_shown_by_a_short_placeholder_and_keeps_its_answer() -> None:
    chat = chat_of(("user", ""), ("assistant", "Shall I order pizza?"), ("user", "yes"))
    assert contents(window(chat, WIDE)) == [EMPTY_MESSAGE, "Shall I order pizza?", "yes"]


@pytest.mark.parametrize("blank", ["", " \n", [], [{"type": "text", "text": " "}]])
def test_the_window_of_a_blank_message_in_hand_ends_with_it(blank: Any) -> None:
    writer = Writer()
    writer.add("user", "Hi")
    writer.add("assistant", "Hello")
    id = writer.add("user", blank).id
    view = View(as_of=id, before_answer=id)
    made = window(Chat(writer.turns, info_of(3)), WIDE, view)
    assert contents(made) == ["Hi", "Hello", EMPTY_MESSAGE]


@pytest.mark.anyio
async def test_a_bare_mention_is_answered_where_it_stands() -> None:
    async with SessionStore("memory:") as store:
        session = store.session("test:1")
        await session.append("user", "Hi")
        bare = await session.receive("", source_id="m2")
        async with bare.reply() as reply:
            assert contents(await reply.get_history()) == ["Hi", EMPTY_MESSAGE]
            reply.add_text("Yes?")
        assert contents(await session.get_history()) == ["Hi", EMPTY_MESSAGE, "Yes?"]


@many(1000)
@given(CHATS, st.booleans())
def test_a_window_that_holds_all_is_empty_only_if_nothing_is_left_to_show(
    chat: Chat, drop: bool
) -> None:
    chat = Chat(chat.turns, info_of(chat.info.last_id, chat.info.epoch))
    options = WindowOptions(max_messages=100_000, unanswered="drop" if drop else "result")
    spoke = any(
        turn.role == "assistant" and turn.answers is None and says_something(turn.content)
        for turn in chat.turns
        if turn.epoch == chat.info.epoch and not turn.hidden
    )
    made = window(chat, options)
    assert made or not (chat.users or spoke)
    if made and not chat.users:
        assert made[0] == PLACEHOLDER
