"""The shape of OpenAI's Responses API: its rules, restated here, and what becomes of what."""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any

from hypothesis import given

from profiles import many
from turnkeep.shapes import from_shape, to_shape

from .chats import CHATS, OPTIONS, Chat, Messages, window_or_error
from .test_shapes import LISTS, PDF, PNG, bare

REASONING = {"type": "reasoning", "id": "rs_1", "summary": [], "encrypted_content": "b3Bh"}


def call(id: str) -> dict[str, Any]:
    return {"id": id, "type": "function", "function": {"name": "f", "arguments": "{}"}}


def refusals(items: list[dict[str, Any]]) -> Iterator[str]:
    """Why the API would answer the items with a 400."""
    asked: list[str] = []
    ids = [item["id"] for item in items if "id" in item]
    if len({*ids}) < len(ids):
        yield "duplicate items"
    for index, item in enumerate(items):
        if item["type"] == "message":
            if "name" in item:
                yield f"{index}: unknown parameter: 'name'"
            if not item.get("id", "msg_").startswith("msg"):
                yield f"{index}: expected an ID that begins with 'msg'"
            kinds = {part["type"] for part in item["content"] if isinstance(part, dict)}
            if kinds - ANSWERS and item["role"] == "assistant":
                yield f"{index}: supported values are: 'output_text' and 'refusal'"
            if kinds - INPUTS and item["role"] == "user":
                yield f"{index}: supported values are: {INPUTS}"
            if kinds - {"input_text"} and item["role"] in ("system", "developer"):
                yield f"{index}: supported values are: 'input_text'"
            if not item["content"]:
                yield f"{index}: it is empty"
        elif item["type"] == "function_call":
            if len(item["call_id"]) > 64:
                yield f"{index}: call_id: string too long"
            if item["call_id"] in asked:
                yield f"{index}: a call_id used twice"
            asked.append(item["call_id"])
        elif item["type"] == "function_call_output" and item["call_id"] not in asked:
            yield f"{index}: no tool call found for function call output"
    answered = [item["call_id"] for item in items if item["type"] == "function_call_output"]
    if sorted(asked) != sorted(answered):
        yield "no tool output found for function call"


ANSWERS = {"output_text", "refusal"}
INPUTS = {"input_text", "input_image", "input_file"}


@many(500)
@given(LISTS)
def test_a_legal_list_makes_items_that_the_api_takes(messages: Messages) -> None:
    assert [*refusals(to_shape(messages, "responses"))] == []


@many(300)
@given(CHATS, OPTIONS)
def test_a_window_over_any_stored_turns_makes_items_that_the_api_takes(
    chat: Chat, options: Any
) -> None:
    window = window_or_error(chat, options)
    if isinstance(window, str):
        return
    assert [*refusals(to_shape(window, "responses"))] == []


def test_the_rules_find_what_the_api_refuses() -> None:
    """That the checks above can fail."""
    part = {"type": "input_text", "text": "Hi"}
    message = {"type": "message", "role": "assistant", "name": "x", "id": "a", "content": [part]}
    output = {"type": "function_call_output", "call_id": "c", "output": ""}
    assert [*refusals([message, output])] == [
        "0: unknown parameter: 'name'",
        "0: expected an ID that begins with 'msg'",
        "0: supported values are: 'output_text' and 'refusal'",
        "1: no tool call found for function call output",
        "no tool output found for function call",
    ]


def test_messages_calls_and_results_are_items_of_one_list() -> None:
    messages: Messages = [
        {"role": "system", "content": "Be kind."},
        {"role": "user", "content": "Where?", "name": "Ada"},
        {"role": "assistant", "content": "I look.", "tool_calls": [call("c1")]},
        {"role": "tool", "content": "Ulm", "tool_call_id": "c1"},
    ]
    assert to_shape(messages, "responses") == [
        {"type": "message", "role": "system", "content": "Be kind."},
        {"type": "message", "role": "user", "content": "Ada: Where?"},
        {"type": "message", "role": "assistant", "content": "I look."},
        {"type": "function_call", "call_id": "c1", "name": "f", "arguments": "{}"},
        {"type": "function_call_output", "call_id": "c1", "output": "Ulm"},
    ]


