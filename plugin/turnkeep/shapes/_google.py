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

from collections.abc import Iterator, Mapping, Sequence
from typing import Any, Final, NotRequired, TypedDict
from urllib.parse import urlsplit

from ._calls import Call, CallIds, calls_of, signature_of
from ._common import (
    Message,
    Messages,
    Part,
    image_url,
    joined,
    mapping_or_empty,
    parts_of,
    plain_text,
    read,
    text_part,
)
from ._items import frame_of, items_of, laid_out, restored
from ._media import audio_of, bytes_of, data_url, file_of, is_web_url

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
_STAND_IN: Final = b"skip_thought_signature_validator"
"""Gemini 3 wants a signature at the first call of each answer, and takes this for a call that
another model has made: https://ai.google.dev/gemini-api/docs/thought-signatures."""

OUTPUT: Final = "output"


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
                _append(contents, "user", laid_out(message, where, SHAPE, google_part), message)
            case "assistant":
                _append(contents, "model", _model_parts(message, ids, unnamed, where), message)
            case "tool":
                id, name = ids.result(message, where)
                content = message.get("content")
                if isinstance(content, str):
                    parts = [text_part(content)]
                result = restored(
                    (items_of(message, SHAPE) or [{}])[0], response_part(id, name, parts)
                )
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
    if contents and role_of(contents[-1]) == role and not frame.get("apart"):
        said = contents[-1]["parts"]
        contents[-1]["parts"] = joined(said, parts) if role == "user" else [*said, *parts]
        return
    own = {"role": frame.get("role", role)}
    contents.append({**({} if own["role"] is None else own), "parts": parts})


def role_of(content: Mapping[str, Any]) -> str:
    return "model" if content.get("role") == "model" else "user"


def _model_parts(
    message: Mapping[str, Any], ids: CallIds, unnamed: set[str], where: str
) -> list[dict[str, Any]]:
    """Return an assistant's parts.

    The message's own signature goes on its last text, or else on its first call.
    """
    found = calls_of(message, where)
    calls = [_signed(call_part(call, ids.call(call)), call.signature) for call in found]
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


def plain_answer(message: Message, _: list[Call]) -> list[dict[str, Any]]:
    return _model_parts(message, CallIds(), set(), "")


def _without_id(items: Sequence[Mapping[str, Any]]) -> Iterator[int]:
    """Yield the indexes of the calls that the API gave no id."""
    for item in items:
        patch = mapping_or_empty(mapping_or_empty(item.get("patch")).get("function_call"))
        if "id" in patch and patch["id"] is None and isinstance(item.get("call"), int):
            yield item["call"]


def _model_text(part: Part) -> dict[str, Any]:
    return {"text": plain_text(part)}


def call_part(call: Call, id: str) -> dict[str, Any]:
    return {"function_call": {"id": id, "name": call.name, "args": call.input}}


def response_part(id: str, name: str, parts: Sequence[Part]) -> dict[str, Any]:
    """Return a result. Its pictures and sounds stand beside the output, as parts of their own."""
    made = [google_part(part) for part in parts]
    output = "\n".join(one["text"] for one in made if "text" in one)
    response: dict[str, Any] = {"id": id, "name": name, "response": {OUTPUT: output}}
    if media := [one for one in made if "text" not in one]:
        response["parts"] = media
    return {"function_response": response}


def _signed(part: dict[str, Any], signature: str | None) -> dict[str, Any]:
    raw = bytes_of(signature)
    return {**part, "thought_signature": raw} if raw else part


def google_part(part: Part) -> dict[str, Any]:
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
