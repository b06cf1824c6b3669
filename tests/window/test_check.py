"""`check_messages` names each fault once, in a sentence with the message's index."""

from __future__ import annotations

from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from profiles import many
from turnkeep import check_messages

USER = {"role": "user", "content": "Hi"}
ANSWER = {"role": "assistant", "content": "Hello"}
CALL = {"id": "c1", "type": "function", "function": {"name": "f", "arguments": "{}"}}
CALLS = {"role": "assistant", "content": None, "tool_calls": [CALL]}
RESULT = {"role": "tool", "content": "21°", "tool_call_id": "c1"}


def function(**fields: Any) -> dict[str, Any]:
    return {**CALL, "function": {"name": "f", "arguments": "{}", **fields}}


def calling(*calls: Any) -> dict[str, Any]:
    return {**CALLS, "tool_calls": [*calls]}


def user(content: Any) -> dict[str, Any]:
    return {"role": "user", "content": content}


@pytest.mark.parametrize(
    "legal",
    [
        [],
        [{"role": "system", "content": "Be kind."}, USER, ANSWER, USER],
        [{"role": "developer", "content": "Be kind."}, USER],
        [USER, CALLS, RESULT, ANSWER, USER],
        [USER, {**CALLS, "content": ""}, RESULT],
        [USER, {**CALLS, "content": "Let me look."}, {**RESULT, "content": ""}],
        [USER, calling(CALL, {**CALL, "id": "c2"}), {**RESULT, "tool_call_id": "c2"}, RESULT],
        [USER, USER, ANSWER, ANSWER],
        [user([{"type": "text", "text": "Look"}, {"type": "image_url", "image_url": {}}])],
        [USER, {"role": "assistant", "content": [{"type": "refusal", "refusal": "No."}]}],
        [{**USER, "name": "Ada-1_x"}],
    ],
)
def test_a_legal_list_has_no_fault(legal: list[dict[str, Any]]) -> None:
    assert check_messages(legal) == []


@pytest.mark.parametrize(
    ("messages", "fault"),
    [
        (["Hi"], "message 0: it is a str, not a dict"),
        ([USER, {"content": "Hi"}], "message 1: the role None is none of"),
        ([{"role": ["user"], "content": "Hi"}], "message 0: the role ['user'] is none of"),
        ([ANSWER], "message 0: the first message is an assistant's, not a user's"),
        ([USER, RESULT], "message 1: a tool result for 'c1', which no assistant message"),
        ([USER, CALLS, RESULT, RESULT], "message 3: a tool result for 'c1', which no"),
        (
            [USER, CALLS, {**RESULT, "tool_call_id": ["c1"]}, RESULT],
            "message 2: a tool result for ['c1'], which no",
        ),
        ([USER, CALLS], "message 1: the call 'c1' is not answered directly behind it"),
        ([USER, CALLS, USER], "message 1: the call 'c1' is not answered directly behind it"),
        ([USER, CALLS, RESULT, USER], "message 3: a user's message directly behind a tool result"),
        ([USER, {**ANSWER, "tool_calls": []}], "message 1: the tool calls are no list"),
        ([USER, {**ANSWER, "tool_calls": "f"}], "message 1: the tool calls are no list"),
        ([{**USER, "tool_calls": [CALL]}], "message 0: tool calls in a message that is not an"),
        ([USER, calling("f", CALL), RESULT], "message 1: a tool call without an id"),
        ([USER, calling({**CALL, "id": ""}, CALL), RESULT], "message 1: a tool call without an id"),
        ([USER, calling({**CALL, "type": 1}, CALL), RESULT], "message 1: a tool call without an"),
        ([USER, calling(CALL, CALL), RESULT], "message 1: two calls have the id 'c1'"),
        (
            [USER, calling({**CALL, "id": "null"}), {**RESULT, "tool_call_id": "null"}],
            "message 1: a call has the id 'null'",
        ),
        ([USER, calling(function(name="a b")), RESULT], "message 1: the function name 'a b'"),
        ([USER, calling(function(arguments={})), RESULT], "message 1: the arguments of call 'c1'"),
        ([user("")], "message 0: it is empty"),
        ([user(" \n")], "message 0: it is empty"),
        ([user(None)], "message 0: it is empty"),
        ([user([])], "message 0: it is empty"),
        ([USER, {**ANSWER, "content": None}], "message 1: it is empty"),
        ([USER, {**CALLS, "content": " "}, RESULT], "message 1: it is empty"),
        ([USER, CALLS, {**RESULT, "content": None}], "message 2: a tool result without content"),
        ([user(7)], "message 0: the content is neither text nor a list of parts"),
        ([user(["Hi"])], "message 0: a content part that is no dict with a 'type'"),
        ([user([{"type": 7}])], "message 0: a content part that is no dict with a 'type'"),
        ([user([{"type": "text", "text": " "}])], "message 0: an empty text part"),
        ([user([{"type": "text"}])], "message 0: an empty text part"),
        (
            [user([{"type": "sticker"}])],
            "message 0: a content part of type 'sticker', which",
        ),
        ([user([{"type": "image_url"}])], "message 0: an image_url part without its"),
        (
            [{"role": "system", "content": [{"type": "image_url", "image_url": {}}]}],
            "message 0: a content part of type 'image_url', which a system message can't hold",
        ),
        ([user("a\0b")], "message 0: a NUL or a lone surrogate in the content"),
        ([user("a\ud800b")], "message 0: a NUL or a lone surrogate in the content"),
        ([user([{"type": "text", "text": "\0"}])], "message 0: a NUL or a lone surrogate"),
        ([{**USER, "name": "a b"}], "message 0: the name 'a b' does not match"),
        ([{**USER, "name": "x" * 65}], "message 0: the name"),
        ([{**USER, "name": 7}], "message 0: the name 7 does not match"),
    ],
)
def test_each_fault_is_one_sentence_that_names_the_message(messages: Any, fault: str) -> None:
    (sentence,) = check_messages(messages)
    assert sentence.startswith(fault)
    assert "\n" not in sentence


def test_all_faults_are_named() -> None:
    assert len(check_messages([ANSWER, user(""), {**USER, "name": "?"}])) == 3


JUNK = st.sampled_from(
    (
        *(None, True, 7, 0.5, "", "c1", "user", "\0", [], {}, [[]], [None, 7], ["c1"]),
        *({"type": 1}, [{"type": "text", "text": 7}], [{"type": ["text"]}], [USER, "x"]),
        *([{"type": "image_url"}], [CALL, CALL], [{**CALL, "id": {}}], [{"id": ["c1"]}]),
        [function(name=[], arguments=None)],
    )
)
ROLES = st.sampled_from(("user", "assistant", "tool", "system"))
MESSAGE = st.fixed_dictionaries(
    {"role": ROLES | JUNK, "content": JUNK},
    optional={"tool_calls": JUNK, "tool_call_id": JUNK, "name": JUNK},
)


@many(1500)
@given(st.lists(MESSAGE | JUNK, max_size=5))
def test_it_never_raises_on_what_json_can_hold(messages: list[Any]) -> None:
    assert all(sentence.startswith("message ") for sentence in check_messages(messages))
