"""Google's shape: its rules, restated here from its documents, and what becomes of what."""

from __future__ import annotations

import json
from collections.abc import Iterator
from typing import Any

import pytest
from hypothesis import given

from profiles import many
from turnkeep import WindowError
from turnkeep.shapes import from_shape, to_shape

from .chats import CHATS, OPTIONS, Chat, Messages, window_or_error
from .test_shapes import LISTS, PDF, PNG, bare

KINDS = {"text", "inline_data", "file_data", "function_call", "function_response"}


def call(id: str, arguments: str = "{}", name: str = "f", **fields: Any) -> dict[str, Any]:
    function = {"name": name, "arguments": arguments}
    return {"id": id, "type": "function", "function": function, **fields}


def signed(signature: str) -> dict[str, Any]:
    """Where Google's chat-completions endpoint puts the signature of a thought."""
    return {"extra_content": {"google": {"thought_signature": signature}}}


def refusals(window: Any) -> Iterator[str]:
    """Why the API would answer the window with a 400."""
    asked: list[tuple[str, str]] = []
    for index, content in enumerate(window["contents"]):
        if content["role"] != ("user", "model")[index % 2]:
            yield f"{index}: the first is a user's, and they alternate"
        parts = content["parts"]
        for part in parts:
            if len(KINDS & {*part}) != 1:
                yield f"{index}: a part of {[*part]}"
            if not part.get("text", "…").strip():
                yield f"{index}: an empty text"
            if not part.get("inline_data", {}).get("data", b"-"):
                yield f"{index}: no bytes"
            if not isinstance(part.get("function_call", {}).get("args", {}), dict):
                yield f"{index}: arguments that are no object"
            if content["role"] == "model" and not {"text", "function_call"} & {*part}:
                yield f"{index}: a medium of the model's"
        results = [part.get("function_response", {}) for part in parts[: len(asked)]]
        given_back = sum("function_response" in part for part in parts)
        if given_back != len(asked) or {*pairs(results)} != {*asked}:
            yield f"{index}: the number of function response parts is equal to the calls'"
        asked = pairs(part["function_call"] for part in parts if "function_call" in part)
    if asked:
        yield "the last calls have no results"


def pairs(calls: Any) -> list[tuple[str, str]]:
    return [(one.get("id", ""), one.get("name", "")) for one in calls]


@many(500)
@given(LISTS)
def test_a_legal_list_makes_a_window_that_the_api_takes(messages: Messages) -> None:
    assert [*refusals(to_shape(messages, "google"))] == []


@many(300)
@given(CHATS, OPTIONS)
def test_a_window_over_any_stored_turns_is_one_that_the_api_takes(chat: Chat, options: Any) -> None:
    window = window_or_error(chat, options)
    if isinstance(window, str) or not window:
        return
    assert [*refusals(to_shape(window, "google"))] == []


def test_the_rules_find_what_the_api_refuses() -> None:
    """That the checks above can fail."""
    asking = {"function_call": {"id": "c1", "name": "f", "args": {}}}
    window = {"contents": [{"role": "model", "parts": [asking, {"text": " "}]}]}
    assert [*refusals(window)] == [
        "0: the first is a user's, and they alternate",
        "0: an empty text",
        "the last calls have no results",
    ]


def test_calls_and_results_are_parts_that_name_the_function() -> None:
    messages: Messages = [
        {"role": "system", "content": "Be kind."},
        {"role": "user", "content": "Where?", "name": "Ada"},
        {"role": "assistant", "content": None, "tool_calls": [call("c1", '{"a":1}', "find")]},
        {"role": "tool", "content": "Ulm", "tool_call_id": "c1"},
    ]
    assert to_shape(messages, "google") == {
        "system_instruction": {"parts": [{"text": "Be kind."}]},
        "contents": [
            {"role": "user", "parts": [{"text": "Ada: Where?"}]},
            {
                "role": "model",
                "parts": [
                    {
                        "function_call": {"id": "c1", "name": "find", "args": {"a": 1}},
                        "thought_signature": b"skip_thought_signature_validator",
                    }
                ],
            },
            {
                "role": "user",
                "parts": [
                    {
                        "function_response": {
                            "id": "c1",
                            "name": "find",
                            "response": {"output": "Ulm"},
                        }
                    }
                ],
            },
        ],
    }


