"""pydantic-ai's message history over turnkeep.

::

    history = MessageHistory(store.session("telegram:1"))
    result = await agent.run("Hi", message_history=await history.messages())
    await history.add(result.new_messages())
"""

from __future__ import annotations

import base64
import json
from collections.abc import Iterator, Mapping, Sequence
from datetime import datetime
from typing import Any, Final

from .._errors import MissingExtraError
from .._records.media import media_of
from .._records.turn import Turn
from .._records.usage import Usage
from .._store import Session
from .._window.choices import Speakers
from ..shapes._common import content_of, image_url, note, text_part
from ..shapes._items import Pieces, Reader, arranged, difference, restored, thawed
from ._conversation import in_runs, made_turn, others, seen_turns, store, summary_of
from ._elements import element_entries, elements_of, without_nulls

try:
    from pydantic_ai.messages import (
        BinaryContent,
        CachePoint,
        ImageUrl,
        ModelMessage,
        ModelMessagesTypeAdapter,
        ModelRequest,
        ModelResponse,
        SystemPromptPart,
        TextContent,
        TextPart,
        ToolCallPart,
        ToolReturnPart,
        UserContent,
        UserPromptPart,
    )
except ModuleNotFoundError as _missing:
    raise MissingExtraError(__name__, "pydantic-ai", "pydantic-ai-slim") from _missing

__all__ = ["MessageHistory"]

_SHAPE: Final = "pydantic_ai"
Json = dict[str, Any]


class MessageHistory:
    """The messages of a conversation, for `agent.run(…, message_history=…)`.

    Everything that `ModelMessagesTypeAdapter` keeps comes back. Turns of other sources come as
    messages too, and a summary as a user's prompt.

    - `session` may be bound to a message, as in a bot's handler. Then `messages` ends before
      that message, `add` does not store its prompt again, and the final text answers it.
    - `speakers` shows who wrote what in a group, see `get_history`.

    `BinaryContent` in a prompt follows the store's `inline_media`: by default it is an error.
    """

    def __init__(self, session: Session, *, speakers: Speakers | None = None) -> None:
        self.session = session
        self._speakers: Speakers | None = speakers

    async def messages(self) -> list[ModelMessage]:
        """Return the messages so far, in chronological order."""
        made: list[Json] = []
        summary = await summary_of(self.session)
        if summary is not None:
            made += map(_foreign, [summary])
        for own, run in in_runs(await seen_turns(self.session), _SHAPE):
            if own:
                _join(made, run)
            else:
                made += map(_foreign, others(run, "openai", self._speakers))
        return _read(made)

    async def add(self, messages: Sequence[ModelMessage]) -> None:
        """Store messages at the end, all or none, such as `result.new_messages()`."""
        turns: list[Turn] = []
        for message in messages:
            if isinstance(message, ModelResponse):
                turns.append(self._answer(message))
            else:
                turns += self._request(message)
        await store(self.session, turns)

    async def clear(self) -> None:
        """Begin a new epoch. The earlier turns stay readable in the store."""
        await self.session.clear()

    def _answer(self, message: ModelResponse) -> Turn:
        """Return the turn that holds a response."""
        fields, natives = _dumped(message)
        reader = Reader(_SHAPE)
        reader.entry({"fields": fields}, {})
        for part, native in zip(message.parts, natives, strict=True):
            if isinstance(part, TextPart) and part.content:
                reader.part(text_part(part.content), native, _text(part.content))
            elif isinstance(part, ToolCallPart):
                call = _call(part.tool_call_id, part.tool_name, part.args_as_json_str())
                reader.call(call, native, _plain_call(call))
            else:
                reader.item(native)
        return made_turn(
            self.session,
            "assistant",
            content_of(reader.parts),
            tool_calls=reader.calls or None,
            time=message.timestamp,
            usage=[usage] if (usage := _usage(message)) != Usage(usage.model) else [],
            shape=_SHAPE,
            items=reader.entries,
        )

    def _request(self, message: ModelRequest) -> Iterator[Turn]:
        """Yield the turns that hold a request: one for each prompt and each result."""
        fields, natives = _dumped(message)
        waiting: list[Json] = [{"fields": fields}]
        here = self.session.turn
        for part, native in zip(message.parts, natives, strict=True):
            entry: Json
            role: str
            content: Any
            words = _said_by_framework(part)
            if words is not None and native.get("tool_name") is not None:
                role, content = "tool", words
                plain = _result(native["tool_call_id"], words)
                entry = {"result": True, **difference(native, plain)}
            elif isinstance(part, UserPromptPart):
                elements = [*map(_part, _listed(part.content))]
                parts = [one for one in elements if one is not None]
                if here is not None and _words(parts) == here.text.strip():
                    continue
                role, content = "user", part.content if isinstance(part.content, str) else parts
                entry = _prompt_entry(native, elements)
            elif isinstance(part, SystemPromptPart):
                role, content = "system", part.content
                entry = {"message": True, **difference(native, _system(content))}
            elif words is not None:
                role, content = "user", words
                entry = {"item": native}
            else:
                waiting.append({"item": native})
                continue
            yield self._part(role, content, part, [*waiting, entry])
            waiting = []
        if any("item" in entry for entry in waiting):
            # Nothing that another reader understands: in no window.
            hidden = {"shape": _SHAPE, "items": waiting, "hidden": True}
            yield made_turn(self.session, "user", None, **hidden)

    def _part(self, role: str, content: Any, part: Any, items: list[Json]) -> Turn:
        fields: Json = {"shape": _SHAPE, "items": items}
        time = getattr(part, "timestamp", None)
        if isinstance(time, datetime) and time.tzinfo is not None:
            fields["time"] = time
        if role == "tool":
            fields["tool_call_id"] = part.tool_call_id
        return made_turn(self.session, role, content, **fields)


