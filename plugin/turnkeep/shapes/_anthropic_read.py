"""Read what Anthropic's Messages API takes and gives: its blocks as messages."""

from __future__ import annotations

import base64
from collections.abc import Mapping, Sequence
from typing import Any, cast

from .._errors import WindowError, kind_of
from ._anthropic import SHAPE, block_of, plain_answer, tool_result, tool_use
from ._calls import Call, answer, as_arguments, call_dict
from ._common import Message, Part, content_of, listed, note, text_at, text_part
from ._items import Reader, difference, framed, native_of
from ._media import Data, data_of


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
            reader.part(part, block, block_of(part))
    if reader:
        content = content_of(reader.parts)
        plain = [block_of(part) for part in reader.parts]
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
    more = difference(block, tool_result(id, parts))
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
                reader.call(call, block, tool_use(plain, id))
            case _:
                reader.item(block)
    return answer(reader, plain_answer)


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