def test_bytes_are_inline_a_url_is_file_data_and_they_come_back() -> None:
    content = [
        {"type": "image_url", "image_url": {"url": PNG}},
        {"type": "image_url", "image_url": {"url": "https://example.org/cat.webp?size=1"}},
        {"type": "image_url", "image_url": {"url": "https://example.org/cat"}},
        {"type": "input_audio", "input_audio": {"data": "SUQz", "format": "mp3"}},
        {"type": "file", "file": {"file_data": PDF}},
    ]
    messages: Messages = [{"role": "user", "content": content}]
    window = to_shape(messages, "google")
    assert window["contents"][0]["parts"] == [
        {"inline_data": {"mime_type": "image/png", "data": b"\x89PNG\r\n\x1a\n"}},
        {
            "file_data": {
                "file_uri": "https://example.org/cat.webp?size=1",
                "mime_type": "image/webp",
            }
        },
        {"file_data": {"file_uri": "https://example.org/cat", "mime_type": "image/jpeg"}},
        {"inline_data": {"mime_type": "audio/mp3", "data": b"ID3"}},
        {"inline_data": {"mime_type": "application/pdf", "data": b"%PDF-1.7\n"}},
    ]
    assert from_shape(window, "google") == messages


def test_types_are_written_in_one_way() -> None:
    content = [
        {"type": "image_url", "image_url": {"url": "data:IMAGE/JPG;base64,/9j/"}},
        {"type": "input_audio", "input_audio": {"data": "SUQz", "format": "mpeg"}},
        {"type": "input_audio", "input_audio": {"data": "UklG", "format": "x-wav"}},
    ]
    parts = to_shape([{"role": "user", "content": content}], "google")["contents"][0]["parts"]
    types = [part["inline_data"]["mime_type"] for part in parts]
    assert types == ["image/jpeg", "audio/mp3", "audio/wav"]


@pytest.mark.parametrize(
    "url",
    [
        "data:image/png;base64,SUQ",
        "data:image/png;base64,SU=Q",
        "data:image/png;base64,",
        "data:image/png,SUQz",
        "data:image/png;charset=x,SUQz",
        "data:png;base64,SUQz",
        "data:",
        "ftp://a.org/b.png",
        "",
    ],
)
def test_what_is_no_picture_is_told_in_words(url: str) -> None:
    content = [{"type": "image_url", "image_url": {"url": url}}]
    parts = to_shape([{"role": "user", "content": content}], "google")["contents"][0]["parts"]
    assert parts == [{"text": "[image]" if url[:3] != "ftp" else f"[image: {url}]"}]


def test_a_blank_result_stays_as_it_is() -> None:
    messages: Messages = [
        {"role": "user", "content": "Where?"},
        {"role": "assistant", "content": None, "tool_calls": [call("c1")]},
        {"role": "tool", "content": " \n", "tool_call_id": "c1"},
    ]
    assert from_shape(to_shape(messages, "google"), "google") == messages


def test_signatures_go_back_to_their_parts_and_come_back() -> None:
    messages: Messages = [
        {"role": "user", "content": "Where?"},
        {
            "role": "assistant",
            "content": "I look.",
            "tool_calls": [call("c1", **signed("YWJj")), call("c2")],
            **signed("ZGVm"),
        },
        {"role": "tool", "content": "Ulm", "tool_call_id": "c1"},
        {"role": "tool", "content": "Ulm", "tool_call_id": "c2"},
    ]
    window = to_shape(messages, "google")
    signatures = [part.get("thought_signature") for part in window["contents"][1]["parts"]]
    assert signatures == [b"def", b"abc", None]
    assert to_shape(from_shape(window, "google"), "google") == window


def test_the_signature_of_a_message_without_text_is_that_of_its_first_call() -> None:
    messages: Messages = [
        {"role": "user", "content": "Where?"},
        {"role": "assistant", "content": None, "tool_calls": [call("c1")], **signed("YWJj")},
        {"role": "tool", "content": "Ulm", "tool_call_id": "c1"},
    ]
    asking = to_shape(messages, "google")["contents"][1]["parts"][0]
    assert asking["thought_signature"] == b"abc"


