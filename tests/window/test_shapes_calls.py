"""Calls in all shapes: arguments that are no JSON object, and ids that an API refuses."""

from __future__ import annotations

import json
from typing import Any

import pytest

from turnkeep.shapes import from_shape, to_shape

from .chats import Messages


def call(id: str, arguments: str = "{}") -> dict[str, Any]:
    return {"id": id, "type": "function", "function": {"name": "f", "arguments": arguments}}


def exchange(*calls: dict[str, Any]) -> Messages:
    return [
        {"role": "user", "content": "Hi"},
        {"role": "assistant", "content": None, "tool_calls": [*calls]},
        *({"role": "tool", "content": "?", "tool_call_id": one["id"]} for one in calls),
        {"role": "assistant", "content": "Done."},
    ]


def arguments_of(messages: Messages) -> list[str]:
    return [one["function"]["arguments"] for one in messages[1]["tool_calls"]]


def inputs(messages: Messages) -> list[Any]:
    """What Anthropic gets as arguments."""
    window = to_shape(messages, "anthropic")
    return [block["input"] for block in window["messages"][1]["content"]]


def used_ids(messages: Messages) -> list[str]:
    """What the Responses API gets as ids, of calls and of results."""
    return [item["call_id"] for item in to_shape(messages, "responses") if "call_id" in item]


RAW = ("{broken", "[1]", "null", '"text"', "1e999", '{"a": NaN}', '{"_raw": "x"}', "[" * 10_000)
DEEP = '{"a":' + "[" * 80 + "]" * 80 + "}"


@pytest.mark.parametrize("shape", ["anthropic", "google"])
@pytest.mark.parametrize("arguments", [*RAW, DEEP], ids=lambda text: text[:12])
def test_arguments_that_are_no_json_object_come_back_as_they_were(
    shape: Any, arguments: str
) -> None:
    messages = exchange(call("c1", arguments))
    assert from_shape(to_shape(messages, shape), shape) == messages


@pytest.mark.parametrize("arguments", [*RAW, DEEP], ids=lambda text: text[:12])
def test_arguments_that_are_no_json_object_go_under_raw(arguments: str) -> None:
    assert inputs(exchange(call("c1", arguments))) == [{"_raw": arguments}]


def test_arguments_that_only_look_like_raw_go_as_they_are() -> None:
    messages = exchange(call("c1", '{"_raw":{"a":1}}'), call("c2", '{"_raw":"x","b":2}'))
    assert inputs(messages) == [{"_raw": {"a": 1}}, {"_raw": "x", "b": 2}]


def test_no_arguments_are_an_empty_object() -> None:
    assert inputs(exchange(call("c1", ""), call("c2", " \n"))) == [{}, {}]


def test_arguments_come_back_as_json_without_spaces_and_with_every_digit() -> None:
    messages = exchange(call("c1", '{ "é" : [1.0, 123456789012345678901234567890, true] }'))
    back = from_shape(to_shape(messages, "google"), "google")
    assert arguments_of(back) == ['{"é":[1.0,123456789012345678901234567890,true]}']


def test_the_responses_api_gets_arguments_as_the_model_wrote_them() -> None:
    items = to_shape(exchange(call("c1", "{broken")), "responses")
    assert items[1]["arguments"] == "{broken"


def test_arguments_as_deep_as_the_apis_take_stay_an_object() -> None:
    arguments = '{"a":' + "[" * 50 + "]" * 50 + "}"
    assert inputs(exchange(call("c1", arguments))) == [json.loads(arguments)]


def test_an_id_that_every_api_takes_stays() -> None:
    assert used_ids(exchange(call("call_abc-1"), call("x" * 64))) == [
        "call_abc-1",
        "x" * 64,
        "call_abc-1",
        "x" * 64,
    ]


def test_ids_that_an_api_refuses_are_replaced_in_calls_and_results_and_stay_apart() -> None:
    ids = ["a.b", "a|b", "a b", "é", "y" * 300, "y" * 301]
    used = used_ids(exchange(*map(call, ids)))
    assert used[:6] == used[6:]
    assert len({*used}) == 6
    assert all(len(id) <= 64 and id.replace("_", "").isalnum() and id.isascii() for id in used)


@pytest.mark.parametrize("id", ["c0", "x" * 64, "a.b"])
def test_an_id_that_was_used_before_is_another_from_then_on(id: str) -> None:
    used = used_ids([*exchange(call(id)), *exchange(call(id)), *exchange(call(id))])
    assert used[::2] == used[1::2]
    assert len({*used}) == 3
    assert max(map(len, used)) <= 64


def test_a_replaced_id_never_meets_one_that_was_given() -> None:
    used = used_ids([*exchange(call("c0")), *exchange(call("c0")), *exchange(call("c0_2"))])
    assert len({*used}) == 3


def test_an_id_is_the_same_wherever_the_window_begins() -> None:
    """Otherwise the prefix that providers bill at a fraction would change at every cut."""
    first, second = exchange(call("functions.f:0")), exchange(call("a|b"))
    assert used_ids([*first, *second])[2:] == used_ids(second)
