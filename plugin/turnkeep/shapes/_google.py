"""Google's Gemini API: a system instruction, and contents of users and the model with parts.

The facts come from `google.genai.types.Content` in the `google-genai` package (3.4):

- the roles are `user` and `model`;
- bytes are `bytes` (a client that speaks HTTP itself writes them in base64);
- a result is an object whose `output` is the function's output, and it names its function;
- a call's `id` is optional, and its result repeats it;
- a turn has as many results as calls ("the number of function response parts is equal to the
  number of function call parts").

A thought signature goes back on the part that it came with:
https://ai.google.dev/gemini-api/docs/thought-signatures.
"""

from __future__ import annotations

import base64
import re
from collections.abc import Iterator, Mapping, Sequence
from typing import Any, Final, NotRequired, TypedDict, cast
from urllib.parse import urlsplit

from .._errors import WindowError, kind_of
from ._calls import Call, CallIds, answer, as_arguments, call_dict, calls_of, dump, signature_of
from ._common import (
    Message,
    Messages,
    Part,
    content_of,
    image_url,
    joined,
    listed,
    mapping_at,
    mapping_or_empty,
    note,
    parts_of,
    plain_text,
    read,
    text_at,
    text_part,
)
from ._items import (
    Reader,
    difference,
    frame_of,
    framed,
    items_of,
    laid_out,
    native_of,
    restored,
)
from ._media import audio_of, bytes_of, data_of, data_url, file_of, is_web_url

# Written out, since the `mimetypes` of the standard library differ between machines.
_MIME_OF: Final = {
    "gif": "image/gif",
    "heic": "image/heic",
    "heif": "image/heif",
    "jpeg": "image/jpeg",
    "jpg": "image/jpeg",
    "png": "image/png",
    "webp": "image/webp",
}
SHAPE: Final = "google"
_CAMEL: Final = re.compile(r"(?<=[a-z0-9])[A-Z]")
_CALLERS: Final = ("args", "response", "part_metadata")
"""Fields whose keys are the caller's own."""

_STAND_IN: Final = b"skip_thought_signature_validator"
"""Gemini 3 wants a signature at the first call of each answer, and takes this for a call that
another model has made: https://ai.google.dev/gemini-api/docs/thought-signatures."""

_OUTPUT: Final = "output"


class GoogleWindow(TypedDict):
    """The arguments for `generate_content`; the instruction is a field of its `config`."""

    system_instruction: NotRequired[Any]
    contents: Messages


def to_google(messages: object) -> GoogleWindow:
    system: list[dict[str, Any]] = []
    instruction: Mapping[str, Any] = {}
    contents: list[dict[str, Any]] = []
    ids = CallIds()
    unnamed: set[str] = set()
    for where, message in read(messages):
        parts = parts_of(message, where)
        text = "\n".join(plain_text(part) for part in parts)
        match message["role"]:
            case "user":
                _append(contents, "user", laid_out(message, where, SHAPE, _google_part), message)
            case "assistant":
                _append(contents, "model", _model_parts(message, ids, unnamed, where), message)
            case "tool":
                id, name = ids.result(message, where)
                content = message.get("content")
                if isinstance(content, str):
                    parts = [text_part(content)]
                result = restored((items_of(message, SHAPE) or [{}])[0], _response(id, name, parts))
                if message["tool_call_id"] in unnamed:
                    result["function_response"].pop("id", None)
                _append(contents, "user", [result], message)
            case _:
                if parts:
                    instruction = frame_of(message, SHAPE) or instruction
                    system.append({"text": text})
    if not system:
        return GoogleWindow(contents=contents)
    if instruction.get("text") and len(system) == 1:
        return GoogleWindow(system_instruction=system[0]["text"], contents=contents)
    role = {"role": instruction["role"]} if "role" in instruction else {}
    return GoogleWindow(system_instruction={**role, "parts": system}, contents=contents)


def _append(
    contents: list[dict[str, Any]],
    role: str,
    parts: list[dict[str, Any]],
    message: Mapping[str, Any],
) -> None:
    if not parts:
        return
    frame = frame_of(message, SHAPE) or {}
    if contents and _role(contents[-1]) == role and not frame.get("apart"):
        said = contents[-1]["parts"]
        contents[-1]["parts"] = joined(said, parts) if role == "user" else [*said, *parts]
        return
    own = {"role": frame.get("role", role)}
    contents.append({**({} if own["role"] is None else own), "parts": parts})


def _role(content: Mapping[str, Any]) -> str:
    return "model" if content.get("role") == "model" else "user"


