"""Every block, item and part that the providers' packages know goes back as it came.

The windows are generated from the packages' own types, which know each type with its fields.
"""

from __future__ import annotations

import base64
import copy
import json
import re
import typing
from collections.abc import Mapping
from functools import cache
from typing import Any, get_args, get_origin

import pytest
import typing_extensions
from anthropic.types import MessageParam
from anthropic.types.beta import BetaMessageParam
from google.genai import types as google
from hypothesis import given
from hypothesis import strategies as st
from openai.types.responses.response_input_param import ResponseInputItemParam
from pydantic import BaseModel

from profiles import many
from turnkeep import build_window, check_messages
from turnkeep.shapes import from_shape, to_shape

WRAPPERS = (
    typing.Required,
    typing.NotRequired,
    typing.Annotated,
    typing_extensions.Required,
    typing_extensions.NotRequired,
)
TEXTS = st.text(
    st.characters(codec="utf-8", exclude_characters="\0"), min_size=1, max_size=8
).filter(str.strip)
SCALARS = st.one_of(TEXTS, st.booleans(), st.integers(-1000, 1000))
OBJECTS = st.dictionaries(TEXTS, SCALARS, max_size=2)


@cache
def is_required(hint: Any) -> bool:
    while get_origin(hint) in WRAPPERS:
        if get_origin(hint) in (typing.Required, typing_extensions.Required):
            return True
        hint = get_args(hint)[0]
    return False


@cache
def bare(hint: Any) -> Any:
    while get_origin(hint) in WRAPPERS:
        hint = get_args(hint)[0]
    return hint


@cache
def fields_of(kind: Any) -> dict[str, Any]:
    return typing.get_type_hints(kind, include_extras=True)


@cache
def values(hint: Any, depth: int = 0) -> st.SearchStrategy[Any]:
    """Values of a type. None is no value: the APIs leave out what is not there."""
    hint = bare(hint)
    origin = get_origin(hint)
    if typing_extensions.is_typeddict(hint):
        return of_dict(hint, depth)
    if isinstance(hint, type) and issubclass(hint, BaseModel):
        return of_model(hint, depth)
    if origin is typing.Literal:
        return st.sampled_from([one for one in get_args(hint) if one is not None])
    args = [one for one in get_args(hint) if one is not type(None)]
    if origin is not None and isinstance(origin, type) and issubclass(origin, Mapping):
        return OBJECTS
    if origin is not None and len(args) == 1 and origin is not typing.Union:
        inner = values(args[0], depth + 1)
        return st.lists(inner, min_size=1, max_size=2) if depth < 4 else st.just([])
    if args:
        kinds = [one for one in args if not (isinstance(one, type) and issubclass(one, BaseModel))]
        plain = [one for one in kinds or args if depth < 4 or not get_args(one)]
        return st.one_of([values(one, depth) for one in plain or args])
    if isinstance(hint, type) and issubclass(hint, str):
        return TEXTS
    simple: dict[Any, st.SearchStrategy[Any]] = {
        bool: st.booleans(),
        int: st.integers(0, 1000),
        float: st.sampled_from((0.5, 2.25)),
        bytes: st.binary(min_size=1, max_size=6),
    }
    return simple.get(hint, OBJECTS)


def of_dict(kind: Any, depth: int) -> st.SearchStrategy[dict[str, Any]]:
    hints = fields_of(kind)
    needed = {key: values(hint, depth + 1) for key, hint in hints.items() if is_required(hint)}
    more = {key: values(hint, depth + 1) for key, hint in hints.items() if not is_required(hint)}
    return st.fixed_dictionaries(needed, optional=more if depth < 3 else {})


def of_model(kind: type[BaseModel], depth: int) -> st.SearchStrategy[dict[str, Any]]:
    hints: dict[str, Any] = {name: field.annotation for name, field in kind.model_fields.items()}
    fields = {name: values(hint, depth + 1) for name, hint in hints.items()}
    return st.fixed_dictionaries({}, optional=fields if depth < 3 else {})


