"""Anthropic's shape obeys its rules, which are restated here from its documents."""

from __future__ import annotations

import base64
import re
from collections.abc import Iterator
from typing import Any

from hypothesis import given

from profiles import many
from turnkeep.shapes import to_shape

from .chats import CHATS, OPTIONS, Chat, Messages, window_or_error
from .test_shapes import LISTS


def refusals(window: Any) -> Iterator[str]:
    """Why the API would answer the window with a 400."""
    if "system" in window and not window["system"].strip():
        yield "system: text content blocks must be non-empty"
    asked: list[str] = []
    used: list[str] = []
    for index, message in enumerate(window["messages"]):
        if message["role"] != ("user", "assistant")[index % 2]:
            yield f"{index}: the first is a user's, and they alternate"
        blocks = message["content"]
        if not blocks:
            yield f"{index}: it is empty"
        results = [block["tool_use_id"] for block in blocks if block["type"] == "tool_result"]
        first = [block.get("tool_use_id") for block in blocks[: len(asked)]]
        if sorted(map(str, first)) != sorted(asked) or len(results) != len(asked):
            yield f"{index}: the results of {asked} come first, directly behind the calls"
        asked = [block["id"] for block in blocks if block["type"] == "tool_use"]
        used += asked
        for block in blocks:
            yield from (f"{index}: {fault}" for fault in block_faults(message["role"], block))
    if asked:
        yield "the last calls have no results"
    if len(set(used)) < len(used):
        yield "`tool_use` ids must be unique"
    last = window["messages"][-1]
    if last["role"] == "assistant" and last["content"][-1].get("text", "").endswith((" ", "\n")):
        yield "final assistant content cannot end with trailing whitespace"


def block_faults(role: str, block: dict[str, Any]) -> Iterator[str]:
    kind = block["type"]
    if kind not in {"user": USERS, "assistant": ASSISTANTS}[role]:
        yield f"no {kind} in a message of the role {role}"
    if kind == "text" and not block["text"].strip():
        yield "text content blocks must contain non-whitespace text"
    if kind == "tool_use" and not re.fullmatch("[a-zA-Z0-9_-]+", block["id"]):
        yield f"tool_use.id {block['id']!r} does not match '^[a-zA-Z0-9_-]+$'"
    if kind == "tool_use" and not isinstance(block["input"], dict):
        yield "tool_use.input is no object"
    if kind == "tool_result" and isinstance(block.get("content"), list):
        yield from (fault for inner in block["content"] for fault in block_faults(role, inner))
    elif kind == "tool_result" and not block.get("content", "…").strip():
        yield "a blank result"
    source = block.get("source", {})
    if source.get("type") == "url" and not re.fullmatch(r"https://\S+", source["url"]):
        yield f"only HTTPS URLs, not {source['url']!r}"
    if source.get("type") == "base64":
        base64.b64decode(source["data"], validate=True)
        if source["media_type"] not in MEDIA[kind]:
            yield f"no {kind} of type {source['media_type']}"


USERS = ("text", "image", "document", "tool_result")
ASSISTANTS = ("text", "thinking", "redacted_thinking", "tool_use")
MEDIA = {
    "image": ("image/jpeg", "image/png", "image/gif", "image/webp"),
    "document": ("application/pdf",),
}


@many(800)
@given(LISTS)
def test_a_legal_list_makes_a_window_that_the_api_takes(messages: Messages) -> None:
    assert [*refusals(to_shape(messages, "anthropic"))] == []


@many(500)
@given(CHATS, OPTIONS)
def test_a_window_over_any_stored_turns_is_one_that_the_api_takes(chat: Chat, options: Any) -> None:
    window = window_or_error(chat, options)
    if isinstance(window, str) or not window:
        return
    assert [*refusals(to_shape(window, "anthropic"))] == []


def test_the_rules_find_what_the_api_refuses() -> None:
    """That the checks above can fail."""
    use = {"type": "tool_use", "id": "a.b", "name": "f", "input": {}}
    text = {"type": "text", "text": " "}
    window = {"messages": [{"role": "assistant", "content": [use, text, use]}]}
    assert [*refusals(window)] == [
        "0: the first is a user's, and they alternate",
        "0: tool_use.id 'a.b' does not match '^[a-zA-Z0-9_-]+$'",
        "0: text content blocks must contain non-whitespace text",
        "0: tool_use.id 'a.b' does not match '^[a-zA-Z0-9_-]+$'",
        "the last calls have no results",
        "`tool_use` ids must be unique",
    ]


@many(300)
@given(LISTS)
def test_everything_that_was_said_is_there_in_the_order_in_which_it_was_said(
    messages: Messages,
) -> None:
    said = [
        part["text"] if isinstance(part, dict) else part
        for message in messages
        if message["role"] in ("user", "assistant")
        for part in listed(message["content"])
        if isinstance(part, str) or part["type"] == "text"
    ]
    window = to_shape(messages, "anthropic")["messages"]
    shown = iter(
        " ".join(block["text"].split())
        for message in window
        for block in message["content"]
        if block["type"] == "text"
    )
    for text in said:
        assert any(" ".join(text.split()) in one for one in shown), text


def listed(content: Any) -> list[Any]:
    return content if isinstance(content, list) else [content] if content else []