def _model_parts(
    message: Mapping[str, Any], ids: CallIds, unnamed: set[str], where: str
) -> list[dict[str, Any]]:
    """Return an assistant's parts.

    The message's own signature goes on its last text, or else on its first call.
    """
    found = calls_of(message, where)
    calls = [_signed(_call(call, ids.call(call)), call.signature) for call in found]
    if (items := items_of(message, SHAPE)) is not None:
        unnamed.update(found[index].id for index in _without_id(items) if index < len(found))
        return laid_out(message, where, SHAPE, _model_text, calls)
    texts = laid_out(message, where, SHAPE, _model_text)
    signature = signature_of(message)
    if texts and signature:
        texts[-1] = _signed(texts[-1], signature)
    elif calls and "thought_signature" not in calls[0]:
        calls[0] = _signed(calls[0], signature)
        if "thought_signature" not in calls[0]:
            calls[0]["thought_signature"] = _STAND_IN
    return [*texts, *calls]


def _plain_answer(message: Message, _: list[Call]) -> list[dict[str, Any]]:
    return _model_parts(message, CallIds(), set(), "")


def _without_id(items: Sequence[Mapping[str, Any]]) -> Iterator[int]:
    """Yield the indexes of the calls that the API gave no id."""
    for item in items:
        patch = mapping_or_empty(mapping_or_empty(item.get("patch")).get("function_call"))
        if "id" in patch and patch["id"] is None and isinstance(item.get("call"), int):
            yield item["call"]


def _model_text(part: Part) -> dict[str, Any]:
    return {"text": plain_text(part)}


def _call(call: Call, id: str) -> dict[str, Any]:
    return {"function_call": {"id": id, "name": call.name, "args": call.input}}


def _response(id: str, name: str, parts: Sequence[Part]) -> dict[str, Any]:
    """Return a result. Its pictures and sounds stand beside the output, as parts of their own."""
    made = [_google_part(part) for part in parts]
    output = "\n".join(one["text"] for one in made if "text" in one)
    response: dict[str, Any] = {"id": id, "name": name, "response": {_OUTPUT: output}}
    if media := [one for one in made if "text" not in one]:
        response["parts"] = media
    return {"function_response": response}


def _signed(part: dict[str, Any], signature: str | None) -> dict[str, Any]:
    raw = bytes_of(signature)
    return {**part, "thought_signature": raw} if raw else part


def _google_part(part: Part) -> dict[str, Any]:
    data = None
    if part["type"] == "image_url":
        url = image_url(part)
        data = data_url(url)
        if is_web_url(url):
            return {"file_data": {"file_uri": url, "mime_type": _image_type(url)}}
    elif part["type"] == "input_audio":
        data = audio_of(part)
    elif part["type"] == "file":
        _, data = file_of(part)
    if data is None:
        return {"text": plain_text(part)}
    return {"inline_data": {"mime_type": data.mime, "data": data.raw}}


def _image_type(url: str) -> str:
    """Return the type for the URL's file extension, or JPEG, since the API requires one."""
    try:
        path = urlsplit(url).path
    except ValueError:
        path = ""
    return _MIME_OF.get(path.rpartition(".")[2].lower(), "image/jpeg")


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
        said_by = _role(content)
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
                reader.call(made, part, _call(plain, plain.id))
            case {"text": str(text)} if text.strip() and not part.get("thought"):
                reader.part(text_part(text), part, {"text": text})
            case {"text": ""} if len(part) == 1:
                pass
            case _:
                reader.item(part)
    return answer(reader, _plain_answer)


def _from_user(
    parts: Sequence[dict[str, Any]], calls: list[tuple[str, str]], where: str
) -> list[Message]:
    messages: list[Message] = []
    reader = Reader(SHAPE)
    for part in parts:
        if part.get("function_response") is None:
            for one in _parts(part, where):
                reader.part(one, part, _google_part(one))
            continue
        result = mapping_at(part, "function_response", where)
        name, id = text_at(result, "name", where), result.get("id")
        answered = next((one for one in calls if id == one[0] or (not id and name == one[1])), None)
        if answered is None:
            raise WindowError(f"{where}: a result of {name!r}, which no content before it calls")
        calls.remove(answered)
        messages.append(_result(part, result, answered[0], where))
    if reader:
        plain = [_google_part(part) for part in reader.parts]
        content = content_of(reader.parts)
        messages.append({"role": "user", "content": content, **reader.kept(plain)})
    return messages


def _result(part: dict[str, Any], result: Mapping[str, Any], id: str, where: str) -> Message:
    response = mapping_or_empty(result.get("response"))
    output = response.get(_OUTPUT) if len(response) == 1 else None
    text = output if isinstance(output, str) else dump(dict(response), where)
    found: list[dict[str, Any]] = [text_part(text)] if text else []
    for one in listed(result.get("parts") or [], where):
        found += _parts(one, where)
    content = content_of(found) or ""
    plain = _response(id, result["name"], found)
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