def blocks_of(message: Any, role: str) -> list[Any]:
    """The types of blocks that a message of this role may hold."""
    found: dict[str, Any] = {}
    for one in get_args(message):
        hints = fields_of(one)
        if role in get_args(bare(hints["role"])):
            for option in get_args(bare(hints["content"])):
                for inner in get_args(option):
                    for block in get_args(inner) or (inner,):
                        if typing_extensions.is_typeddict(block):
                            found[block.__name__] = block
    return [*found.values()]


def kind_of(block: Any) -> str:
    return str(get_args(bare(fields_of(block)["type"]))[0])


USERS = {"text", "image", "document", "search_result", "container_upload"}
ASSISTANTS = [
    block
    for message in (MessageParam, BetaMessageParam)
    for block in blocks_of(message, "assistant")
    if kind_of(block) != "tool_result"
]
ASKED = [block for block in blocks_of(MessageParam, "user") if kind_of(block) in USERS]
(RESULT,) = (one for one in blocks_of(MessageParam, "user") if kind_of(one) == "tool_result")


def numbered(items: list[Any], key: str) -> list[Any]:
    """The items with an id of its own for each, since an API gives no id twice."""
    for number, item in enumerate(items):
        if key in item:
            item[key] = f"id_{number}"
    return items


@st.composite
def anthropic_windows(draw: st.DrawFn) -> dict[str, Any]:
    text = {"type": "text", "text": "q"}
    asked = draw(st.lists(st.one_of([values(one) for one in ASKED]), max_size=2))
    said = numbered(
        draw(st.lists(st.one_of([values(one) for one in ASSISTANTS]), min_size=1)), "id"
    )
    calls = [block["id"] for block in said if block["type"] == "tool_use"]
    results = [{**draw(values(RESULT)), "tool_use_id": id} for id in calls]
    window: dict[str, Any] = {
        "messages": [
            {"role": "user", "content": [text, *asked]},
            {"role": "assistant", "content": said},
            {"role": "user", "content": [*results, text]},
        ]
    }
    if draw(st.booleans()):
        window["system"] = draw(
            st.one_of(TEXTS, st.just([{**text, "cache_control": {"ttl": "1h"}}]))
        )
    return window


@many(400)
@given(anthropic_windows())
def test_every_block_of_anthropics_types_comes_back_unchanged(window: dict[str, Any]) -> None:
    before = copy.deepcopy(window)
    assert to_shape(from_shape(window, "anthropic"), "anthropic") == before


ITEMS = get_args(ResponseInputItemParam)


@st.composite
def responses_windows(draw: st.DrawFn) -> list[dict[str, Any]]:
    """Items of every type; each call has its output, and an output its call."""
    items: list[dict[str, Any]] = []
    for number, item in enumerate(draw(st.lists(st.one_of([values(one) for one in ITEMS])))):
        kind = str(item.get("type"))
        if item.get("type") is None and "role" not in item:
            item["type"] = "item_reference"
        if kind.endswith("_output"):
            continue
        if "call_id" in item:
            item["call_id"] = f"call_{number}"
        items.append(item)
        outputs = [one for one in ITEMS if kind_of(one) == f"{kind}_output"]
        if "call_id" in item and outputs:
            output = draw(values(outputs[0]))
            output["id" if "call_id" not in fields_of(outputs[0]) else "call_id"] = item["call_id"]
            items.append(output)
    return items


@many(300)
@given(responses_windows())
def test_every_item_of_the_responses_types_comes_back_unchanged(
    window: list[dict[str, Any]],
) -> None:
    before = copy.deepcopy(window)
    assert to_shape(from_shape(window, "responses"), "responses") == before


PARTS = values(google.Part).filter(bool)


