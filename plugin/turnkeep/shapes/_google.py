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
from collections.abc import Mapping, Sequence
from typing import Any, Final, NotRequired, TypedDict, cast
from urllib.parse import urlsplit

from .._errors import WindowError, kind_of
from ._calls import (
    CallIds,
    call_dict,
    calls_of,
    dump,
    dump_arguments,
    parse_arguments,
    signature_of,
)
from ._common import (
    Message,
    Part,
    content_of,
    image_url,
    in_words,
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
_OUTPUT: Final = "output"


class GoogleWindow(TypedDict):
    """The arguments for `generate_content`; the instruction is a field of its `config`."""

    system_instruction: NotRequired[dict[str, Any]]
    contents: list[dict[str, Any]]


def to_google(messages: object) -> GoogleWindow:
    system: list[dict[str, Any]] = []
    contents: list[dict[str, Any]] = []
    ids = CallIds()
    for where, message in read(messages):
        parts = parts_of(message, where)
        text = "\n".join(plain_text(part) for part in parts)
        match message["role"]:
            case "user":
                _append(contents, "user", [_google_part(part) for part in parts])
            case "assistant":
                _append(contents, "model", _model_parts(message, parts, ids, where))
            case "tool":
                id, name = ids.result(message, where)
                if not parts and isinstance(message.get("content"), str):
                    text = message["content"]
                response = {"id": id, "name": name, "response": {_OUTPUT: text}}
                _append(contents, "user", [{"function_response": response}])
            case _:
                if parts:
                    system.append({"text": text})
    if not system:
        return GoogleWindow(contents=contents)
    return GoogleWindow(system_instruction={"parts": system}, contents=contents)


def _append(contents: list[dict[str, Any]], role: str, parts: list[dict[str, Any]]) -> None:
    if not parts:
        return
    if contents and contents[-1]["role"] == role:
        contents[-1]["parts"] += parts
    else:
        contents.append({"role": role, "parts": parts})


def _model_parts(
    message: Mapping[str, Any], parts: list[Part], ids: CallIds, where: str
) -> list[dict[str, Any]]:
    """Return an assistant's parts.

    The message's own signature goes on its last text, or else on its first call.
    """
    texts: list[dict[str, Any]] = [{"text": plain_text(part)} for part in parts]
    calls: list[dict[str, Any]] = []
    for call in calls_of(message, where):
        args = parse_arguments(call.arguments)
        part = {"function_call": {"id": ids.call(call), "name": call.name, "args": args}}
        calls.append(_signed(part, call.signature))
    signature = signature_of(message)
    if texts:
        texts[-1] = _signed(texts[-1], signature)
    elif calls and "thought_signature" not in calls[0]:
        calls[0] = _signed(calls[0], signature)
    return [*texts, *calls]


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
    instruction = cast("Mapping[str, Any]", window).get("system_instruction")
    if isinstance(instruction, str):
        messages += _system([{"text": instruction}])
    elif instruction is not None:
        found = mapping_at(window, "system_instruction", "window")
        messages += _system(listed(found.get("parts") or [], "system_instruction"))
    open_calls: list[tuple[str, str]] = []
    unnamed = 0
    for index, content in enumerate(listed(window.get("contents"), "contents")):
        where = f"content {index}"
        role = content.get("role") or "user"
        parts = listed(content.get("parts") or [], where)
        if role == "model":
            answer = _answer(parts, where)
            open_calls = []
            for call in answer.get("tool_calls", ()):
                if not call["id"]:
                    unnamed += 1
                    call["id"] = f"call_{unnamed}"
                open_calls.append((call["id"], call["function"]["name"]))
            if answer["content"] is not None or open_calls:
                messages.append(answer)
        elif role in ("user", "function", "tool"):
            messages += _from_user(parts, open_calls, where)
        else:
            raise WindowError(f"{where}: the role {role!r} is none of user, model")
    return messages


def _system(parts: Sequence[Part]) -> list[Message]:
    texts = [text_at(part, "text", "system_instruction") for part in parts]
    return [{"role": "system", "content": text} for text in texts if text.strip()]


def _answer(parts: list[Part], where: str) -> Message:
    answer: Message = {"role": "assistant"}
    said: list[Part] = []
    for part in parts:
        signature = bytes_of(part.get("thought_signature"))
        extra = {"google": {"thought_signature": base64.b64encode(signature or b"").decode()}}
        if part.get("function_call") is not None:
            call = mapping_at(part, "function_call", where)
            arguments = dump_arguments(mapping_or_empty(call.get("args")), where)
            id = call.get("id")
            found = call_dict(str(id or ""), text_at(call, "name", where), arguments)
            if signature:
                found["extra_content"] = extra
            answer.setdefault("tool_calls", []).append(found)
        else:
            said += in_words(_parts(part, where))
            if signature:
                answer["extra_content"] = extra
    answer["content"] = content_of(said)
    return answer


def _from_user(parts: list[Part], calls: list[tuple[str, str]], where: str) -> list[Message]:
    messages: list[Message] = []
    said: list[Part] = []
    for part in parts:
        if part.get("function_response") is None:
            said += _parts(part, where)
            continue
        result = mapping_at(part, "function_response", where)
        name, id = text_at(result, "name", where), result.get("id")
        answered = next((one for one in calls if id == one[0] or (not id and name == one[1])), None)
        if answered is None:
            raise WindowError(f"{where}: a result of {name!r}, which no content before it calls")
        calls.remove(answered)
        response = mapping_or_empty(result.get("response"))
        output = response.get(_OUTPUT) if len(response) == 1 else None
        content = output if isinstance(output, str) else dump(dict(response), where)
        messages.append({"role": "tool", "content": content, "tool_call_id": answered[0]})
    if said:
        messages.append({"role": "user", "content": content_of(said)})
    return messages


def _parts(part: Part, where: str) -> list[dict[str, Any]]:
    if part.get("inline_data") is not None:
        blob = mapping_at(part, "inline_data", where)
        return [_from_bytes(text_at(blob, "mime_type", where), blob.get("data"))]
    if part.get("file_data") is not None:
        file = mapping_at(part, "file_data", where)
        uri = text_at(file, "file_uri", where)
        if str(file.get("mime_type")).startswith("image/") and is_web_url(uri):
            return [{"type": "image_url", "image_url": {"url": uri}}]
        return [text_part(note("file", uri))]
    if part.get("text") is not None:
        text = text_at(part, "text", where)
        return [text_part(text)] if text.strip() and not part.get("thought") else []
    raise WindowError(f"{where}: a part with {', '.join(part) or 'nothing'} is not known")


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
