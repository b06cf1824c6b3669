"""Read what OpenAI's Responses API takes and gives: its items as messages."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from typing import Any, Final

from ._calls import as_arguments, call_dict, calls_of, custom_call_dict
from ._common import (
    Message,
    Part,
    content_of,
    listed,
    mapping_or_empty,
    note,
    text_at,
    text_part,
)
from ._items import Reader, difference, frozen, native_of
from ._responses import (
    DETAILS,
    FILE_KEYS,
    PHASES,
    SHAPE,
    call_item,
    input_content,
    input_part,
    message_item,
    output_part,
    plain_answer,
    plain_message,
)

_NOT_ARGUMENTS: Final = ("id", "type", "call_id", "status")
_FUNCTION_OUTPUTS: Final = ("function_call_output", "custom_tool_call_output")


def from_responses(window: object) -> list[Message]:
    return _read(listed(window, "input"))


def answers_from_responses(output: Sequence[Mapping[str, Any]]) -> list[Message]:
    """Return the messages of a response's output. It never raises."""
    return _read(output)


def _read(window: Sequence[Mapping[str, Any]]) -> list[Message]:
    messages: list[Message] = []
    answer: _Answer | None = None
    asked: set[str] = set()
    for index, given in enumerate(window):
        where = f"input item {index}"
        item = native_of(given)
        kind = item.get("type") or ("message" if "role" in item else None)
        role = item.get("role")
        if kind == "message" and role in ("system", "developer", "user"):
            found = _said(item, str(role), where)
        elif (result := _result(item, str(kind), asked, where)) is not None:
            found = [result]
        else:
            if answer is None or answer.ends_before(str(kind)):
                messages += answer.message() if answer else []
                answer = _Answer(index)
            answer.add(item, str(kind), role, asked)
            continue
        messages += answer.message() if answer else []
        answer = None
        messages += found
    return messages + (answer.message() if answer else [])


class _Answer:
    """The items of one assistant's message."""

    def __init__(self, index: int) -> None:
        self._index = index
        self._reader = Reader(SHAPE)
        self._phase: object = None

    def ends_before(self, kind: str) -> bool:
        """Return True if an item of this kind begins another answer.

        The calls of an answer stay together, before their results.
        """
        reader = self._reader
        return kind in ("message", "reasoning") and bool(reader.parts) and not reader.calls

    def add(self, item: dict[str, Any], kind: str, role: object, asked: set[str]) -> None:
        reader = self._reader
        match item:
            case {"content": str() | list()} if kind == "message" and role == "assistant":
                _add_message(reader, item, "assistant", output_part)
                if item.get("phase") in PHASES:
                    self._phase = item["phase"]
                return
            case {"call_id": str(id), "name": str(name), "arguments": str(text)} if (
                kind == "function_call"
            ):
                call = call_dict(id, name, text)
            case {"call_id": str(id), "name": str(name), "input": str(text)} if (
                kind == "custom_tool_call"
            ):
                call = custom_call_dict(id, name, text)
            case {"call_id": str(id)} if kind.endswith("_call"):
                rest = {key: item[key] for key in item if key not in _NOT_ARGUMENTS}
                call = call_dict(id, kind, as_arguments(rest))
            case _:
                reader.item(item)
                return
        asked.add(id)
        (plain,) = calls_of({"tool_calls": [call]}, "")
        if kind in ("function_call", "custom_tool_call"):
            reader.call(call, item, call_item(plain, id))
        else:
            reader.whole_call(call, item)

    def message(self) -> list[Message]:
        """Return the message, or nothing if nothing was said."""
        reader = self._reader
        if not reader:
            return []
        message: Message = {"role": "assistant", "content": content_of(reader.parts)}
        if reader.calls:
            message["tool_calls"] = reader.calls
        phase = {"phase": self._phase} if self._phase else {}
        calls = [(call, call.id) for call in calls_of(message, "")]
        plain = plain_answer({**message, **phase}, "", self._index, calls)
        # A custom tool's call is shown as one only to the API it is from.
        if plain == reader.natives and not any(call.is_custom for call, _ in calls):
            return [{**message, **phase}]
        return [{**message, **reader.kept(())}]