@st.composite
def google_windows(draw: st.DrawFn) -> dict[str, Any]:
    said = [one for one in draw(st.lists(PARTS, min_size=1)) if "function_response" not in one]
    calls = []
    for number, part in enumerate(said):
        call = part.get("function_call")
        if call is not None:
            call["name"] = f"f{number}"
            if "id" in call:
                call["id"] = f"id_{number}"
            calls.append(call)
    results: list[dict[str, Any]] = []
    for call in calls:
        result: dict[str, Any] = {"name": call["name"], "response": draw(OBJECTS)}
        if "id" in call:
            result["id"] = call["id"]
        results.append({"function_response": result})
    model = [{"role": "model", "parts": said}] if said else []
    users = [{"role": "user", "parts": [*results, {"text": "q"}]}]
    return {
        "contents": [{"role": "user", "parts": [{"text": "q"}]}, *model, *users][
            : 3 if model else 1
        ]
    }


@many(300)
@given(google_windows())
def test_every_part_of_googles_types_comes_back_unchanged(window: dict[str, Any]) -> None:
    before = copy.deepcopy(window)
    assert to_shape(from_shape(window, "google"), "google") == before


def as_json(value: Any) -> Any:
    """A content as the API's JSON has it: in camelCase, but for what is a tool's own."""
    if isinstance(value, bytes):
        return base64.b64encode(value).decode()
    if isinstance(value, list):
        return [as_json(one) for one in value]
    if not isinstance(value, dict):
        return value
    kept = ("args", "response", "part_metadata")
    return {
        re.sub("_([a-z])", lambda at: at[1].upper(), key): inner if key in kept else as_json(inner)
        for key, inner in value.items()
    }


@many(300)
@given(google_windows())
def test_googles_json_is_read_as_what_its_package_writes(window: dict[str, Any]) -> None:
    before = copy.deepcopy(window)
    assert to_shape(from_shape(as_json(window), "google"), "google") == before


WORDS = TEXTS.map(str.strip)
"""Text that no API refuses at the end of a final answer."""


@st.composite
def anthropic_talks(draw: st.DrawFn) -> dict[str, Any]:
    """Any order of users and assistants, with strings or lists as their contents."""
    blocks = st.lists(WORDS.map(lambda text: {"type": "text", "text": text}), min_size=1)
    role = st.sampled_from(["user", "assistant"])
    contents = st.one_of(WORDS, WORDS, blocks)
    messages = st.lists(st.fixed_dictionaries({"role": role, "content": contents}), max_size=6)
    system: Any = st.one_of(
        st.just({}), st.fixed_dictionaries({"system": st.one_of(WORDS, blocks)})
    )
    return {**draw(system), "messages": draw(messages)}


@st.composite
def google_talks(draw: st.DrawFn) -> dict[str, Any]:
    parts = st.fixed_dictionaries(
        {"parts": st.lists(st.fixed_dictionaries({"text": WORDS}), min_size=1)}
    )
    roles = st.sampled_from([{"role": "user"}, {"role": "model"}, {"role": "function"}, {}])
    contents = [{**role, **part} for role, part in draw(st.lists(st.tuples(roles, parts)))]
    role = draw(st.sampled_from([{}, {"role": "user"}]))
    system = draw(st.one_of(st.none(), WORDS, parts.map(lambda one: {**role, **one})))
    return (
        {"contents": contents}
        if system is None
        else {
            "system_instruction": system,
            "contents": contents,
        }
    )


@st.composite
def responses_talks(draw: st.DrawFn) -> list[dict[str, Any]]:
    roles = st.sampled_from(["user", "assistant", "system", "developer"])
    contents = st.one_of(WORDS, WORDS, st.just(""), st.just(" \n"))
    kinds = st.sampled_from([{}, {"type": "message"}])
    items = st.tuples(kinds, st.fixed_dictionaries({"role": roles, "content": contents}))
    return [{**kind, **item} for kind, item in draw(st.lists(items, max_size=6))]


@st.composite
def openai_talks(draw: st.DrawFn) -> list[dict[str, Any]]:
    roles = st.sampled_from(["user", "assistant", "system", "developer"])
    parts = st.lists(TEXTS.map(lambda text: {"type": "text", "text": text}))
    contents = st.one_of(TEXTS, st.just(""), parts)
    return draw(st.lists(st.fixed_dictionaries({"role": roles, "content": contents}), max_size=6))


