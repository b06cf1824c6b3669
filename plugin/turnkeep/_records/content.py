"""Checked copies of content, tool results and tool calls, for a turn."""

from __future__ import annotations

import json
from collections.abc import Iterable, Mapping
from typing import Any, cast

import msgspec

from .._errors import InvalidTurnError, kind_of
from .clean import checked_json, clean_json, clean_text
from .media import Media
from .parts import InlineMedia, checked_parts, is_part
from .text import dumped, json_text
from .turn import Content

__all__ = ["as_call_id", "as_content", "as_tool_calls"]


def as_content(role: str, content: object, where: str, inline: InlineMedia = "error") -> Content:
    """Return the content to store in a turn of this role; raise `InvalidTurnError`."""
    if role == "tool":
        content = _result(content, where)
    match content:
        case None:
            return None
        case str():
            return clean_text(content)
        case Media() | list() | tuple():
            listed = [content] if isinstance(content, Media) else content
            parts = checked_json([_as_part(part) for part in listed], f"{where}the content")
            for part in parts:
                if not isinstance(part, dict) or not isinstance(part.get("type"), str):
                    raise InvalidTurnError(
                        f"{where}a content part is a dict with a 'type', not {kind_of(part)}"
                    )
            return checked_parts(role, parts, where, inline)
    raise InvalidTurnError(
        f"{where}the content of a {role} turn is text, Media, or a list of content parts, "
        f"not {type(content).__name__}"
    )


def _result(content: object, where: str) -> object:
    """Return a tool's result as text or content parts; other values become JSON text."""
    if content is None:
        return ""
    if isinstance(content, (str, Media)):
        return content
    if isinstance(content, (list, tuple)):
        parts = [dumped(part) for part in content]
        if any(not isinstance(part, str) for part in parts) and all(map(_is_part, parts)):
            return parts
    if isinstance(content, bytes):
        raise InvalidTurnError(f"{where}the content of a tool turn is bytes: decode it first")
    try:
        return json_text(dumped(content))
    except ValueError as error:
        raise InvalidTurnError(
            f"{where}the content of a tool turn can't be stored, {error}: convert it to text first"
        ) from None


def _is_part(part: object) -> bool:
    return is_part(part) if isinstance(part, Mapping) else isinstance(part, (str, Media))


def _as_part(part: object) -> object:
    """Return a content part from a part, from text, or from `Media`."""
    if isinstance(part, Media):
        return msgspec.to_builtins(part)
    return {"type": "text", "text": part} if isinstance(part, str) else part


def as_tool_calls(role: str, calls: Iterable[object], where: str) -> list[dict[str, Any]] | None:
    """Return the calls of an assistant's turn in the chat-completions format."""
    if role != "assistant":
        raise InvalidTurnError(f"{where}only an assistant turn has tool_calls, not a {role} turn")
    if isinstance(calls, (str, Mapping)) or not isinstance(calls, Iterable):
        raise InvalidTurnError(f"{where}tool_calls is a list of calls, not {kind_of(calls)}")
    return [_tool_call(call, where) for call in calls] or None


def _tool_call(call: object, where: str) -> dict[str, Any]:
    message: Any = dumped(call)
    match message:
        case {"function": {"name": str()} as function}:
            pass
        case {"type": "custom", "custom": {"name": str(), "input": str()}}:
            id = as_call_id(message.get("id"), f"{where}a tool call's id")
            custom = checked_json({**message, "id": id}, f"{where}a tool call")
            return cast("dict[str, Any]", custom)
        case _:
            raise InvalidTurnError(
                f"{where}a tool call is {{'id': …, 'type': 'function', 'function': "
                f"{{'name': …, 'arguments': …}}}}, not {kind_of(call)}"
            )
    # The APIs carry arguments as JSON text; some clients hand over the parsed value.
    arguments = function.get("arguments")
    if arguments is None:
        arguments = "{}"
    if not isinstance(arguments, str):
        try:
            arguments = _arguments(arguments)
        except ValueError as error:
            raise InvalidTurnError(
                f"{where}the arguments of a tool call can't be stored, {error}"
            ) from None
    checked = {
        **message,
        "id": as_call_id(message.get("id"), f"{where}a tool call's id"),
        "type": "function",
        "function": {**function, "arguments": arguments},
    }
    return cast("dict[str, Any]", checked_json(checked, f"{where}a tool call"))


def _arguments(value: object) -> str:
    """Return parsed arguments as JSON text, without the NULs that JSON would only escape."""
    text = json_text(value)
    return json_text(clean_json(json.loads(text), "it")) if "\\u0000" in text else text


def as_call_id(id: object, what: str) -> str:
    """Return the id of a call as text; empty if there is none, and windows make one up."""
    if id is None:
        return ""
    if isinstance(id, bool) or not isinstance(id, (str, int)):
        raise InvalidTurnError(f"{what} is text, not {type(id).__name__}")
    return clean_text(id if isinstance(id, str) else str(id))