def test_the_signature_of_a_message_is_on_its_last_text_and_else_on_its_first_call() -> None:
    texts = [{"type": "text", "text": text} for text in ("I look.", "Now.")]
    calls = {"content": None, "tool_calls": [call("c1"), call("c2")]}
    for said, expected in (
        ({"content": texts}, [None, b"abc"]),
        (calls, [b"abc", None]),
        ({**calls, "content": texts}, [None, b"abc", None, None]),
    ):
        messages: Messages = [
            {"role": "user", "content": "Where?"},
            {"role": "assistant", **said, **signed("YWJj")},
        ]
        parts = to_shape(messages, "google")["contents"][1]["parts"]
        assert [part.get("thought_signature") for part in parts] == expected


@pytest.mark.parametrize(
    "response", [{"output": "Ulm", "zip": 89073}, {"output": {"city": "Ulm"}}, {"zip": 89073}]
)
def test_a_result_with_more_than_its_output_comes_back_whole(response: dict[str, Any]) -> None:
    asking = {"role": "model", "parts": [{"function_call": {"id": "c1", "name": "f"}}]}
    result = {"function_response": {"id": "c1", "name": "f", "response": response}}
    window: dict[str, Any] = {"contents": [asking, {"role": "user", "parts": [result]}]}
    back = from_shape(window, "google")
    assert json.loads(back[-1]["content"]) == response
    assert to_shape(back, "google")["contents"][-1]["parts"] == [result]


def test_a_signature_that_is_no_base64_is_left_out() -> None:
    messages: Messages = [
        {"role": "user", "content": "Hi"},
        {"role": "assistant", "content": "Hi", **signed("no base64!")},
    ]
    assert to_shape(messages, "google")["contents"][1]["parts"] == [{"text": "Hi"}]


def test_calls_without_ids_get_some_and_results_go_to_the_call_of_their_name() -> None:
    contents: list[dict[str, Any]] = [
        {"parts": [{"text": "Where?"}]},
        {
            "role": "model",
            "parts": [{"function_call": {"name": "f"}}, {"function_call": {"name": "g"}}],
        },
        {
            "role": "user",
            "parts": [
                {"function_response": {"name": "g", "response": {"error": "none"}}},
                {"function_response": {"name": "f", "response": {"output": "Ulm"}}},
            ],
        },
    ]
    back = from_shape({"contents": contents}, "google")
    assert to_shape(back, "google")["contents"][1:] == contents[1:]
    assert bare(back) == [
        {"role": "user", "content": "Where?"},
        {
            "role": "assistant",
            "content": None,
            "tool_calls": [call("call_1"), call("call_2", name="g")],
        },
        {"role": "tool", "content": '{"error":"none"}', "tool_call_id": "call_2"},
        {"role": "tool", "content": "Ulm", "tool_call_id": "call_1"},
    ]


def test_a_result_that_no_content_calls_is_an_error_that_says_which() -> None:
    result = {"function_response": {"name": "find", "response": {}}}
    with pytest.raises(WindowError, match=r"content 0.*'find'"):
        from_shape({"contents": [{"role": "user", "parts": [result]}]}, "google")


def test_a_thought_of_the_model_is_left_out_elsewhere() -> None:
    parts = [{"text": "hm", "thought": True}, {"text": "Ulm.", "thought": None}]
    back = from_shape({"contents": [{"role": "model", "parts": parts}]}, "google")
    assert bare(back) == [{"role": "assistant", "content": "Ulm."}]


def test_an_instruction_may_be_a_text() -> None:
    window: Any = {"system_instruction": "Be kind.", "contents": []}
    back = from_shape(window, "google")
    assert bare(back) == [{"role": "system", "content": "Be kind."}]
    assert to_shape(back, "google") == window


