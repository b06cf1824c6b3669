"""Anthropic's Messages API: system text apart, alternating users and assistants, typed blocks.

The facts come from:

- `MessageParam` in the `anthropic` package (2.12);
- https://platform.claude.com/docs/en/agents-and-tools/tool-use/handle-tool-calls: results
  come first in the user's message directly after the calls, and each call has one;
- https://platform.claude.com/docs/en/build-with-claude/extended-thinking: thinking blocks go
  back unmodified, in front;
- the API's error messages: "text content blocks must contain non-whitespace text", "final
  assistant content cannot end with trailing whitespace".

All system messages go into the `system` text, even one from the middle: models before
Opus 4.8 refuse the role `system` among the messages.
"""

from __future__ import annotations

import base64
import copy
from collections.abc import Mapping
from typing import Any, Final, NotRequired, TypedDict, cast

from .._errors import WindowError, kind_of
from ._calls import CallIds, call_dict, calls_of, dump_arguments, parse_arguments
from ._common import (
    Message,
    Part,
    content_of,
    image_url,
    in_words,
    listed,
    mapping_at,
    note,
    parts_of,
    plain_text,
    read,
    text_at,
    text_part,
)
from ._media import Data, data_of, data_url, file_of, is_web_url

_IMAGES: Final = ("image/jpeg", "image/png", "image/gif", "image/webp")
_THINKING: Final = {"thinking": ("thinking", "signature"), "redacted_thinking": ("data",)}


class AnthropicWindow(TypedDict):
    """The arguments for `client.messages.create(model=…, max_tokens=…, **window)`."""

    system: NotRequired[str]
    messages: list[dict[str, Any]]


def to_anthropic(messages: object) -> AnthropicWindow:
    system: list[str] = []
    out: list[dict[str, Any]] = []
    ids = CallIds()
    for where, message in read(messages):
        parts = parts_of(message, where)
        match message["role"]:
            case "user":
                _append(out, "user", [_block(part) for part in parts])
            case "assistant":
                blocks = _thinking(message)
                blocks += in_words(parts)
                blocks += (
                    {
                        "type": "tool_use",
                        "id": ids.call(call),
                        "name": call.name,
                        "input": parse_arguments(call.arguments),
                    }
                    for call in calls_of(message, where)
                )
                _append(out, "assistant", blocks)
            case "tool":
                id, _ = ids.result(message, where)
                result: dict[str, Any] = {"type": "tool_result", "tool_use_id": id}
                if parts:
                    result["content"] = content_of(in_words(parts))
                _append(out, "user", [result])
            case _:
                if parts:
                    system.append("\n".join(plain_text(part) for part in parts))
    if out and out[-1]["role"] == "assistant" and out[-1]["content"][-1]["type"] == "text":
        last = out[-1]["content"][-1]
        last["text"] = last["text"].rstrip()
    window = AnthropicWindow(messages=out)
    return AnthropicWindow(system="\n\n".join(system), messages=out) if system else window


def _append(out: list[dict[str, Any]], role: str, blocks: list[dict[str, Any]]) -> None:
    if not blocks:
        return
    if out and out[-1]["role"] == role:
        out[-1]["content"] += blocks
    else:
        out.append({"role": role, "content": blocks})


def _thinking(message: Mapping[str, Any]) -> list[dict[str, Any]]:
    """Return the caller's valid thinking blocks; the API refuses a request with any other."""
    blocks = message.get("thinking_blocks")
    if not isinstance(blocks, list):
        return []
    return [copy.deepcopy(dict(one)) for one in blocks if _is_thinking(one)]


def _is_thinking(block: Any) -> bool:
    if not isinstance(block, Mapping):
        return False
    keys = _THINKING.get(str(block.get("type")), ())
    return bool(keys) and all(isinstance(block.get(key), str) for key in keys)


def _block(part: Part) -> dict[str, Any]:
    if part["type"] == "image_url":
        url = image_url(part)
        data = data_url(url)
        if data is not None and data.mime in _IMAGES:
            return {"type": "image", "source": _base64_source(data)}
        if url.startswith("https://") and is_web_url(url):
            return {"type": "image", "source": {"type": "url", "url": url}}
    elif part["type"] == "file":
        name, data = file_of(part)
        source = None if data is None else _document_source(data)
        if source is not None:
            document = {"type": "document", "source": source}
            return document if name is None else {**document, "title": name}
    return text_part(plain_text(part))


