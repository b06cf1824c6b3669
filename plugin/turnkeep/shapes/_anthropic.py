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
from collections.abc import Mapping, Sequence
from typing import Any, Final, NotRequired, TypedDict, cast

from .._errors import WindowError, kind_of
from ._calls import Call, CallIds, answer, as_arguments, call_dict, calls_of
from ._common import (
    Message,
    Messages,
    Part,
    content_of,
    image_url,
    joined,
    listed,
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
from ._media import Data, data_of, data_url, file_of, is_web_url

SHAPE: Final = "anthropic"
_IMAGES: Final = ("image/jpeg", "image/png", "image/gif", "image/webp")
_THINKING: Final = {"thinking": ("thinking", "signature"), "redacted_thinking": ("data",)}


class AnthropicWindow(TypedDict):
    """The arguments for `client.messages.create(model=…, max_tokens=…, **window)`."""

    system: NotRequired[str | list[Any]]
    messages: Messages


def to_anthropic(messages: object) -> AnthropicWindow:
    system: list[dict[str, Any]] = []
    has_blocks = False
    out: list[dict[str, Any]] = []
    ids = CallIds()
    for where, message in read(messages):
        items = items_of(message, SHAPE)
        match message["role"]:
            case "user":
                _append(out, "user", laid_out(message, where, SHAPE, _block), message)
            case "assistant":
                calls = [_tool_use(call, ids.call(call)) for call in calls_of(message, where)]
                blocks = [] if items else _thinking(message)
                blocks += laid_out(message, where, SHAPE, _text_block, calls)
                _append(out, "assistant", blocks, message)
            case "tool":
                id, _ = ids.result(message, where)
                result = _tool_result(id, parts_of(message, where))
                _append(out, "user", [restored(items[0], result) if items else result], message)
            case _ if items and "as" in items[0]:
                out.append(restored(items[0], {}))
            case _ if items:
                has_blocks = True
                system += laid_out(message, where, SHAPE, _text_block)
            case _:
                if parts := parts_of(message, where):
                    system.append(text_part("\n".join(plain_text(part) for part in parts)))
    if out and out[-1]["role"] == "assistant":
        _strip_end(out[-1])
    if not system:
        return AnthropicWindow(messages=out)
    if has_blocks:
        return AnthropicWindow(system=system, messages=out)
    return AnthropicWindow(system="\n\n".join(one["text"] for one in system), messages=out)


def _append(
    out: list[dict[str, Any]],
    role: str,
    blocks: list[dict[str, Any]],
    message: Mapping[str, Any],
) -> None:
    if not blocks:
        return
    frame = frame_of(message, SHAPE) or {}
    if out and out[-1]["role"] == role and not frame.get("apart"):
        said = out[-1]["content"]
        said = [text_part(said)] if isinstance(said, str) else said
        out[-1]["content"] = joined(said, blocks) if role == "user" else [*said, *blocks]
    elif frame.get("text") and len(blocks) == 1 and blocks[0].keys() == {"type", "text"}:
        out.append({"role": role, "content": blocks[0]["text"]})
    else:
        out.append({"role": role, "content": blocks})


def _strip_end(answer: dict[str, Any]) -> None:
    """Take the white space at the end of a final answer away, which the API refuses."""
    if isinstance(answer["content"], str):
        answer["content"] = answer["content"].rstrip()
    elif answer["content"][-1].get("type") == "text":
        last = answer["content"][-1]
        last["text"] = last["text"].rstrip()


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


def _text_block(part: Part) -> dict[str, Any]:
    return text_part(plain_text(part))


def _tool_use(call: Call, id: str) -> dict[str, Any]:
    return {"type": "tool_use", "id": id, "name": call.name, "input": call.input}


def _plain_answer(message: Message, calls: Sequence[Call]) -> list[dict[str, Any]]:
    texts = [_text_block(part) for part in parts_of(message, "")]
    return texts + [_tool_use(call, call.id) for call in calls]


def _tool_result(id: str, parts: Sequence[Part]) -> dict[str, Any]:
    result: dict[str, Any] = {"type": "tool_result", "tool_use_id": id}
    if parts:
        result["content"] = content_of([_block(part) for part in parts])
    return result


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
    before: object = None
    system = cast("Mapping[str, Any]", window).get("system")
    if isinstance(system, str):
        messages += [{"role": "system", "content": system}] if system.strip() else []
    elif system is not None:
        blocks = [native_of(block) for block in listed(system, "system")]
        messages += _system(blocks, "system")
    for index, message in enumerate(listed(window.get("messages"), "messages")):
        where = f"message {index}"
        role, content = message.get("role"), message.get("content")
        said = [text_part(content)] if isinstance(content, str) else listed(content, where)
        blocks = [native_of(block) for block in said]
        if role in ("user", "assistant"):
            frame = {"text": True} if isinstance(content, str) else {}
            if role == before:
                frame["apart"] = True
            found = _from_user(blocks, where) if role == "user" else answer_from_anthropic(blocks)
            messages += framed(found, SHAPE, frame)
            before = role if found else before
        elif role == "system":
            before = role
            for one in _system(blocks, where):
                messages.append({**one, "shape": SHAPE, "items": [{"as": native_of(message)}]})
        else:
            raise WindowError(f"{where}: the role {role!r} is none of user, assistant, system")
    return messages


def _system(blocks: list[dict[str, Any]], where: str) -> list[Message]:
    reader = Reader(SHAPE)
    for block in blocks:
        part = text_part(text_at(block, "text", where))
        if part["text"].strip():
            reader.part(part, block, part)
    if not reader:
        return []
    message = {"role": "system", "content": content_of(reader.parts)}
    return [{**message, "shape": SHAPE, "items": reader.entries}]


def _from_user(blocks: list[dict[str, Any]], where: str) -> list[Message]:
    messages: list[Message] = []
    reader = Reader(SHAPE)
    for block in blocks:
        if block.get("type") == "tool_result":
            messages.append(_result(block, where))
            continue
        for part in _parts(block, where):
            reader.part(part, block, _block(part))
    if reader:
        content = content_of(reader.parts)
        plain = [_block(part) for part in reader.parts]
        messages.append({"role": "user", "content": content, **reader.kept(plain)})
    return messages


def _result(block: dict[str, Any], where: str) -> Message:
    content, parts = block.get("content"), []
    if isinstance(content, str):
        parts = [text_part(content)] if content.strip() else []
    else:
        results = [] if content is None else listed(content, f"{where}, tool_result")
        parts = [part for one in results for part in _parts(one, where)]
        content = content_of(parts) or ""
    id = text_at(block, "tool_use_id", where)
    message = {"role": "tool", "content": content, "tool_call_id": id}
    more = difference(block, _tool_result(id, parts))
    return {**message, "shape": SHAPE, "items": [{"result": True, **more}]} if more else message


def answer_from_anthropic(blocks: Sequence[Mapping[str, Any]]) -> list[Message]:
    """Return the answer of these blocks as one message. It never raises."""
    reader = Reader(SHAPE)
    for block in map(native_of, blocks):
        match block:
            case {"type": "text", "text": str(text)}:
                if text.strip():  # the API gives blank texts, and takes none back
                    reader.part(text_part(text), block, text_part(text))
            case {"type": "tool_use", "id": str(id), "name": str(name), "input": Mapping() as args}:
                call = call_dict(id, name, as_arguments(args))
                plain = Call(id, name, call["function"]["arguments"])
                reader.call(call, block, _tool_use(plain, id))
            case _:
                reader.item(block)
    return answer(reader, _plain_answer)


def _parts(block: Part, where: str) -> list[dict[str, Any]]:
    kind = block.get("type")
    if kind == "text":
        text = text_at(block, "text", where)
        return [text_part(text)] if text.strip() else []
    title = block.get("title")
    source = block.get("source")
    if kind not in ("image", "document") or not isinstance(source, Mapping):
        if not isinstance(kind, str):
            raise WindowError(f"{where}: a block has a 'type', not {kind_of(kind)}")
        return [text_part(note(kind, title))]
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