def _dumped(message: ModelMessage) -> tuple[Json, list[Json]]:
    """Return a message as JSON, without its parts, and the parts."""
    (full,) = ModelMessagesTypeAdapter.dump_python([message], mode="json")
    brief = without_nulls(full)
    brief["parts"] = [without_nulls(part) for part in full["parts"]]
    if "usage" in brief:
        brief["usage"] = {name: count for name, count in brief["usage"].items() if count}
    if _read([brief]) != _read([full]):
        brief = full
    return {key: brief[key] for key in brief if key != "parts"}, brief["parts"]


def _read(messages: Sequence[Json]) -> list[ModelMessage]:
    return ModelMessagesTypeAdapter.validate_json(json.dumps(messages))


def _said_by_framework(part: object) -> str | None:
    """Return the words of a tool's result or of a wish to try again; None for another part."""
    for name in ("model_response_str", "model_response"):
        if callable(words := getattr(part, name, None)):
            return str(words())
    return None


def _usage(message: ModelResponse) -> Usage:
    usage = message.usage
    return Usage(
        message.model_name or "",
        input=usage.input_tokens,
        cached=usage.cache_read_tokens,
        cache_written=usage.cache_write_tokens,
        output=usage.output_tokens,
        reasoning=usage.output_reasoning_tokens or usage.details.get("reasoning_tokens", 0),
    )


# The forms in which texts, calls and results are stored, as pydantic-ai writes them.


def _text(text: str) -> Json:
    return {"content": text, "part_kind": TextPart.part_kind}


def _call(id: str, name: str, arguments: str) -> Json:
    return {"id": id, "type": "function", "function": {"name": name, "arguments": arguments}}


def _plain_call(call: Mapping[str, Any]) -> Json:
    function = call["function"]
    named = {"tool_name": function["name"], "args": function["arguments"]}
    return {**named, "tool_call_id": call["id"], "part_kind": ToolCallPart.part_kind}


def _result(id: str, text: str) -> Json:
    kind = ToolReturnPart.part_kind
    return {"tool_name": "tool", "content": text, "tool_call_id": id, "part_kind": kind}


def _system(text: object) -> Json:
    return {"content": text, "part_kind": SystemPromptPart.part_kind}


def _prompt(content: object) -> Json:
    return {"content": content, "part_kind": UserPromptPart.part_kind}


def _element(part: Mapping[str, Any]) -> Any:
    """Return the element of a prompt for a content part, as pydantic-ai writes it."""
    url = image_url(part) if part["type"] == "image_url" else ""
    data = url or (part["file"].get("file_data", "") if part["type"] == "file" else "")
    made: UserContent
    if part["type"] == "text":
        return part["text"]
    if data[:5] == "data:":
        made = BinaryContent.from_data_uri(data)
    elif url:
        made = ImageUrl(url)
    else:
        medium = media_of(part)
        return note(str(part["type"])) if medium is None else medium.text
    (full,) = ModelMessagesTypeAdapter.dump_python(
        [ModelRequest([UserPromptPart([made])])], mode="json"
    )
    return full["parts"][0]["content"][0]