def test_consecutive_users_stay_apart() -> None:
    messages: Messages = [{"role": "user", "content": "Hi"}, {"role": "user", "content": "Hello"}]
    assert from_shape(to_shape(messages, "responses"), "responses") == messages


def test_pictures_and_files_are_parts_and_come_back() -> None:
    content = [
        {"type": "text", "text": "Look:"},
        {"type": "image_url", "image_url": {"url": PNG, "detail": "low"}},
        {"type": "image_url", "image_url": {"url": "https://example.org/cat.png"}},
        {"type": "file", "file": {"filename": "a.pdf", "file_data": PDF}},
        {"type": "file", "file": {"file_id": "file-1"}},
    ]
    messages: Messages = [{"role": "user", "content": content}]
    items = to_shape(messages, "responses")
    assert [part["type"] for part in items[0]["content"]] == [
        "input_text",
        "input_image",
        "input_image",
        "input_file",
        "input_file",
    ]
    assert from_shape(items, "responses") == messages


def test_a_refusal_is_a_part_of_an_output_message_and_comes_back() -> None:
    refusal = {"type": "refusal", "refusal": "I won't."}
    messages: Messages = [
        {"role": "user", "content": "Do it."},
        {"role": "assistant", "content": [refusal]},
    ]
    items = to_shape(messages, "responses")
    assert items[1] == {
        "type": "message",
        "role": "assistant",
        "id": "msg_1",
        "status": "completed",
        "content": [refusal],
    }
    assert from_shape(items, "responses") == messages


def test_reasoning_goes_before_what_it_led_to_and_comes_back() -> None:
    messages: Messages = [
        {"role": "user", "content": "Where?"},
        {
            "role": "assistant",
            "content": "I look.",
            "phase": "commentary",
            "reasoning_items": [REASONING],
        },
        {
            "role": "assistant",
            "content": None,
            "tool_calls": [call("c1"), call("c2")],
            "reasoning_items": [{**REASONING, "id": "rs_2"}],
        },
        {"role": "tool", "content": "Ulm", "tool_call_id": "c1"},
        {"role": "tool", "content": "Ulm", "tool_call_id": "c2"},
    ]
    items = to_shape(messages, "responses")
    assert [item["type"] for item in items[1:6]] == [
        "reasoning",
        "message",
        "reasoning",
        "function_call",
        "function_call",
    ]
    assert to_shape(from_shape(items, "responses"), "responses") == items


def test_what_is_no_reasoning_item_is_left_out() -> None:
    junk: list[Any] = ["x", {}, {"type": "reasoning"}, {"type": "message"}]
    answer = {"role": "assistant", "content": "Hi", "reasoning_items": junk}
    items = to_shape([{"role": "user", "content": "Hi"}, answer], "responses")
    assert [item["type"] for item in items] == ["message", "message"]


def test_an_answer_of_the_api_comes_back_with_its_calls_together() -> None:
    """Results follow all calls of a message: parted, the first would stay unanswered."""
    message = {"type": "message", "id": "msg_9", "role": "assistant", "status": "completed"}
    text = {"type": "output_text", "annotations": []}
    texts: list[Any] = [{**text, "text": "One"}, {**text, "text": "Two"}]
    asking = {"type": "function_call", "name": "f", "arguments": "{}"}
    items: list[dict[str, Any]] = [
        {**message, "content": texts[:1]},
        {**asking, "call_id": "c1"},
        {**message, "content": texts[1:]},
        {**asking, "call_id": "c2"},
        {"type": "function_call_output", "call_id": "c1", "output": "Ulm"},
        {"type": "function_call_output", "call_id": "c2", "output": "Ulm"},
    ]
    content = [{"type": "text", "text": "One"}, {"type": "text", "text": "Two"}]
    back = from_shape(items, "responses")
    assert to_shape(back, "responses") == items
    assert bare(back) == [
        {"role": "assistant", "content": content, "tool_calls": [call("c1"), call("c2")]},
        {"role": "tool", "content": "Ulm", "tool_call_id": "c1"},
        {"role": "tool", "content": "Ulm", "tool_call_id": "c2"},
    ]


