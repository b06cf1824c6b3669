"""Tool calls: arguments that may not be JSON, and ids that an API may refuse."""

from __future__ import annotations

import hashlib
import json
import re
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from typing import Any, Final, cast

import msgspec

from .._errors import WindowError
from ._common import Message, content_of, listed, mapping_at, mapping_or_empty, text_at
from ._items import Native, Reader

RAW: Final = "_raw"
_MAX_DEPTH: Final = 64  # protobuf, which Google uses, refuses JSON of more than 100 levels
_SOUND_ID: Final = re.compile(r"[a-zA-Z0-9_-]{1,64}")
_UNSOUND: Final = re.compile(r"[^a-zA-Z0-9_-]")


def parse_arguments(text: str) -> dict[str, Any]:
    """Return a call's arguments as an object, even if the model wrote invalid JSON.

    Anything but an object goes under the key `_raw`, and so does an object that has this key
    alone.
    """
    if not text.strip():
        return {}
    try:
        value = msgspec.json.decode(text)
    except (msgspec.MsgspecError, UnicodeError, RecursionError):
        return {RAW: text}
    if not isinstance(value, dict) or _is_raw(value) or _is_deep(value):
        return {RAW: text}
    return cast("dict[str, Any]", value)


def dump_arguments(value: Mapping[str, Any], where: str) -> str:
    """Return the text that `parse_arguments` reads as `value`."""
    return cast("str", value[RAW]) if _is_raw(value) else dump(dict(value), where)


def as_arguments(value: Mapping[str, Any]) -> str:
    """Return `dump_arguments(value)`, also of what is not JSON: a model's call is never lost."""
    try:
        return dump_arguments(value, "")
    except WindowError:
        return json.dumps(value, ensure_ascii=False, default=str, skipkeys=True)


def dump(value: object, where: str) -> str:
    """Return compact JSON; raise `WindowError` if the value is not JSON."""
    try:
        return json.dumps(value, ensure_ascii=False, separators=(",", ":"))
    except (TypeError, ValueError, RecursionError) as error:
        raise WindowError(f"{where}: not JSON: {error}") from None


def _is_raw(value: Mapping[str, Any]) -> bool:
    return len(value) == 1 and isinstance(value.get(RAW), str)


def _is_deep(value: object) -> bool:
    level: list[object] = [value]
    for _ in range(_MAX_DEPTH):
        inner: list[object] = []
        for one in level:
            if isinstance(one, dict):
                inner += cast("dict[str, object]", one).values()
            elif isinstance(one, list):
                inner += cast("list[object]", one)
        if not inner:
            return False
        level = inner
    return True


@dataclass(frozen=True, slots=True)
class Call:
    """A tool call; `arguments` is the text that the model wrote, mostly JSON."""

    id: str
    name: str
    arguments: str
    signature: str | None = None
    is_custom: bool = False
    """True for a call whose input is a text and no JSON, of OpenAI's custom tools."""

    @property
    def input(self) -> dict[str, Any]:
        """The arguments as an object."""
        return {"input": self.arguments} if self.is_custom else parse_arguments(self.arguments)


def calls_of(message: Mapping[str, Any], where: str) -> list[Call]:
    """Return the calls of an assistant's message."""
    calls: list[Call] = []
    if not message.get("tool_calls"):
        return calls
    for call in listed(message["tool_calls"], f"{where}, tool_calls"):
        here = f"{where}, tool call"
        is_custom = call.get("type") == "custom"
        function = mapping_at(call, "custom" if is_custom else "function", here)
        calls.append(
            Call(
                text_at(call, "id", here),
                text_at(function, "name", here),
                text_at(function, "input" if is_custom else "arguments", here),
                signature_of(call),
                is_custom,
            )
        )
    return calls


def call_dict(id: str, name: str, arguments: str) -> dict[str, Any]:
    """Return a call as chat-completions messages hold it."""
    return {"id": id, "type": "function", "function": {"name": name, "arguments": arguments}}


def custom_call_dict(id: str, name: str, text: str) -> dict[str, Any]:
    """Return a call of a custom tool as chat-completions messages hold it."""
    return {"id": id, "type": "custom", "custom": {"name": name, "input": text}}


def signature_of(message_or_call: Mapping[str, Any]) -> str | None:
    """Return Google's thought signature from `extra_content.google.thought_signature`.

    Google's chat-completions endpoint puts it there, see
    https://ai.google.dev/gemini-api/docs/thought-signatures
    """
    google = mapping_or_empty(mapping_or_empty(message_or_call.get("extra_content")).get("google"))
    signature = google.get("thought_signature")
    return signature if isinstance(signature, str) else None


class CallIds:
    """Map the ids of a window's calls to ids that the APIs take, one for each call.

    Anthropic wants `^[a-zA-Z0-9_-]+$` and "`tool_use` ids must be unique". The Responses API
    takes at most 64 characters. Local models number the calls of each answer from 0.
    """

    def __init__(self) -> None:
        self._calls: dict[str, tuple[str, str]] = {}
        self._taken: set[str] = set()

    def call(self, call: Call) -> str:
        """Return the id to send, which differs only if the id is refused or was used before."""
        sound = call.id
        if not _SOUND_ID.fullmatch(sound):
            digest = hashlib.sha256(sound.encode(errors="surrogatepass")).hexdigest()[:12]
            sound = f"{_UNSOUND.sub('_', sound)[:40]}_{digest}"
        id, count = sound, 1
        while id in self._taken:
            count += 1
            id = f"{sound[:56]}_{count}"
        self._taken.add(id)
        self._calls[call.id] = (id, call.name)
        return id

    def result(self, message: Mapping[str, Any], where: str) -> tuple[str, str]:
        """Return the sent id and the name of the call that a tool message answers."""
        id = text_at(message, "tool_call_id", where)
        if id not in self._calls:
            raise WindowError(
                f"{where}: a tool result for {id!r}, which no assistant message before it "
                "calls: take it out (check_messages finds such faults)"
            )
        return self._calls[id]


def answer(reader: Reader, plain: Callable[[Message, list[Call]], list[Native]]) -> list[Message]:
    """Return the assistant's message of a reader, or nothing if nothing was said.

    `plain` gives the native forms of a message without items.
    """
    if not reader:
        return []
    message: Message = {"role": "assistant", "content": content_of(reader.parts)}
    if reader.calls:
        message["tool_calls"] = reader.calls
    return [{**message, **reader.kept(plain(message, calls_of(message, "")))}]