def test_a_file_that_is_no_picture_on_the_web_comes_back_in_words() -> None:
    uris = {"gs://a/b.png": "image/png", "https://example.org/a.pdf": "application/pdf"}
    parts = [{"file_data": {"file_uri": uri, "mime_type": uris[uri]}} for uri in uris]
    window = {"contents": [{"role": "user", "parts": parts}]}
    back = from_shape(window, "google")
    assert to_shape(back, "google") == window
    assert bare(back) == [
        {
            "role": "user",
            "content": [
                {"type": "text", "text": "[file: gs://a/b.png]"},
                {"type": "text", "text": "[file: https://example.org/a.pdf]"},
            ],
        }
    ]


def test_bytes_and_signatures_may_be_written_in_either_base64() -> None:
    parts = [
        {"inline_data": {"mime_type": "image/png", "data": "-_8="}},
        {"inline_data": {"mime_type": "image/png", "data": "+/8="}},
    ]
    back = from_shape({"contents": [{"role": "user", "parts": parts}]}, "google")
    assert [part["image_url"]["url"] for part in back[0]["content"]] == [
        "data:image/png;base64,+/8="
    ] * 2


def test_a_result_belongs_to_the_call_of_its_id() -> None:
    asking = [{"function_call": {"id": id, "name": "f"}} for id in ("c1", "c2")]
    results = [
        {"function_response": {"id": id, "name": "f", "response": {"output": id}}}
        for id in ("c2", "c1")
    ]
    contents = [{"role": "model", "parts": asking}, {"role": "user", "parts": results}]
    back = from_shape({"contents": contents}, "google")
    assert [(one["tool_call_id"], one["content"]) for one in back[1:]] == [
        ("c2", "c2"),
        ("c1", "c1"),
    ]


def test_results_without_ids_go_to_the_calls_in_their_order() -> None:
    asking = [{"function_call": {"name": "f"}}, {"function_call": {"name": "f"}}]
    results = [{"function_response": {"name": "f", "response": {"output": text}}} for text in "ab"]
    contents = [{"role": "model", "parts": asking}, {"role": "user", "parts": results}]
    back = from_shape({"contents": contents}, "google")
    assert [(one["tool_call_id"], one["content"]) for one in back[1:]] == [
        ("call_1", "a"),
        ("call_2", "b"),
    ]


def test_a_call_of_its_own_signature_keeps_it() -> None:
    asked = call("c1", **signed("YWJj"))
    messages: Messages = [
        {"role": "user", "content": "Where?"},
        {"role": "assistant", "content": None, "tool_calls": [asked], **signed("ZGVm")},
        {"role": "tool", "content": "Ulm", "tool_call_id": "c1"},
    ]
    asking = to_shape(messages, "google")["contents"][1]["parts"][0]
    assert asking["thought_signature"] == b"abc"


def test_the_json_of_the_api_is_taken_too() -> None:
    parts: list[Any] = [
        {"functionCall": {"id": "c1", "name": "f"}, "thoughtSignature": "YWJj"},
        {"inlineData": {"mimeType": "image/png", "data": "iVBORw0KGgo="}},
    ]
    window: dict[str, Any] = {
        "systemInstruction": {"parts": [{"text": "Be kind."}]},
        "contents": [{"role": "model", "parts": parts}],
    }
    made = to_shape(from_shape(window, "google"), "google")
    assert made["contents"][0]["parts"] == [
        {"function_call": {"id": "c1", "name": "f"}, "thought_signature": b"abc"},
        {"inline_data": {"mime_type": "image/png", "data": b"\x89PNG\r\n\x1a\n"}},
    ]


def test_calls_of_another_provider_get_what_gemini_3_wants_in_place_of_a_signature() -> None:
    messages: Messages = [
        {"role": "user", "content": "Where?"},
        {"role": "assistant", "content": None, "tool_calls": [call("c1"), call("c2")]},
        {"role": "tool", "content": "Ulm", "tool_call_id": "c1"},
        {"role": "tool", "content": "Ulm", "tool_call_id": "c2"},
    ]
    window = to_shape(messages, "google")
    signatures = [part.get("thought_signature") for part in window["contents"][1]["parts"]]
    assert signatures == [b"skip_thought_signature_validator", None]
    assert from_shape(window, "google") == messages
