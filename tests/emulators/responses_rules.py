"""The input items that OpenAI's Responses API refuses with a 400, each with its source.

`said` maps the id of an item that the server gave to the id of the reasoning that it gave just
before, as the real API remembers it.
"""

from __future__ import annotations

import re
from collections.abc import Mapping, Sequence
from typing import Any

from .openai_rules import Illegal, Json

_PREFIXES = {
    # openai/codex#33176, and Wei-Shaw/sub2api#3981: "Expected an ID that begins with 'msg'."
    "message": "msg",
    "function_call": "fc",  # Wei-Shaw/sub2api#3785
    "reasoning": "rs",
    "custom_tool_call": "ctc",
    "web_search_call": "ws",
}
_PARTS = {
    # The API's words for an assistant's part of another type are those of `_check_message`.
    "assistant": ("output_text", "refusal"),
    "user": ("input_text", "input_image", "input_file", "input_audio"),
    "system": ("input_text", "input_image", "input_file"),
    "developer": ("input_text", "input_image", "input_file"),
}
_CALLS = {"function_call": "function_call_output", "custom_tool_call": "custom_tool_call_output"}
_STATES = ("in_progress", "completed", "incomplete", "searching", "generating", "failed")


def check_items(given: Any, said: Mapping[str, str]) -> list[Json]:
    """Return the items of an input; raise `Illegal` for the first that the API would refuse."""
    if isinstance(given, str):
        return [{"type": "message", "role": "user", "content": given}]
    if not isinstance(given, list) or not given:
        raise Illegal("Invalid 'input': expected a string or a list of items.", "input")
    for index, item in enumerate(given):
        _check_item(item, f"input[{index}]")
    _check_ids(given)
    _check_calls(given)
    _check_reasoning(given, said)
    return given


def _check_item(item: Any, at: str) -> None:
    if not isinstance(item, dict):
        raise Illegal(f"Invalid type for '{at}': expected an object.", at, "invalid_type")
    kind = item.get("type") or ("message" if "role" in item else None)
    if kind is None:
        raise Illegal(f"Missing required parameter: '{at}.type'.", at, "missing_required_parameter")
    id = item.get("id")
    if id is not None:
        # langchain-ai/langchainjs#11044, for an id of ''.
        if not isinstance(id, str) or not re.fullmatch(r"[A-Za-z0-9_-]{1,64}", id):
            text = "Expected an ID that contains letters, numbers, underscores, or dashes, but "
            text = f"Invalid '{at}.id': '{id}'. {text}this value contained additional characters."
            raise Illegal(text, f"{at}.id", "invalid_value")
        prefix = _PREFIXES.get(kind, "")
        if not id.startswith(prefix):
            text = f"Invalid '{at}.id': '{id}'. Expected an ID that begins with '{prefix}'."
            raise Illegal(text, f"{at}.id", "invalid_value")
    # microsoft/agent-framework#4626: 'Value is "null" but should be "string"'
    if "status" in item and item["status"] not in _STATES:
        raise Illegal(f"Invalid value for '{at}.status'.", f"{at}.status", "invalid_value")
    if kind == "message":
        _check_message(item, at)
    if kind == "reasoning" and not isinstance(item.get("summary"), list):
        # newo-ether/Agora#141
        raise Illegal(f"Missing required parameter: '{at}.summary'.", f"{at}.summary")


def _check_message(item: Json, at: str) -> None:
    role = item.get("role")
    if role not in _PARTS:
        raise Illegal(f"Invalid value: '{role}'.", f"{at}.role", "invalid_value")
    if "name" in item:
        text = f"Unknown parameter: '{at}.name'."
        raise Illegal(text, f"{at}.name", "unknown_parameter")
    content = item.get("content")
    if isinstance(content, str):
        return
    if not isinstance(content, list):
        raise Illegal(f"Invalid type for '{at}.content'.", f"{at}.content", "invalid_type")
    for place, part in enumerate(content):
        kind = part.get("type") if isinstance(part, dict) else None
        if kind not in _PARTS[role]:
            names = " and ".join(f"'{name}'" for name in _PARTS[role])
            text = f"Invalid value: '{kind}'. Supported values are: {names}."
            raise Illegal(text, f"{at}.content[{place}]", "invalid_value")
        if kind == "input_image" and not (part.get("image_url") or part.get("file_id")):
            raise Illegal("Missing required parameter: 'image_url'.", f"{at}.content[{place}]")


def _check_ids(items: Sequence[Json]) -> None:
    seen: set[str] = set()
    for item in items:
        id = item.get("id")
        if id in seen:  # openai/openai-agents-python#1789 and #1862
            text = "Remove duplicate items from your input and try again."
            raise Illegal(f"Duplicate item found with id {id}. {text}", "input")
        if id is not None:
            seen.add(id)


def _check_calls(items: Sequence[Json]) -> None:
    """Each call has a result behind it, and each result a call before it."""
    for kind, output in _CALLS.items():
        words = kind.replace("_", " ")
        asked: list[str] = []
        for item in items:
            if item.get("type") == kind:
                asked.append(item["call_id"])
            elif item.get("type") == output:
                id = item.get("call_id")
                if id not in asked:  # microsoft/vscode#320060
                    text = f"No tool call found for {words} output with call_id {id}."
                    raise Illegal(text, "input")
                asked.remove(id)
        if asked:  # router-for-me/CLIProxyAPI#2368
            raise Illegal(f"No tool output found for {words} {asked[0]}.", "input")


def _check_reasoning(items: Sequence[Json], said: Mapping[str, str]) -> None:
    """A thought stands before what it led to, and that does not stand without it."""
    before: str | None = None
    followed = set(said.values())
    for item, after in zip(items, [*items[1:], {}], strict=True):
        id, kind = item.get("id"), item.get("type")
        if kind == "reasoning":
            ends = after.get("type") in (None, "function_call_output", "reasoning")
            if (ends or after.get("role") == "user") and (id in followed or not after):
                # continuedev/continue#8933
                text = "was provided without its required following item."
                raise Illegal(f"Item '{id}' of type 'reasoning' {text}", "input")
        elif isinstance(id, str) and said.get(id) not in (None, before):
            # continuedev/continue#10018, and #11466 for a message
            text = f"was provided without its required 'reasoning' item: '{said[id]}'."
            raise Illegal(f"Item '{id}' of type '{kind}' {text}", "input")
        before = id if kind == "reasoning" else None
