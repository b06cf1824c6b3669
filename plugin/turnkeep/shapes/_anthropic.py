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

import copy
from collections.abc import Mapping, Sequence
from typing import Any, Final, NotRequired, TypedDict

from ._calls import Call, CallIds, calls_of
from ._common import (
    Message,
    Messages,
    Part,
    content_of,
    image_url,
    joined,
    parts_of,
    plain_text,
    read,
    text_part,
)
from ._items import frame_of, items_of, laid_out, restored
from ._media import Data, data_url, file_of, is_web_url

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
                _append(out, "user", laid_out(message, where, SHAPE, block_of), message)
            case "assistant":
                calls = [tool_use(call, ids.call(call)) for call in calls_of(message, where)]
                blocks = [] if items else _thinking(message)
                blocks += laid_out(message, where, SHAPE, _text_block, calls)
                _append(out, "assistant", blocks, message)
            case "tool":
                id, _ = ids.result(message, where)
                result = tool_result(id, parts_of(message, where))
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


def tool_use(call: Call, id: str) -> dict[str, Any]:
    return {"type": "tool_use", "id": id, "name": call.name, "input": call.input}


def plain_answer(message: Message, calls: Sequence[Call]) -> list[dict[str, Any]]:
    texts = [_text_block(part) for part in parts_of(message, "")]
    return texts + [tool_use(call, call.id) for call in calls]


def tool_result(id: str, parts: Sequence[Part]) -> dict[str, Any]:
    result: dict[str, Any] = {"type": "tool_result", "tool_use_id": id}
    if parts:
        result["content"] = content_of([block_of(part) for part in parts])
    return result


def block_of(part: Part) -> dict[str, Any]:
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
