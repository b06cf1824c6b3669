"""Read what a chat-completions API gives: an answer with its items."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any, Final

from ._calls import as_arguments, call_dict
from ._chat import SHAPE
from ._common import Message, mapping_or_empty
from ._items import Native, Reader, difference, frozen, native_of

_PARTS: Final = ("text", "refusal")
PLAIN: Final = frozenset(("role", "content", "refusal", "tool_calls", "function_call", "name"))
SAID_FIELDS: Final = frozenset(
    (
        *("reasoning", "reasoning_content", "reasoning_details", "thinking_blocks"),
        *("annotations", "audio", "extra_content", "provider_specific_fields"),
        *("refusal", "function_call"),
    )
)
"""Fields of an assistant's message that a model has said, and no user of the library."""


def answer_from_chat(given: Mapping[str, Any]) -> Message:
    """Return an assistant's message with its items. It never raises."""
    native = native_of(given)
    reader = Reader(SHAPE)
    content = native.get("content")
    if isinstance(content, list):
        for part in content:
            if isinstance(part, Mapping) and isinstance(part.get(str(part.get("type"))), str):
                kind = part["type"]
                if kind in _PARTS:
                    plain = {"type": kind, kind: part[kind]}
                    reader.part(plain, dict(part), plain)
                    continue
            reader.item(dict(part) if isinstance(part, Mapping) else {"type": str(part)})
        made: Any = [*reader.parts]
        if made == content:
            reader.entries.clear()
        made = made[0]["text"] if len(made) == 1 and "text" in made[0] else made or None
    else:
        made = content if isinstance(content, str) else None
    refusal = native.get("refusal")
    if isinstance(refusal, str) and refusal and not made:
        made = [{"type": "refusal", "refusal": refusal}]
    fields = {key: value for key, value in native.items() if key not in PLAIN}
    audio = mapping_or_empty(fields.get("audio"))
    if audio:
        fields.pop("audio")
        if isinstance(audio.get("transcript"), str) and not made:
            made = audio["transcript"]
        if not made:  # an id that soon expires, and nothing else says what was said
            fields["audio"] = {"id": audio.get("id")}
    message: Message = {"role": "assistant", "content": made}
    if isinstance(native.get("name"), str):
        message["name"] = native["name"]
    calls = _calls(native, reader)
    if calls:
        message["tool_calls"] = calls
    if fields:
        reader.entries.append({"fields": frozen(fields)})
    return {**message, **reader.kept(())} if reader.entries else message


def _calls(native: Mapping[str, Any], reader: Reader) -> list[Native]:
    found = native.get("tool_calls")
    calls = [call for call in found if isinstance(call, Mapping)] if isinstance(found, list) else []
    older = native.get("function_call")
    if isinstance(older, Mapping):
        calls.append({"id": "", "type": "function", "function": older})
    kept: list[Native] = []
    for given in calls:
        call = {key: value for key, value in given.items() if key != "index"}
        custom = call.get("custom")
        function = mapping_or_empty(call.get("function"))
        id = call.get("id")
        id = id if isinstance(id, str) else str(id) if type(id) is int else ""
        if isinstance(custom, Mapping) and isinstance(custom.get("name"), str):
            words = {"name": custom["name"], "input": str(custom.get("input") or "")}
            plain: Native = {"id": id, "type": "custom", "custom": words}
        elif isinstance(function.get("name"), str):
            text = function.get("arguments")
            if isinstance(text, Mapping):
                text = as_arguments(text)
            plain = call_dict(id, function["name"], text if isinstance(text, str) else "{}")
            call["function"] = {**function, "arguments": plain["function"]["arguments"]}
        else:
            continue
        more = difference({**plain, **call, "id": id}, plain)
        if more or "custom" in plain:  # which is shown as one only to the API it is from
            reader.entries.append({"call": len(kept), **more})
        kept.append(plain)
    return kept
