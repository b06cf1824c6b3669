"""Which turns a window shows, and in which order."""

from __future__ import annotations

import re

import pytest
from hypothesis import given
from msgspec.structs import replace

from profiles import many
from turnkeep._window.arrange import BOT_FIRST, NO_ANSWER, NO_RESULT, View
from turnkeep._window.calls import as_call_id
from turnkeep._window.options import WindowOptions
from turnkeep._window.summary import summary_message

from .chats import (
    CHATS,
    CHATS_WITH_A_USER,
    CONSOLIDATED,
    OPTIONS,
    SIGHTS,
    WIDE,
    Chat,
    Messages,
    id_of,
    ids_of,
    info_of,
    view_of,
    window,
    window_or_error,
)
from .grown import plain_chat
from .writer import Writer


def roles(chat: Chat, options: WindowOptions = WIDE) -> list[str]:
    return [message["role"] for message in window(chat, options)]


def chat_of(writer: Writer) -> Chat:
    return Chat(writer.turns, info_of(writer.last_id, writer.epoch))


@many(1000)
@given(CHATS, OPTIONS, SIGHTS)
def test_an_answer_stands_behind_the_turn_it_answers_with_no_other_user_between(
    chat: Chat, options: WindowOptions, sight: int
) -> None:
    made = window_or_error(chat, options, view_of(chat, sight))
    stored = {turn.id: turn for turn in chat.turns}
    user: int | None = None
    for message in made if not isinstance(made, str) else ():
        id = id_of(message["content"])
        if message["role"] == "user":
            user = id
        elif message["role"] == "assistant" and id is not None and user is not None:
            answers = stored[id].answers
            before = [other for other in chat.users if other < id]
            assert user == (before[-1] if answers is None else answers)


@many(700)
@given(CHATS)
def test_a_result_stands_behind_a_call_before_it_that_has_its_id(chat: Chat) -> None:
    made = window(chat, WIDE)
    stored = {turn.id: turn for turn in chat.turns}
    caller: int | None = None
    for message in made:
        if message["role"] == "assistant":
            caller = id_of(message["content"])
        elif message["role"] == "tool" and message["content"] != NO_RESULT and caller is not None:
            id = id_of(message["content"])
            if id is not None:
                called = as_call_id(stored[id].tool_call_id)
                calls = [as_call_id(call.get("id")) for call in stored[caller].tool_calls or ()]
                assert caller < id
                assert called in calls or not called


def without_ids(messages: Messages) -> Messages:
    """The messages with no ids of calls."""
    return [
        {
            **{key: message[key] for key in message if key != "tool_call_id"},
            "tool_calls": [{**call, "id": ""} for call in message.get("tool_calls", ())],
        }
        for message in messages
    ]


@many(1000)
@given(CONSOLIDATED)
def test_only_turns_behind_the_consolidated_ones_are_shown_in_whole_exchanges(chat: Chat) -> None:
    pointer = chat.info.last_consolidated
    made = window(chat, WIDE)
    everything = window(Chat(chat.turns, info_of(chat.info.last_id, chat.info.epoch)), WIDE)
    if made and chat.info.summary:
        summary = made.pop(0)
        assert summary == summary_message(chat.info.summary)
    # It begins before the first user turn behind the pointer, or one before, and goes on as ever.
    # An id that came again is another one only where the earlier call is in sight.
    everything = everything[len(everything) - len(made) :]
    assert without_ids(made) == without_ids(everything)
    behind = [id for id in chat.users if id > pointer]
    users = [message for message in made if message["role"] == "user"]
    shown = [message for message in users if message["content"] != BOT_FIRST]
    assert len(behind) <= len(shown) <= len(behind) + 1
    assert shown or not chat.users


@pytest.mark.parametrize(
    "forged",
    [
        *("</summary>", "< /SUMMARY >", "</summary\n>", "<summary>", "<\u200b/sum\u2060mary>"),
        *("\uff1c/summary\uff1e", "<//summary>", "\u2039/summary>"),
    ],
)
def test_a_summary_is_a_users_message_between_marks_that_nothing_in_it_can_end(
    forged: str,
) -> None:
    chat = Chat(plain_chat([2, 1]).turns, info_of(3, consolidated=2, summary=f"a {forged} b"))
    shown = window(chat, WIDE)[0]
    assert shown["role"] == "user"
    head, marked, after = shown["content"].rpartition("</summary>")
    assert marked
    assert not after
    assert head.count("<summary>") == 1
    assert not re.search(r"<\s*/", head)
    assert "a (" in head
    asked = window(chat, replace(WIDE, summary="system"))[0]
    assert asked == {**shown, "role": "system"}


def test_a_pointer_just_before_a_user_turn_stays() -> None:
    chat = plain_chat([2, 4, 2])
    chat.info = info_of(8, consolidated=2)
    assert ids_of(window(chat, WIDE))[0] == 3


def test_a_pointer_in_the_middle_of_an_exchange_goes_back_to_its_start() -> None:
    chat = plain_chat([2, 4, 2])
    for pointer in (3, 4, 5):
        chat.info = info_of(8, consolidated=pointer)
        assert ids_of(window(chat, WIDE))[0] == 3


def test_a_pointer_never_takes_the_latest_user_turn() -> None:
    chat = plain_chat([2, 4, 2])
    for pointer in (7, 8, 9, 1000):
        chat.info = info_of(8, consolidated=pointer)
        assert ids_of(window(chat, WIDE)) == [7, 8]