def _add_message(
    reader: Reader,
    item: dict[str, Any],
    role: str,
    plain: Callable[[Part], dict[str, Any]],
) -> None:
    content = item["content"]
    if isinstance(content, str) and not content.strip():
        reader.item(item)
        return
    if isinstance(content, str):
        made = message_item(role, content)
        reader.entry({"part": reader.add_part(text_part(content)), **difference(item, made)}, item)
        return
    inner: list[dict[str, Any]] = []
    for one in content:
        part = _part(one) if isinstance(one, Mapping) else None
        if part is None or not _says_something(part):
            inner.append({"item": frozen(one)})
        else:
            inner.append({"part": reader.add_part(part), **difference(dict(one), plain(part))})
    reader.entry({"message": inner, **difference(item, message_item(role, content))}, item)


def _said(item: dict[str, Any], role: str, where: str) -> list[Message]:
    """Return the message of a user or the system."""
    content = item.get("content")
    if not isinstance(content, str):
        listed(content, f"{where}, content")
    reader = Reader(SHAPE)
    _add_message(reader, item, role, input_part)
    if not any(map(_says_something, reader.parts)):
        # Nothing is said in a text that is blank, but it goes back to this API.
        kept = {"shape": SHAPE, "items": [{"item": frozen(item)}]}
        return [{"role": role, "content": "", **kept}] if isinstance(content, str) else []
    kept = reader.kept([plain_message(role, reader.parts)])
    return [{"role": role, "content": content_of(reader.parts), **kept}]


def _result(item: dict[str, Any], kind: str, asked: set[str], where: str) -> Message | None:
    """Return a result's message; None for an item that is none, or belongs to no call."""
    id = item.get("call_id", item.get("id"))
    is_function = kind == "function_call_output"
    if not is_function and not (kind.endswith("_output") and id in asked):
        return None
    id = text_at(item, "call_id", where) if is_function else str(id)
    output, parts = item.get("output"), []
    if not isinstance(output, str):
        if isinstance(output, list) and kind in _FUNCTION_OUTPUTS:
            parts = _parts(output, where)
        elif is_function:
            listed(output, f"{where}, content")
        content = content_of(parts) or ""
        made: object = input_content(parts) if parts else ""
    else:
        content = made = output
    if kind not in _FUNCTION_OUTPUTS:
        image = mapping_or_empty(output).get("image_url")
        if isinstance(image, str):
            content = [{"type": "image_url", "image_url": {"url": image}}]
        elif not isinstance(output, str):
            content = as_arguments({"output": output})
    message: Message = {"role": "tool", "content": content, "tool_call_id": id}
    plain = {"type": kind, "call_id": id, "output": made} if kind in _FUNCTION_OUTPUTS else {}
    more = difference(item, plain)
    if not plain:
        more = {"as": frozen(item)}
    return {**message, "shape": SHAPE, "items": [{"result": True, **more}]} if more else message


def _parts(content: object, where: str) -> list[dict[str, Any]]:
    parts = map(_part, listed(content, f"{where}, content"))
    return [part for part in parts if part is not None and _says_something(part)]


def _part(part: Part) -> dict[str, Any] | None:
    """Return a part of a message, or None for one without what its type needs."""
    match part:
        case {"type": "input_text" | "output_text" | "text", "text": str(text)}:
            return text_part(text)
        case {"type": "refusal", "refusal": str(text)}:
            return {"type": "refusal", "refusal": text}
        case {"type": "input_image", "image_url": str(url)}:
            image = {"url": url}
            if part.get("detail") in DETAILS and part["detail"] != "auto":
                image["detail"] = part["detail"]
            return {"type": "image_url", "image_url": image}
        case {"type": "input_image"}:
            return text_part(note("image", part.get("file_id")))
        case {"type": "input_file"}:
            file = {key: part[key] for key in FILE_KEYS if isinstance(part.get(key), str)}
            if "file_data" in file or "file_id" in file:
                return {"type": "file", "file": file}
            return text_part(note("file", part.get("file_url") or part.get("filename")))
        case {"type": str(kind)} if kind not in ("input_text", "output_text", "text", "refusal"):
            return text_part(note(kind))
    return None


def _says_something(part: Mapping[str, Any]) -> bool:
    text = part.get("text", part.get("refusal", "-"))
    return bool(text.strip())
