"""Read what Gemini's API takes and gives: contents and their parts as messages."""

from __future__ import annotations

import base64
import re
from collections.abc import Mapping, Sequence
from typing import Any, Final, cast

from .._errors import WindowError, kind_of
from ._calls import Call, answer, as_arguments, call_dict, dump
from ._common import (
    Message,
    Part,
    content_of,
    listed,
    mapping_at,
    mapping_or_empty,
    note,
    text_at,
    text_part,
)
from ._google import OUTPUT, SHAPE, call_part, google_part, plain_answer, response_part, role_of
from ._items import Reader, difference, framed, native_of
from ._media import bytes_of, data_of, is_web_url

_CAMEL: Final = re.compile(r"(?<=[a-z0-9])[A-Z]")
_CALLERS: Final = ("args", "response", "part_metadata")
"""Fields whose keys are the caller's own."""


def from_google(window: object) -> list[Message]:
    if not isinstance(window, Mapping):
        raise WindowError(f"window: a dict with 'contents' is needed here, not {kind_of(window)}")
    messages: list[Message] = []
    instruction = window.get("system_instruction", window.get("systemInstruction"))
    if isinstance(instruction, str):
        messages += framed(_system([{"text": instruction}]), SHAPE, {"text": True})
    elif instruction is not None:
        found = mapping_at({"system_instruction": instruction}, "system_instruction", "window")
        said = _system(listed(found.get("parts") or [], "system_instruction"))
        role = found.get("role")
        messages += framed(said, SHAPE, {} if role is None else {"role": role})
    before: object = None
    open_calls: list[tuple[str, str]] = []
    unnamed = 0
    for index, content in enumerate(listed(window.get("contents"), "contents")):
        where = f"content {index}"
        role = content.get("role") or "user"
        parts = [_native(part) for part in listed(content.get("parts") or [], where)]
        said_by = role_of(content)
        frame: dict[str, Any] = {"apart": True} if said_by == before else {}
        if content.get("role") != said_by:
            frame["role"] = content.get("role")
        if role == "model":
            open_calls = []
            found_here = framed(answer_from_google(parts), SHAPE, frame)
            for answered in found_here:
                for call in answered.get("tool_calls", ()):
                    if not call["id"]:
                        unnamed += 1
                        call["id"] = f"call_{unnamed}"
                    open_calls.append((call["id"], call["function"]["name"]))
                messages.append(answered)
        elif role in ("user", "function", "tool"):
            found_here = framed(_from_user(parts, open_calls, where), SHAPE, frame)
            messages += found_here
        else:
            raise WindowError(f"{where}: the role {role!r} is none of user, model")
        before = said_by if found_here else before
    return messages


def _system(parts: Sequence[Part]) -> list[Message]:
    texts = [text_at(part, "text", "system_instruction") for part in parts]
    return [{"role": "system", "content": text} for text in texts if text.strip()]


def _snake(value: Any) -> Any:
    """Return the fields under the names that the package writes; the API writes camelCase."""
    if isinstance(value, Mapping):
        named = {_CAMEL.sub(lambda at: f"_{at[0].lower()}", key): value[key] for key in value}
        return {key: named[key] if key in _CALLERS else _snake(named[key]) for key in named}
    return [_snake(one) for one in value] if isinstance(value, list) else value


def _native(part: Mapping[str, Any]) -> dict[str, Any]:
    """Return a part as the package writes it, with its bytes as bytes."""
    native = cast("dict[str, Any]", _snake(native_of(part)))
    parts = mapping_or_empty(native.get("function_response")).get("parts")
    for one in [native, *(parts if isinstance(parts, list) else ())]:
        blob = mapping_or_empty(one).get("inline_data")
        if isinstance(blob, dict) and (raw := bytes_of(blob.get("data"))) is not None:
            blob["data"] = raw
    if (signature := bytes_of(native.get("thought_signature"))) is not None:
        native["thought_signature"] = signature
    return native


def answer_from_google(parts: Sequence[Mapping[str, Any]]) -> list[Message]:
    """Return the answer of these parts as one message. It never raises."""
    reader = Reader(SHAPE)
    for part in map(_native, parts):
        match part:
            case {"function_call": {"name": str(name)} as call}:
                args = call.get("args")
                text = as_arguments(args if isinstance(args, Mapping) else {})
                made = call_dict(str(call.get("id") or ""), name, text)
                plain = Call(made["id"], name, text)
                reader.call(made, part, call_part(plain, plain.id))
            case {"text": str(text)} if text.strip() and not part.get("thought"):
                reader.part(text_part(text), part, {"text": text})
            case {"text": ""} if len(part) == 1:
                pass
            case _:
                reader.item(part)
    return answer(reader, plain_answer)


def _from_user(
    parts: Sequence[dict[str, Any]], calls: list[tuple[str, str]], where: str
) -> list[Message]:
    messages: list[Message] = []
    reader = Reader(SHAPE)
    for part in parts:
        if part.get("function_response") is None:
            for one in _parts(part, where):
                reader.part(one, part, google_part(one))
            continue
        result = mapping_at(part, "function_response", where)
        name, id = text_at(result, "name", where), result.get("id")
        answered = next((one for one in calls if id == one[0] or (not id and name == one[1])), None)
        if answered is None:
            raise WindowError(f"{where}: a result of {name!r}, which no content before it calls")
        calls.remove(answered)
        messages.append(_result(part, result, answered[0], where))
    if reader:
        plain = [google_part(part) for part in reader.parts]
        content = content_of(reader.parts)
        messages.append({"role": "user", "content": content, **reader.kept(plain)})
    return messages


def _result(part: dict[str, Any], result: Mapping[str, Any], id: str, where: str) -> Message:
    response = mapping_or_empty(result.get("response"))
    output = response.get(OUTPUT) if len(response) == 1 else None
    text = output if isinstance(output, str) else dump(dict(response), where)
    found: list[dict[str, Any]] = [text_part(text)] if text else []
    for one in listed(result.get("parts") or [], where):
        found += _parts(one, where)
    content = content_of(found) or ""
    plain = response_part(id, result["name"], found)
    message: Message = {"role": "tool", "content": content, "tool_call_id": id}
    more = difference(part, plain)
    return {**message, "shape": SHAPE, "items": [{"result": True, **more}]} if more else message


def _parts(part: Part, where: str) -> list[dict[str, Any]]:
    if isinstance(blob := part.get("inline_data"), Mapping):
        return [_from_bytes(text_at(blob, "mime_type", where), blob.get("data"))]
    if isinstance(file := part.get("file_data"), Mapping):
        uri = text_at(file, "file_uri", where)
        if str(file.get("mime_type")).startswith("image/") and is_web_url(uri):
            return [{"type": "image_url", "image_url": {"url": uri}}]
        return [text_part(note("file", uri))]
    text = part.get("text")
    if isinstance(text, str):
        return [text_part(text)] if text.strip() and not part.get("thought") else []
    if not part or text is not None:
        raise WindowError(f"{where}: a part with {', '.join(part) or 'nothing'} is not known")
    return [text_part(note(next(iter(part))))]


def _from_bytes(mime: str, raw: object) -> dict[str, Any]:
    data = data_of(mime, base64.b64encode(bytes_of(raw) or b"").decode())
    if data is None:
        return text_part(note("file"))
    kind, _, subtype = data.mime.partition("/")
    if kind == "image":
        return {"type": "image_url", "image_url": {"url": data.url}}
    if kind == "audio":
        return {
            "type": "input_audio",
            "input_audio": {"data": data.base64, "format": subtype},
        }
    return {"type": "file", "file": {"file_data": data.url}}