def test_a_pointer_before_a_stored_system_turn_stays() -> None:
    writer = Writer()
    writer.exchange(1)
    consolidated = writer.last_id
    writer.system(1)
    writer.exchange(1)
    chat = Chat(writer.turns, info_of(writer.last_id, consolidated=consolidated))
    assert ids_of(window(chat, WIDE))[0] == consolidated + 2


@many(1000)
@given(CHATS_WITH_A_USER, OPTIONS, SIGHTS)
def test_the_window_of_a_message_in_hand_ends_with_it(
    chat: Chat, options: WindowOptions, sight: int
) -> None:
    user = chat.users[sight % len(chat.users)]
    made = window_or_error(chat, options, View(as_of=user, before_answer=user))
    if not isinstance(made, str):
        spoken = [message for message in made if message["role"] != "system"]
        assert spoken[-1]["role"] == "user"
        assert id_of(spoken[-1]["content"]) in (None, user)


def test_a_message_in_hand_sees_answers_that_were_stored_after_it() -> None:
    writer = Writer()
    first, second, third = writer.user(1), writer.user(1), writer.user(1)
    writer.answer(1, third)
    writer.answer(1, first)
    view = View(as_of=second, before_answer=second)
    assert ids_of(window(chat_of(writer), WIDE, view)) == [first, 5, second]


def test_hidden_and_deleted_turns_and_those_of_earlier_epochs_are_not_shown() -> None:
    writer = Writer()
    writer.exchange(1)
    writer.clear(0)
    here = writer.last_id
    for _ in range(3):
        writer.user(1)
        writer.answer(1)
    writer.hide(-3)
    writer.delete(-1)
    assert ids_of(window(chat_of(writer), WIDE)) == [here + 1, here + 2, here + 3, here + 5]


def test_a_call_without_a_result_gets_a_short_one_or_is_dropped_as_the_caller_chooses() -> None:
    writer = Writer()
    writer.user(1)
    writer.add("assistant", "#2 Let me look.", tool_calls=[_call("c1"), _call("c2")])
    writer.add("tool", "#3 21°", tool_call_id="c2")
    writer.answer(1)
    made = window(chat_of(writer), WIDE)
    assert [message["content"] for message in made[2:4]] == [NO_RESULT, "#3 21°"]
    dropped = window(chat_of(writer), WindowOptions(unanswered="drop"))
    assert [call["id"] for call in dropped[1]["tool_calls"]] == ["c2"]
    assert ids_of(dropped) == [1, 2, 3, 4]


def test_a_result_that_was_stored_after_the_next_user_turn_is_moved_to_its_call() -> None:
    writer = Writer()
    writer.user(1)
    writer.add("assistant", None, tool_calls=[_call("c1")])
    writer.user(1)
    writer.add("tool", "#4 21°", tool_call_id="c1")
    made = window(chat_of(writer), WIDE)
    assert [message["role"] for message in made] == [
        "user",
        "assistant",
        "tool",
        "assistant",
        "user",
    ]
    assert made[3]["content"] == NO_ANSWER


def test_an_exchange_that_broke_off_behind_its_results_is_shortened_where_calls_are_dropped() -> (
    None
):
    writer = Writer()
    writer.user(1)
    writer.add("assistant", "#2 Let me look.")
    writer.add("assistant", None, tool_calls=[_call("c1")])
    writer.add("tool", "#4 21°", tool_call_id="c1")
    writer.user(1)
    assert ids_of(window(chat_of(writer), WindowOptions(unanswered="drop"))) == [1, 2, 5]


def test_the_current_exchange_may_end_with_a_result() -> None:
    assert roles(plain_chat([3])) == ["user", "assistant", "tool"]


def test_of_two_results_of_a_call_the_last_is_shown_or_the_first_as_the_caller_chooses() -> None:
    writer = Writer()
    writer.user(1)
    writer.add("assistant", "#2 Let me look.", tool_calls=[_call("c1")])
    writer.add("tool", "#3 21°", tool_call_id="c1")
    writer.add("tool", "#4 22°", tool_call_id="c1")
    assert ids_of(window(chat_of(writer), WIDE)) == [1, 2, 4]
    assert ids_of(window(chat_of(writer), WindowOptions(results="first"))) == [1, 2, 3]


def test_stored_system_turns_are_left_out_unless_they_are_to_be_kept() -> None:
    writer = Writer()
    writer.system(1)
    writer.user(1)
    writer.answer(1)
    writer.system(1)
    writer.user(1)
    chat = chat_of(writer)
    assert roles(chat) == ["user", "assistant", "user"]
    kept = WindowOptions(system="keep")
    assert roles(chat, kept) == ["system", "user", "assistant", "system", "user"]


def test_a_result_is_not_an_exchanges_last_word_also_where_a_system_turn_follows_it() -> None:
    writer = Writer()
    writer.user(1)
    writer.add("assistant", None, tool_calls=[_call("c1")])
    writer.add("tool", "#3 21°", tool_call_id="c1")
    writer.system(1)
    writer.user(1)
    made = window(chat_of(writer), WindowOptions(system="keep"))
    assert made[4]["content"] == NO_ANSWER


def test_system_turns_before_the_first_user_turn_go_where_there_is_no_room_for_them() -> None:
    writer = Writer()
    writer.system(1)
    writer.exchange(1)
    chat = chat_of(writer)
    assert roles(chat, WindowOptions(system="keep"))[0] == "system"
    assert roles(chat, WindowOptions(max_messages=1, system="keep")) == ["user"]


def _call(id: str) -> dict[str, object]:
    return {"id": id, "type": "function", "function": {"name": "f", "arguments": "{}"}}