def _base64_source(data: Data) -> dict[str, str]:
    return {"type": "base64", "media_type": data.mime, "data": data.base64}


def _document_source(data: Data) -> dict[str, str] | None:
    if data.mime == "application/pdf":
        return _base64_source(data)
    if data.mime == "text/plain":
        try:
            text = data.raw.decode()
        except UnicodeDecodeError:
            return None
        if text.strip():
            return {"type": "text", "media_type": "text/plain", "data": text}
    return None


def from_anthropic(window: object) -> list[Message]:
    if not isinstance(window, Mapping):
        raise WindowError(f"window: a dict with 'messages' is needed here, not {kind_of(window)}")
    messages: list[Message] = []
    system = cast("Mapping[str, Any]", window).get("system")
    if system is not None:
        messages += _system(system, "system")
    for index, message in enumerate(listed(window.get("messages"), "messages")):
        where = f"message {index}"
        role, content = message.get("role"), message.get("content")
        blocks: list[Part] = [text_part(content)] if isinstance(content, str) else []
        blocks = blocks or listed(content, where)
        if role == "user":
            messages += _from_user(blocks, where)
        elif role == "assistant":
            messages += _from_assistant(blocks, where)
        elif role == "system":
            messages += _system(blocks, where)
        else:
            raise WindowError(f"{where}: the role {role!r} is none of user, assistant, system")
    return messages


def _system(content: object, where: str) -> list[Message]:
    if not isinstance(content, str):
        blocks = listed(content, where)
        content = "\n\n".join(text_at(block, "text", where) for block in blocks)
    return [{"role": "system", "content": content}] if content.strip() else []


def _from_user(blocks: list[Part], where: str) -> list[Message]:
    messages: list[Message] = []
    said: list[Part] = []
    for block in blocks:
        if block.get("type") != "tool_result":
            said += _parts(block, where)
            continue
        content = block.get("content")
        if not isinstance(content, str):
            results = [] if content is None else listed(content, f"{where}, tool_result")
            parts = [part for one in results for part in _parts(one, where)]
            content = content_of(in_words(parts)) or ""
        id = text_at(block, "tool_use_id", where)
        messages.append({"role": "tool", "content": content, "tool_call_id": id})
    if said:
        messages.append({"role": "user", "content": content_of(said)})
    return messages


def _from_assistant(blocks: list[Part], where: str) -> list[Message]:
    answers: list[Message] = []
    for block in blocks:
        kind = str(block.get("type"))
        last = answers[-1] if answers else None
        # Thinking belongs to what comes after it, but the calls of an answer must stay together.
        if last is None or (kind in _THINKING and last["content"] and "tool_calls" not in last):
            last = Message(role="assistant", content=[])
            answers.append(last)
        if kind in _THINKING:
            last.setdefault("thinking_blocks", []).append(copy.deepcopy(dict(block)))
        elif kind == "tool_use":
            arguments = dump_arguments(mapping_at(block, "input", where), where)
            call = call_dict(text_at(block, "id", where), text_at(block, "name", where), arguments)
            last.setdefault("tool_calls", []).append(call)
        else:
            last["content"] += in_words(_parts(block, where))
    for answer in answers:
        answer["content"] = content_of(answer["content"])
    return [one for one in answers if one["content"] is not None or "tool_calls" in one]


def _parts(block: Part, where: str) -> list[dict[str, Any]]:
    kind = block.get("type")
    if kind == "text":
        text = text_at(block, "text", where)
        return [text_part(text)] if text.strip() else []
    if kind not in ("image", "document"):
        raise WindowError(f"{where}: a block of type {kind!r} is not known")
    source = mapping_at(block, "source", where)
    title = block.get("title")
    data = _source_data(source)
    if kind == "image":
        url = source.get("url") if data is None else data.url
        if isinstance(url, str) and url:
            return [{"type": "image_url", "image_url": {"url": url}}]
    elif data is not None:
        file = {"filename": title} if isinstance(title, str) and title.strip() else {}
        return [{"type": "file", "file": {**file, "file_data": data.url}}]
    return [text_part(note(kind, title or source.get("url")))]


def _source_data(source: Mapping[str, Any]) -> Data | None:
    mime, data = source.get("media_type"), source.get("data")
    if not isinstance(mime, str) or not isinstance(data, str):
        return None
    if source.get("type") == "text":
        data = base64.b64encode(data.encode(errors="replace")).decode()
    return data_of(mime, data)