def _part(one: UserContent) -> Json | None:
    """Return the content part for an element of a prompt; None for one that says nothing."""
    if isinstance(one, (str, TextContent)):
        return text_part(one if isinstance(one, str) else one.content)
    if isinstance(one, ImageUrl):
        return {"type": "image_url", "image_url": {"url": one.url}}
    if isinstance(one, BinaryContent):
        url = f"data:{one.media_type};base64,{base64.b64encode(one.data).decode()}"
        if one.is_image:
            return {"type": "image_url", "image_url": {"url": url}}
        return {"type": "file", "file": {"file_data": url}}
    if isinstance(one, CachePoint):
        return None
    return text_part(note(one.kind.partition("-")[0], getattr(one, "url", None)))


def _listed(content: str | Sequence[UserContent]) -> Sequence[UserContent]:
    return [content] if isinstance(content, str) else content


def _prompt_entry(native: Json, parts: Sequence[Json | None]) -> Json:
    """Return the entry for a prompt; the content parts stand in the turn, and not here."""
    if isinstance(native["content"], str):
        return {"message": True, **difference(native, _prompt(native["content"]))}
    inner = element_entries(native["content"], parts, [_element])
    return {"message": inner, **difference({**native, "content": inner}, _prompt(inner))}


def _prompt_of(turn: Turn, entry: Json) -> Json:
    """Return the prompt of a turn."""
    content = turn.content
    inner = entry.get("message")
    if isinstance(content, str) or not isinstance(inner, list):
        return restored(entry, _prompt(content or ""))
    elements = elements_of(inner, content, [_element])
    return {**restored(entry, _prompt("")), "content": elements}


def _words(parts: Sequence[Json]) -> str:
    return "\n".join(part["text"] for part in parts if part["type"] == "text").strip()


# Messages of turns.


def _join(made: list[Json], run: Sequence[Turn]) -> None:
    """Append the messages of turns of this shape; several turns may be one request."""
    for turn in run:
        entries = turn.items or []
        fields = next((entry["fields"] for entry in entries if "fields" in entry), None)
        kind = "response" if turn.role == "assistant" else "request"
        if fields is not None or not made or made[-1]["kind"] != kind:
            made.append({"kind": kind, **(fields or {}), "parts": []})
        made[-1]["parts"] += _native_parts(turn, [one for one in entries if "fields" not in one])


def _native_parts(turn: Turn, entries: list[Json]) -> list[Json]:
    content = turn.content
    if turn.role == "assistant":
        parts = [text_part(content)] if isinstance(content, str) else content or []
        texts = [_text(part["text"]) if part["type"] == "text" else None for part in parts]
        calls = [_plain_call(call) for call in turn.tool_calls or ()]
        return arranged(entries, Pieces(texts, calls))
    if turn.role == "tool":
        plain = _result(turn.tool_call_id or "", turn.text)
    elif turn.role == "system":
        plain = _system(turn.text)
    else:
        return [
            thawed(entry["item"]) if "item" in entry else _prompt_of(turn, entry)
            for entry in entries
        ]
    return [
        thawed(entry["item"]) if "item" in entry else restored(entry, plain)
        for entry in entries or [{}]
    ]


def _foreign(message: Mapping[str, Any]) -> Json:
    """Return the message for one of the chat completions."""
    role, content = message["role"], message["content"]
    if role == "assistant":
        texts = [content] if isinstance(content, str) else [_words(content or [])]
        parts = [_text(text) for text in texts if text]
        parts += map(_plain_call, message.get("tool_calls") or [])
        return {"kind": "response", "parts": parts}
    if role == "tool":
        text = content if isinstance(content, str) else _words(content)
        return {"kind": "request", "parts": [_result(message["tool_call_id"], text)]}
    if role == "system":
        return {"kind": "request", "parts": [_system(content)]}
    said = content if isinstance(content, str) else [*map(_element, content)]
    return {"kind": "request", "parts": [_prompt(said)]}