def test_a_short_message_without_a_type_is_one() -> None:
    items = [{"role": "user", "content": [{"type": "input_text", "text": "Hi"}]}]
    back = from_shape(items, "responses")
    assert to_shape(back, "responses") == items
    assert bare(back) == [{"role": "user", "content": "Hi"}]


def test_a_file_behind_a_url_comes_back_in_words() -> None:
    file = {"type": "input_file", "file_url": "https://example.org/a.pdf"}
    items = [{"role": "user", "content": [file]}]
    back = from_shape(items, "responses")
    assert to_shape(back, "responses") == items
    assert bare(back) == [{"role": "user", "content": "[file: https://example.org/a.pdf]"}]


def test_a_file_without_data_or_id_is_told_by_its_name() -> None:
    content = [{"type": "file", "file": {"filename": "a.pdf"}}]
    assert to_shape([{"role": "user", "content": content}], "responses") == [
        {"type": "message", "role": "user", "content": "[file: a.pdf]"}
    ]


def test_a_detail_that_is_the_default_is_left_out() -> None:
    image = {"url": PNG, "detail": "auto"}
    messages: Messages = [{"role": "user", "content": [{"type": "image_url", "image_url": image}]}]
    assert from_shape(to_shape(messages, "responses"), "responses") == [
        {"role": "user", "content": [{"type": "image_url", "image_url": {"url": PNG}}]}
    ]


def test_items_of_any_type_come_back_in_their_order() -> None:
    said = {"type": "output_text", "text": "It rains.", "annotations": [{"type": "odd"}]}
    message = {"type": "message", "id": "msg_1", "role": "assistant", "status": "completed"}
    items: list[dict[str, Any]] = [
        {"type": "message", "role": "user", "content": "Hi"},
        {"type": "reasoning", "id": "rs_1", "summary": []},
        {"type": "function_call", "id": "fc_1", "call_id": "c1", "name": "f", "arguments": "{}"},
        {"type": "telepathy_call", "id": "tp_1", "waves": 7},
        {"type": "reasoning", "id": "rs_2", "summary": []},
        {"type": "function_call", "id": "fc_2", "call_id": "c2", "name": "f", "arguments": "{}"},
        {**message, "content": [said], "phase": "commentary"},
        {"type": "function_call_output", "call_id": "c1", "output": "1"},
        {"type": "function_call_output", "call_id": "c2", "output": "2", "id": "fo_2"},
        {"type": "compaction", "id": "cmp_1", "encrypted_content": "b3Bh"},
    ]
    assert to_shape(from_shape(items, "responses"), "responses") == items


def test_nothing_that_the_client_added_goes_out() -> None:
    dumped: list[dict[str, Any]] = [
        {"type": "reasoning", "id": "rs_1", "summary": [], "content": None, "status": None},
        {
            "type": "function_call",
            "call_id": "c1",
            "name": "f",
            "arguments": "{}",
            "id": "fc_1",
            "status": None,
            "parsed_arguments": None,
        },
        {"type": "function_call_output", "call_id": "c1", "output": "1", "id": None},
    ]
    assert to_shape(from_shape(dumped, "responses"), "responses") == [
        {"type": "reasoning", "id": "rs_1", "summary": []},
        {"type": "function_call", "call_id": "c1", "name": "f", "arguments": "{}", "id": "fc_1"},
        {"type": "function_call_output", "call_id": "c1", "output": "1"},
    ]


def test_a_call_of_a_built_in_tool_goes_back_with_its_output_alone() -> None:
    """Its window may hold a result that the API would not take for it."""
    asked: dict[str, Any] = {"type": "shell_call", "call_id": "c1", "action": {"commands": ["ls"]}}
    output: dict[str, Any] = {"type": "shell_call_output", "call_id": "c1", "output": []}
    both = [asked, output]
    assert to_shape(from_shape(both, "responses"), "responses") == both
    back = from_shape([asked], "responses")
    back.append({"role": "tool", "tool_call_id": "c1", "content": "(no result)"})
    kinds = [item["type"] for item in to_shape(back, "responses")]
    assert kinds == ["function_call", "function_call_output"]
