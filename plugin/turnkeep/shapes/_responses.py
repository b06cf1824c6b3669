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
from collections.abc import Iterable, Mapping, Sequence
from typing import Any, Final

from ._calls import Call, CallIds, calls_of
from ._common import (
    Part,
    image_url,
    in_words,
    indexed_parts,
    parts_of,
    plain_text,
    read,
)
from ._items import Pieces, items_of, media_notes, restored

SHAPE: Final = "responses"
FILE_KEYS: Final = ("file_data", "file_id", "filename")
PHASES: Final = ("commentary", "final_answer")
DETAILS: Final = ("low", "high", "auto", "original")


def to_responses(messages: object) -> list[dict[str, Any]]:
    items: list[dict[str, Any]] = []
    ids = CallIds()
    known = [*read(messages)]
    results = _Results(message for _, message in known)
    for where, message in known:
        role = message["role"]
        if role == "assistant":
            calls = [(call, ids.call(call)) for call in calls_of(message, where)]
            results.custom.update(call.id for call, _ in calls if call.is_custom)
            own = items_of(message, SHAPE)
            if own is None:
                items += _reasoning(message)
                items += plain_answer(message, where, len(items), calls)
            else:
                items += _own_answer(message, where, own, calls, results)
        elif role == "tool":
            items.append(_output(message, where, ids, results))
        elif own := items_of(message, SHAPE):
            items += _own_message(message, where, own)
        elif parts := parts_of(message, where):
            items.append(plain_message(role, parts))
    return items


def plain_message(role: str, parts: Sequence[Part]) -> dict[str, Any]:
    """Return the item of a user's or the system's message."""
    return message_item(role, input_content(parts if role == "user" else in_words(parts)))


def message_item(role: str, content: object) -> dict[str, Any]:
    return {"type": "message", "role": role, "content": content}


class _Results:
    """The results in a window, which say in which form their calls go out."""

    def __init__(self, messages: Iterable[Mapping[str, Any]]) -> None:
        self.native: set[str] = set()
        self._plain: set[str] = set()
        self.custom: set[str] = set()
        for message in messages:
            if message["role"] == "tool" and isinstance(message.get("tool_call_id"), str):
                own = items_of(message, SHAPE)
                whole = own is not None and "as" in own[0]
                (self.native if whole else self._plain).add(message["tool_call_id"])

    def call(self, item: Mapping[str, Any], call: Call, id: str) -> dict[str, Any]:
        """Return a call as its item says; a built-in tool's only if its result is one, too."""
        if "as" in item and call.id in self._plain:
            return call_item(call, id)
        return restored(item, call_item(call, id))


def call_item(call: Call, id: str) -> dict[str, Any]:
    if call.is_custom:
        made = {"type": "custom_tool_call", "call_id": id, "name": call.name}
        return {**made, "input": call.arguments}
    made = {"type": "function_call", "call_id": id, "name": call.name}
    return {**made, "arguments": call.arguments}


def _output(
    message: Mapping[str, Any], where: str, ids: CallIds, results: _Results
) -> dict[str, Any]:
    content = message.get("content")
    if not isinstance(content, str):
        parts = parts_of(message, where)
        content = input_content(parts) if parts else ""
    id, _ = ids.result(message, where)
    kind = "custom_tool_call" if message["tool_call_id"] in results.custom else "function_call"
    plain = {"type": f"{kind}_output", "call_id": id, "output": content}
    own = items_of(message, SHAPE)
    return restored(own[0], plain) if own else plain


def plain_answer(
    message: Mapping[str, Any], where: str, index: int, calls: Sequence[tuple[Call, str]]
) -> list[dict[str, Any]]:
    parts = [*parts_of(message, where), *media_notes(message)]
    answer = [_answer(message, parts, index)] if parts else []
    return answer + [call_item(*call) for call in calls]


def _own_answer(
    message: Mapping[str, Any],
    where: str,
    own: Sequence[Mapping[str, Any]],
    calls: Sequence[tuple[Call, str]],
    results: _Results,
) -> list[dict[str, Any]]:
    """Return the items of an answer of this API, unchanged and in their order."""
    out: list[dict[str, Any]] = []
    parts = indexed_parts(message, where)
    left = dict(enumerate(calls))
    pieces = Pieces([None if part is None else output_part(part) for part in parts])
    for item in own:
        index = item.get("call")
        if isinstance(index, int) and index in left:
            call, id = left.pop(index)
            out.append(results.call(item, call, id))
        else:
            out += _own_item("assistant", item, pieces)
    rest, _ = pieces.left()
    if rest:
        out.append(message_item("assistant", "\n".join(str(one.get("text", "")) for one in rest)))
    return out + [call_item(*call) for call in left.values()]


def _own_message(
    message: Mapping[str, Any], where: str, own: Sequence[Mapping[str, Any]]
) -> list[dict[str, Any]]:
    """Return the items of a message of a user or the system."""
    role = message["role"]
    parts = indexed_parts(message, where)
    pieces = Pieces([None if part is None else input_part(part) for part in parts])
    out = [one for item in own for one in _own_item(role, item, pieces)]
    rest, _ = pieces.left()
    return out + ([message_item(role, rest)] if rest else [])


def _own_item(role: str, item: Mapping[str, Any], pieces: Pieces) -> list[dict[str, Any]]:
    inner = item.get("message")
    if isinstance(inner, list):
        content = [one for part in inner if isinstance(part, Mapping) for one in pieces.at(part)]
        return [restored(item, message_item(role, content))] if content or not inner else []
    found = pieces.at({"part": item["part"]} if "part" in item else item)
    if "part" not in item:
        return found
    return [restored(item, message_item(role, str(one.get("text", "")))) for one in found]


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
        item["content"] = [output_part(part) for part in parts]
    if message.get("phase") in PHASES:
        item["phase"] = message["phase"]
    return item


def output_part(part: Part) -> dict[str, Any]:
    if part["type"] == "refusal":
        return {"type": "refusal", "refusal": part["refusal"]}
    return {"type": "output_text", "text": plain_text(part), "annotations": []}


def input_content(parts: Sequence[Part]) -> str | list[dict[str, Any]]:
    """Return the content of a user's or system's item; one text part becomes that text."""
    made = [input_part(part) for part in parts]
    if len(made) == 1 and made[0]["type"] == "input_text":
        return str(made[0]["text"])
    return made


def input_part(part: Part) -> dict[str, Any]:
    if part["type"] == "image_url" and (url := image_url(part)):
        image = part["image_url"]
        detail = image.get("detail") if isinstance(image, Mapping) else None
        return {
            "type": "input_image",
            "image_url": url,
            "detail": detail if detail in DETAILS else "auto",
        }
    if part["type"] == "file" and isinstance(part.get("file"), Mapping):
        file = {k: v for k in FILE_KEYS if isinstance(v := part["file"].get(k), str)}
        if "file_data" in file or "file_id" in file:
            return {"type": "input_file", **file}
    return {"type": "input_text", "text": plain_text(part)}
