"""OpenAI's Responses API: messages, calls and results are items of one flat list.

The facts come from `ResponseInputParam` in the `openai` package (3.54) and from
https://developers.openai.com/api/docs/guides/migrate-to-responses. Two rules are stricter
than the types:

- an assistant's parts are `output_text` and `refusal` and no other ("Invalid value:
  'input_text'. Supported values are: 'output_text' and 'refusal'");
- a message's id begins with `msg` ("Expected an ID that begins with 'msg'").
"""

from __future__ import annotations

import copy
from collections.abc import Mapping, Sequence
from typing import Any, Final

from .._errors import WindowError
from ._calls import CallIds, call_dict, calls_of
from ._common import (
    Message,
    Part,
    content_of,
    image_url,
    in_words,
    listed,
    note,
    parts_of,
    plain_text,
    read,
    text_at,
    text_part,
)

_FILE_KEYS: Final = ("file_data", "file_id", "filename")
_PHASES: Final = ("commentary", "final_answer")
_DETAILS: Final = ("low", "high", "auto", "original")


def to_responses(messages: object) -> list[dict[str, Any]]:
    items: list[dict[str, Any]] = []
    ids = CallIds()
    for where, message in read(messages):
        role = message["role"]
        parts = parts_of(message, where)
        if role == "assistant":
            items += _reasoning(message)
            if parts:
                items.append(_answer(message, parts, len(items)))
            items += (
                {
                    "type": "function_call",
                    "call_id": ids.call(call),
                    "name": call.name,
                    "arguments": call.arguments,
                }
                for call in calls_of(message, where)
            )
        elif role == "tool":
            content = message.get("content")
            if not isinstance(content, str):
                content = _input(in_words(parts)) if parts else ""
            id, _ = ids.result(message, where)
            items.append({"type": "function_call_output", "call_id": id, "output": content})
        elif parts:
            content = _input(parts if role == "user" else in_words(parts))
            items.append({"type": "message", "role": role, "content": content})
    return items


def _reasoning(message: Mapping[str, Any]) -> list[dict[str, Any]]:
    """Return the caller's reasoning items, which the API wants before the answer they led to."""
    items = message.get("reasoning_items")
    if not isinstance(items, list):
        return []
    return [copy.deepcopy(dict(one)) for one in items if _is_reasoning(one)]


def _is_reasoning(item: Any) -> bool:
    return (
        isinstance(item, Mapping)
        and item.get("type") == "reasoning"
        and isinstance(item.get("id"), str)
        and isinstance(item.get("summary"), list)
    )


def _answer(message: Mapping[str, Any], parts: list[Part], index: int) -> dict[str, Any]:
    """Return an assistant's message item.

    One text is its content. More parts, or a refusal, need an output message with an id.
    """
    item: dict[str, Any] = {"type": "message", "role": "assistant"}
    if len(parts) == 1 and parts[0]["type"] != "refusal":
        item["content"] = plain_text(parts[0])
    else:
        item |= {"id": f"msg_{index}", "status": "completed"}
        item["content"] = [
            {"type": "refusal", "refusal": part["refusal"]}
            if part["type"] == "refusal"
            else {"type": "output_text", "text": plain_text(part), "annotations": []}
            for part in parts
        ]
    if message.get("phase") in _PHASES:
        item["phase"] = message["phase"]
    return item


def _input(parts: Sequence[Part]) -> str | list[dict[str, Any]]:
    """Return the content of a user's or system's item; one text part becomes that text."""
    made = [_input_part(part) for part in parts]
    if len(made) == 1 and made[0]["type"] == "input_text":
        return str(made[0]["text"])
    return made


def _input_part(part: Part) -> dict[str, Any]:
    if part["type"] == "image_url" and (url := image_url(part)):
        image = part["image_url"]
        detail = image.get("detail") if isinstance(image, Mapping) else None
        return {
            "type": "input_image",
            "image_url": url,
            "detail": detail if detail in _DETAILS else "auto",
        }
    if part["type"] == "file" and isinstance(part.get("file"), Mapping):
        file = {k: v for k in _FILE_KEYS if isinstance(v := part["file"].get(k), str)}
        if "file_data" in file or "file_id" in file:
            return {"type": "input_file", **file}
    return {"type": "input_text", "text": plain_text(part)}


def from_responses(window: object) -> list[Message]:
    messages: list[Message] = []
    answer: Message | None = None
    for index, item in enumerate(listed(window, "input")):
        where = f"input item {index}"
        kind = item.get("type") or ("message" if "role" in item else None)
        role = item.get("role")
        if kind == "message" and role in ("system", "developer", "user"):
            answer = None
            if parts := _parts(item.get("content"), where):
                messages.append({"role": role, "content": content_of(parts)})
        elif kind == "function_call_output":
            answer = None
            content, id = item.get("output"), text_at(item, "call_id", where)
            if not isinstance(content, str):
                content = content_of(in_words(_parts(content, where))) or ""
            messages.append({"role": "tool", "content": content, "tool_call_id": id})
        elif (kind == "message" and role == "assistant") or kind in ("function_call", "reasoning"):
            if answer is None or _begins_another(kind, answer):
                answer = {"role": "assistant", "content": []}
                messages.append(answer)
            _add(answer, kind, item, where)
        else:
            raise WindowError(f"{where}: an item of type {kind!r} (role {role!r}) is not known")
    for message in messages:
        if message["role"] == "assistant":
            message["content"] = content_of(message["content"])
    return [one for one in messages if one["content"] is not None or one.get("tool_calls")]


def _begins_another(kind: str, answer: Message) -> bool:
    """Return True if an item of this kind begins another answer.

    The calls of an answer stay together, before their results.
    """
    if kind == "function_call" or answer.get("tool_calls"):
        return False
    return bool(answer["content"])


def _add(answer: Message, kind: str, item: Mapping[str, Any], where: str) -> None:
    if kind == "reasoning":
        answer.setdefault("reasoning_items", []).append(copy.deepcopy(dict(item)))
    elif kind == "function_call":
        answer.setdefault("tool_calls", []).append(
            call_dict(
                text_at(item, "call_id", where),
                text_at(item, "name", where),
                text_at(item, "arguments", where),
            )
        )
    else:
        answer["content"] += in_words(_parts(item.get("content"), where), "refusal")
        if item.get("phase") in _PHASES:
            answer["phase"] = item["phase"]


def _parts(content: object, where: str) -> list[Part]:
    if isinstance(content, str):
        return [text_part(content)] if content.strip() else []
    parts = [_part(part, where) for part in listed(content, f"{where}, content")]
    return [part for part in parts if part["type"] != "text" or part["text"].strip()]


def _part(part: Part, where: str) -> dict[str, Any]:
    kind = part.get("type")
    if kind in ("input_text", "output_text", "text"):
        return text_part(text_at(part, "text", where))
    if kind == "refusal":
        return {"type": "refusal", "refusal": text_at(part, "refusal", where)}
    if kind == "input_image":
        if not isinstance(part.get("image_url"), str):
            return text_part(note("image", part.get("file_id")))
        image = {"url": part["image_url"]}
        if part.get("detail") in _DETAILS and part["detail"] != "auto":
            image["detail"] = part["detail"]
        return {"type": "image_url", "image_url": image}
    if kind == "input_file":
        file = {key: part[key] for key in _FILE_KEYS if isinstance(part.get(key), str)}
        if "file_data" in file or "file_id" in file:
            return {"type": "file", "file": file}
        return text_part(note("file", part.get("file_url") or part.get("filename")))
    raise WindowError(f"{where}: a content part of type {kind!r} is not known")
