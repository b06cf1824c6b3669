"""Each shape has the types of the provider's own package, and no field that these don't have."""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from typing import Any

import pytest
from anthropic.types import MessageParam, TextBlockParam
from google.genai import types as google
from hypothesis import given
from openai.types.chat import ChatCompletionMessageParam
from openai.types.responses import ResponseInputParam
from pydantic import TypeAdapter, ValidationError

from profiles import many
from turnkeep.shapes import from_shape, to_shape

from .chats import CHATS, OPTIONS, Chat, Messages, window_or_error
from .test_shapes import LISTS, PLAIN_LISTS

OPENAI: TypeAdapter[Any] = TypeAdapter(list[ChatCompletionMessageParam])
RESPONSES: TypeAdapter[Any] = TypeAdapter(ResponseInputParam)
ANTHROPIC: TypeAdapter[Any] = TypeAdapter(list[MessageParam])
ANTHROPIC_SYSTEM: TypeAdapter[Any] = TypeAdapter(str | list[TextBlockParam])


def walked(value: Any) -> Any:
    """A validated value, its lazy lists walked, which is when their items are validated."""
    if isinstance(value, Mapping):
        return {key: walked(inner) for key, inner in value.items()}
    if isinstance(value, Iterable) and not isinstance(value, (str, bytes)):
        return [walked(inner) for inner in value]
    return value


def typed(adapter: TypeAdapter[Any], value: Any) -> Any:
    """What the types make of the value: fields that they don't have are gone."""
    return walked(adapter.validate_python(value))


def typed_by_google(content: dict[str, Any]) -> dict[str, Any]:
    return google.Content.model_validate(content, extra="forbid").model_dump(exclude_unset=True)


@many(200)
@given(PLAIN_LISTS)
def test_messages_are_of_the_openai_packages_types(messages: Messages) -> None:
    made = to_shape(messages, "openai")
    assert typed(OPENAI, made) == made


@many(300)
@given(LISTS)
def test_items_are_of_the_openai_packages_types(messages: Messages) -> None:
    made = to_shape(messages, "responses")
    assert typed(RESPONSES, made) == made


@many(300)
@given(LISTS)
def test_anthropics_messages_are_of_its_packages_types(messages: Messages) -> None:
    made = to_shape(messages, "anthropic")
    assert typed(ANTHROPIC, made["messages"]) == made["messages"]
    assert typed(ANTHROPIC_SYSTEM, made.get("system", "")) == made.get("system", "")


@many(300)
@given(LISTS)
def test_googles_contents_are_of_its_packages_types(messages: Messages) -> None:
    made = to_shape(messages, "google")
    instruction: Any = made.get("system_instruction", {})
    assert isinstance(instruction, dict)
    contents = [*made["contents"], instruction]
    assert [typed_by_google(content) for content in contents] == contents


@many(200)
@given(CHATS, OPTIONS)
def test_a_window_over_any_stored_turns_is_of_all_these_types(chat: Chat, options: Any) -> None:
    window = window_or_error(chat, options)
    if isinstance(window, str):
        return
    items = to_shape(window, "responses")
    assert typed(RESPONSES, items) == items
    messages = to_shape(window, "anthropic")["messages"]
    assert typed(ANTHROPIC, messages) == messages
    contents = to_shape(window, "google")["contents"]
    assert [typed_by_google(content) for content in contents] == contents


@pytest.mark.parametrize("shape", ["responses", "anthropic", "google"])
@many(150)
@given(messages=LISTS)
def test_what_comes_back_is_of_the_openai_packages_types(shape: Any, messages: Messages) -> None:
    back = from_shape(to_shape(messages, shape), shape)
    assert typed(OPENAI, back) == back


def test_the_types_refuse_a_wrong_window() -> None:
    """That the checks above can fail."""
    with pytest.raises(ValidationError):
        typed(RESPONSES, [{"type": "function_call", "call_id": "c", "name": "f"}])
    with pytest.raises(ValidationError):
        typed(ANTHROPIC, [{"role": "user", "content": [{"type": "image_url"}]}])
    with pytest.raises(ValidationError):
        typed_by_google({"role": "user", "parts": [{"type": "text", "text": "Hi"}]})
    named = [{"role": "user", "content": "Hi", "made_up": 1}]
    assert typed(OPENAI, named) != named