@pytest.mark.parametrize(
    ("shape", "talks"),
    [
        ("anthropic", anthropic_talks()),
        ("google", google_talks()),
        ("responses", responses_talks()),
        ("openai", openai_talks()),
    ],
)
@many(200)
@given(data=st.data())
def test_strings_and_messages_of_one_role_come_back_unchanged(
    shape: Any, talks: st.SearchStrategy[Any], data: st.DataObject
) -> None:
    window = data.draw(talks)
    before = copy.deepcopy(window)
    messages = from_shape(window, shape)
    assert to_shape(messages, shape) == before
    for other in ("openai", "responses", "anthropic", "google"):
        to_shape(messages, other)


@pytest.mark.parametrize("shape", ["anthropic", "google"])
def test_a_string_that_another_message_is_joined_to_becomes_a_list(shape: Any) -> None:
    windows: dict[str, Any] = {
        "anthropic": {"messages": [{"role": "user", "content": "one"}]},
        "google": {"contents": [{"parts": [{"text": "one"}]}]},
    }
    messages = [*from_shape(windows[shape], shape), {"role": "user", "content": "two"}]
    made: Any = to_shape(messages, shape)
    (said,) = made["messages" if shape == "anthropic" else "contents"]
    texts = said["content" if shape == "anthropic" else "parts"]
    assert [one["text"] for one in texts] == ["one\n", "two"]


@pytest.mark.parametrize("shape", ["openai", "responses", "anthropic", "google"])
@many(150)
@given(
    st.one_of(
        st.tuples(st.just("anthropic"), anthropic_windows()),
        st.tuples(st.just("responses"), responses_windows()),
        st.tuples(st.just("google"), google_windows()),
    )
)
def test_to_another_shape_it_is_text_or_nothing_and_never_an_exception(
    shape: Any, window: tuple[Any, Any]
) -> None:
    made: Any = to_shape(from_shape(window[1], window[0]), shape)
    if shape == "openai":
        assert [one for one in made if one.keys() & {"items", "shape"}] == []


@pytest.mark.parametrize("shape", ["responses", "anthropic", "google"])
@many(150)
@given(data=st.data())
def test_stored_turns_give_their_own_api_what_its_model_said(
    shape: Any, data: st.DataObject
) -> None:
    """As above, but through turns and a window: the answers, for results may be moved."""
    windows: Any = {
        "responses": responses_windows(),
        "anthropic": anthropic_windows(),
        "google": google_windows(),
    }
    window: Any = data.draw(windows[shape])
    # The data of users and of systems is another rule's: see inline_media.
    answers = [one for one in from_shape(window, shape) if one["role"] in ("assistant", "tool")]
    messages = [{"role": "user", "content": "q"}, *answers]
    made: Any = build_window(messages, shape=shape).messages
    for said in said_by_model(window, shape):
        # Arguments that are no JSON object are made one, since APIs refuse them.
        if is_object(said.get("arguments")):
            assert said in said_by_model(made, shape)


def is_object(arguments: object) -> bool:
    """True if these are arguments as they are sent, and not a text that is no JSON object."""
    if not isinstance(arguments, str):
        return True
    try:
        return isinstance(json.loads(arguments), dict)
    except ValueError:
        return False


def said_by_model(window: Any, shape: str) -> list[dict[str, Any]]:
    match shape:
        case "responses":
            kinds = ("message", "function_call_output", "custom_tool_call_output")
            return [one for one in window if one.get("type", "message") not in kinds]
        case "anthropic":
            answers = [one for one in window["messages"] if one["role"] == "assistant"]
            return [block for answer in answers for block in answer["content"]]
    answers = [one for one in window["contents"] if one["role"] == "model"]
    return [part for answer in answers for part in answer["parts"] if part != {"text": ""}]


def test_a_blank_text_beside_a_thought_is_no_empty_message() -> None:
    thought = {"item": {"type": "reasoning", "id": "rs_1", "summary": []}}
    answer = {"role": "assistant", "content": " ", "shape": "responses", "items": [thought]}
    turns: list[Mapping[str, Any]] = [{"role": "user", "content": "Hi"}, answer]
    window = build_window([*turns, {"role": "user", "content": "?"}]).messages
    assert check_messages(window) == []
