"""When is a list of messages legal? The strictest answer that any provider gives.

The sources: OpenAI's own refusals, word for word where they are known (the misspelt
"preceeding" is theirs), and what only others insist on: that a user speaks first (Anthropic,
Mistral), that no text is blank (Anthropic), that a call is answered once (Mistral). A window
that passes here passes everywhere; a window that fails here fails at somebody's provider.
"""

from __future__ import annotations

import re
from collections.abc import Iterator
from typing import Any

Json = dict[str, Any]

NAME = r"^[a-zA-Z0-9_-]{1,64}$"
MAX_STRING = 1048576
TOOL_UNASKED = (
    "Invalid parameter: messages with role 'tool' must be a response to a preceeding message "
    "with 'tool_calls'."
)
CALL_UNANSWERED = (
    "An assistant message with 'tool_calls' must be followed by tool messages responding to each "
    "'tool_call_id'. The following tool_call_ids did not have response messages: "
)
_FIELDS = {
    "system": {"content", "name"},
    "developer": {"content", "name"},
    "user": {"content", "name"},
    "assistant": {"content", "name", "tool_calls", "refusal"},
    "tool": {"content", "name", "tool_call_id"},
}
_PARTS = {"text": str, "refusal": str, "image_url": dict, "input_audio": dict, "file": dict}


class Illegal(Exception):
    """Why a request is refused: the message, the parameter at fault, OpenAI's error code."""

    def __init__(self, message: str, param: str = "messages", code: str | None = None) -> None:
        super().__init__(message)
        self.param = param
        self.code = code


def check(messages: Any, *, thinking: bool = False) -> None:
    """Raise `Illegal` for the first thing that a provider would refuse.

    `thinking` is that of DeepSeek and Moonshot, whose answers have a `reasoning_content`.
    """
    if not isinstance(messages, list):
        raise Illegal("Invalid type for 'messages': expected an array of objects.")
    if not messages:
        text = "Invalid 'messages': empty array. Expected an array with minimum length 1."
        raise Illegal(text, code="empty_array")
    for index, message in enumerate(messages):
        if thinking and isinstance(message, dict) and message.get("role") == "assistant":
            message = _without_thought(message)
        _check_message(message, f"messages[{index}]")
    roles = [message["role"] for message in messages]
    spoken = [role for role in roles if role not in ("system", "developer")]
    if not spoken or spoken[0] == "assistant":
        raise Illegal('first message must use the "user" role (Anthropic, Mistral)')
    _check_calls(messages)
    if roles[-1] not in ("user", "tool"):
        raise Illegal(f"Expected last role User or Tool (Mistral) but got {roles[-1]}")


def _without_thought(message: Json) -> Json:
    """Return an answer without its thought, which has to be there if it called a tool."""
    thought = message.get("reasoning_content")
    if message.get("tool_calls") and not (isinstance(thought, str) and thought):
        # earendil-works/pi#3636 and api-docs.deepseek.com/guides/thinking_mode
        text = "The `reasoning_content` in the thinking mode must be passed back to the API."
        raise Illegal(text, code="invalid_request_error")
    return {key: value for key, value in message.items() if key != "reasoning_content"}


def _check_calls(messages: list[Json]) -> None:
    """Every call is answered right after it, once, and nothing else is answered."""
    open_calls: list[str] = []
    asked_at = 0
    for index, message in enumerate([*messages, {"role": "end"}]):
        if message["role"] == "tool":
            if message["tool_call_id"] not in open_calls:
                raise Illegal(TOOL_UNASKED, f"messages.[{index}].role")
            open_calls.remove(message["tool_call_id"])
            continue
        if open_calls:
            raise Illegal(CALL_UNANSWERED + ", ".join(open_calls), f"messages.[{asked_at}].role")
        open_calls = [call["id"] for call in message.get("tool_calls", [])]
        asked_at = index


def _check_message(message: Any, at: str) -> None:
    if not isinstance(message, dict):
        raise Illegal(f"Invalid type for '{at}': expected an object.", at, "invalid_type")
    role = message.get("role")
    if not isinstance(role, str) or role not in _FIELDS:
        supported = ", ".join(f"'{name}'" for name in _FIELDS)
        text = f"Invalid value: '{role}'. Supported values are: {supported}."
        raise Illegal(text, f"{at}.role", "invalid_value")
    for name in message.keys() - _FIELDS[role] - {"role"}:
        raise Illegal(f"Unknown parameter: '{at}.{name}'.", f"{at}.{name}", "unknown_parameter")
    for text in _strings(message):
        if re.search("[\0\ud800-\udfff]", text):
            raise Illegal("Invalid body: failed to parse JSON value (NUL or lone surrogate).", at)
        if len(text) > MAX_STRING:
            raise Illegal(f"Invalid '{at}': string too long.", at, "string_above_max_length")
    if "name" in message:
        _check_name(message["name"], f"{at}.name")
    if role == "tool" and not (isinstance(message.get("tool_call_id"), str)):
        raise Illegal(f"Missing required parameter: '{at}.tool_call_id'.", at)
    if "tool_calls" in message:
        _check_tool_calls(message["tool_calls"], f"{at}.tool_calls")
        if message.get("content") in (None, ""):
            return
    _check_content(message.get("content"), f"{at}.content", may_be_blank=role == "tool")


def _check_tool_calls(calls: Any, at: str) -> None:
    if not isinstance(calls, list) or not calls:
        raise Illegal(f"Invalid '{at}': empty array. Expected minimum length 1.", at, "empty_array")
    for index, call in enumerate(calls):
        kind = call.get("type") if isinstance(call, dict) else None
        function = call.get(kind) if kind in ("function", "custom") else None
        if not isinstance(function, dict) or not call.get("id"):
            raise Illegal(f"Invalid '{at}[{index}]': expected id, type and function.", at)
        _check_name(function.get("name"), f"{at}[{index}].function.name")
        if not isinstance(function.get("arguments" if kind == "function" else "input"), str):
            raise Illegal(f"Invalid type for '{at}[{index}].function.arguments'.", at)
    if len({call["id"] for call in calls}) < len(calls):
        raise Illegal(f"Duplicate tool call ids in '{at}'.", at)


def _check_name(name: Any, at: str) -> None:
    if not isinstance(name, str) or not re.fullmatch(NAME[1:-1], name):
        text = f"Invalid '{at}': string does not match pattern. Expected a string that matches "
        raise Illegal(f"{text}the pattern '{NAME}'.", at, "invalid_value")


def _check_content(content: Any, at: str, *, may_be_blank: bool) -> None:
    """A text, or parts each of its known type; blank ones are refused except a tool's."""
    if isinstance(content, str):
        if not content.strip() and not may_be_blank:
            raise Illegal(f"'{at}': text content must contain non-whitespace text (Anthropic)", at)
        return
    if not isinstance(content, list) or not content:
        raise Illegal(f"Invalid value for '{at}': expected a string or content parts.", at)
    for index, part in enumerate(content):
        kind = part.get("type") if isinstance(part, dict) else None
        if kind not in _PARTS or not isinstance(part.get(kind), _PARTS[kind]):
            raise Illegal(f"Invalid value for '{at}[{index}]': no known content part.", at)
        if kind == "text":
            _check_content(part["text"], f"{at}[{index}].text", may_be_blank=may_be_blank)


def _strings(value: Any) -> Iterator[str]:
    """Every text in a JSON value, keys included."""
    if isinstance(value, str):
        yield value
    elif isinstance(value, list):
        for item in value:
            yield from _strings(item)
    elif isinstance(value, dict):
        for key, item in value.items():
            yield key
            yield from _strings(item)
