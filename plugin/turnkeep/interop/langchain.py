"""LangChain's chat message history over turnkeep.

::

    history = ChatHistory(store.session("telegram:1"))
    asked = HumanMessage("Hi")
    answer = await model.ainvoke([*await history.aget_messages(), asked])
    await history.aadd_messages([asked, answer])
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any, Final, NoReturn

from .._errors import InvalidTurnError, MissingExtraError, UnsupportedError
from .._records.turn import Turn
from .._records.usage import Usage
from .._store import Session
from .._window.choices import Speakers
from ..shapes._calls import as_arguments, parse_arguments
from ..shapes._common import content_of, image_url, mapping_or_empty, note, text_part
from ..shapes._items import difference, frozen, restored, thawed
from ._conversation import in_runs, made_turn, others, seen_turns, store, summary_of
from ._elements import element_entries, elements_of, without_nulls

try:
    from langchain_core.chat_history import BaseChatMessageHistory
    from langchain_core.documents import Document
    from langchain_core.messages import (
        AIMessage,
        BaseMessage,
        RemoveMessage,
        convert_to_messages,
        message_chunk_to_message,
        message_to_dict,
        messages_from_dict,
    )
except ModuleNotFoundError as _missing:
    raise MissingExtraError(__name__, "langchain", "langchain-core") from _missing

__all__ = ["ChatHistory"]

_SHAPE: Final = "langchain"
_REMOVE_ALL: Final = "__remove_all__"  # langgraph.graph.message.REMOVE_ALL_MESSAGES
_ROLES: Final = {"human": "user", "ai": "assistant", "system": "system", "tool": "tool"}
_DOCUMENT: Final = "$document"
Json = dict[str, Any]


class ChatHistory(BaseChatMessageHistory):
    """A conversation's messages; only the async methods work, so call `ainvoke` or `astream`.

    Messages come back as they were given, with artifacts and usage. Turns of other sources come
    as messages too, and a summary as a human's. A `RemoveMessage` deletes the message with its
    id for good, and `__remove_all__` begins a new epoch.

    - `session` may be bound to a message, as in a bot's handler. Then `aget_messages` ends before
      that message, it is not stored again, and the final text answers it.
    - `speakers` shows who wrote what in a group, see `get_history`.

    A picture in a message follows the store's `inline_media`: by default it is an error.
    """

    def __init__(self, session: Session, *, speakers: Speakers | None = None) -> None:
        self.session = session
        self._speakers: Speakers | None = speakers

    async def aget_messages(self) -> list[BaseMessage]:
        """Return the messages so far, in chronological order."""
        made: list[BaseMessage] = []
        summary = await summary_of(self.session)
        if summary is not None:
            made += convert_to_messages([summary])
        for own, run in in_runs(await seen_turns(self.session), _SHAPE):
            if own:
                made += messages_from_dict([_native(turn) for turn in run])
            else:
                made += convert_to_messages(others(run, "openai", self._speakers))
        return made

    async def aadd_messages(self, messages: Sequence[BaseMessage]) -> None:
        """Store messages at the end, all or none, and delete those that are removed.

        Raises `InvalidTurnError` if a message to remove is not there; then nothing has changed.
        """
        added: list[BaseMessage] = []
        removed: list[str] = []
        begins_anew = False
        for message in map(message_chunk_to_message, messages):
            if not isinstance(message, RemoveMessage):
                added.append(message)
            elif message.id == _REMOVE_ALL:
                begins_anew, added, removed = True, [], []
            elif any(one.id == message.id for one in added):
                added = [one for one in added if one.id != message.id]
            else:
                removed.append(str(message.id))
        gone = [] if begins_anew else await self._named(removed)
        turns = [self._turn(message) for message in added]
        if begins_anew:
            await self.session.clear()
        for turn in gone:
            await self.session.delete(turn)
        await store(self.session, [turn for turn in turns if turn is not None])

    async def aclear(self) -> None:
        """Begin a new epoch. The earlier turns stay readable in the store."""
        await self.session.clear()

    @property
    def messages(self) -> list[BaseMessage]:  # type: ignore[override]
        """Refuse: a bot's event loop is not blocked for I/O."""
        self._refuse("aget_messages")

    def add_messages(self, messages: Sequence[BaseMessage]) -> None:  # noqa: ARG002
        """Refuse: a bot's event loop is not blocked for I/O."""
        self._refuse("aadd_messages")

    def clear(self) -> None:
        """Refuse: a bot's event loop is not blocked for I/O."""
        self._refuse("aclear")

    def _refuse(self, method: str) -> NoReturn:
        raise UnsupportedError(
            f"session {self.session.key}: this history is async: call {method}, or the chain's "
            "ainvoke or astream"
        )

    async def _named(self, ids: Sequence[str]) -> list[Turn]:
        """Return the turns of the messages with these ids."""
        wanted = {*ids}
        found: dict[str, Turn] = {}
        if wanted:
            async for turn in self.session.turns():
                id = _fields(turn).get("id") if turn.shape == _SHAPE else None
                if id in wanted:
                    found[id] = turn
        if missing := wanted - found.keys():
            raise InvalidTurnError(
                f"session {self.session.key}: there is no message with the id "
                f"{', '.join(sorted(missing))} to remove"
            )
        return [*found.values()]

    def _turn(self, message: BaseMessage) -> Turn | None:
        """Return the turn that holds a message; None for the message in hand."""
        full = message_to_dict(message)
        if (artifact := getattr(message, "artifact", None)) is not None:
            full["data"]["artifact"] = artifact  # whose documents are no dicts
        full["data"] = _jsonable(full["data"])
        brief = {**full, "data": _brief(full["data"])}
        data = brief["data"] if _is_same(brief, full) else full["data"]
        role = _ROLES.get(message.type, "user")
        if message.type == "chat" and data.get("role") in (*_ROLES.values(),):
            role = data["role"]
        here, content = self.session.turn, data.pop("content")
        said = content if isinstance(content, list) else [content]
        elements = [_part(one, role) for one in said]
        parts = [part for part in elements if part is not None]
        if here is not None and role == "user" and _words(parts) == here.text.strip():
            return None
        items: list[Json] = []
        fields: Json = {}
        if role == "assistant":
            fields["tool_calls"] = [_call(call) for call in data.pop("tool_calls", None) or []]
            fields["usage"] = [usage] if (usage := _usage(message)) is not None else []
            for place, call in enumerate(getattr(message, "tool_calls", ())):
                plain = _plain_call(fields["tool_calls"][place])
                items.append({"call": place, **difference(_jsonable(call), plain)})
        if role == "tool":
            fields["tool_call_id"] = data.pop("tool_call_id", "")
        if isinstance(content, list):
            items.append({"message": element_entries(content, elements, _FORMS)})
        head = {"fields": frozen({"type": full["type"], "data": data})}
        shown = content_of(parts) if isinstance(content, list) else content
        return made_turn(self.session, role, shown, shape=_SHAPE, items=[head, *items], **fields)


# What a message holds, as JSON.


def _jsonable(value: Any) -> Any:
    """Return JSON data, with bytes; what is none becomes text, so that no answer is lost."""
    if isinstance(value, Document):
        fields = {"page_content": value.page_content, "metadata": value.metadata, "id": value.id}
        return {_DOCUMENT: _jsonable(fields)}
    if isinstance(value, Mapping):
        return {str(key): _jsonable(inner) for key, inner in value.items()}
    if isinstance(value, (list, tuple)):
        return [_jsonable(inner) for inner in value]
    if value is None or isinstance(value, (str, int, float, bytes)):
        return value
    dump = getattr(value, "model_dump", None)
    return _jsonable(dump()) if callable(dump) else str(value)


def _documents(value: Any) -> Any:
    """Return an artifact with its documents."""
    if isinstance(value, list):
        return [*map(_documents, value)]
    if not isinstance(value, dict):
        return value
    if value.keys() == {_DOCUMENT}:
        return Document(**value[_DOCUMENT])
    return {key: _documents(inner) for key, inner in value.items()}


def _brief(data: Mapping[str, Any]) -> Json:
    """Return the data without what is empty."""
    kept = {key: value for key, value in without_nulls(data).items() if value not in ([], {})}
    return {"content": data["content"], **kept}


def _is_same(brief: Json, full: Json) -> bool:
    return messages_from_dict([brief]) == messages_from_dict([full])


def _usage(message: BaseMessage) -> Usage | None:
    told = message.usage_metadata if isinstance(message, AIMessage) else None
    if told is None:
        return None
    more = message.response_metadata
    read = mapping_or_empty(told.get("input_token_details"))
    return Usage(
        str(more.get("model_name") or more.get("model") or ""),
        input=told["input_tokens"],
        cached=read.get("cache_read", 0),
        cache_written=read.get("cache_creation", 0),
        output=told["output_tokens"],
        reasoning=mapping_or_empty(told.get("output_token_details")).get("reasoning", 0),
    )


def _call(call: Mapping[str, Any]) -> Json:
    function = {"name": call["name"], "arguments": as_arguments(call["args"])}
    return {"id": call.get("id") or "", "type": "function", "function": function}


def _plain_call(call: Mapping[str, Any]) -> Json:
    function = call["function"]
    named = {"name": function["name"], "args": parse_arguments(function["arguments"])}
    return {**named, "id": call["id"], "type": "tool_call"}


# Content blocks.


def _part(block: Any, role: str) -> Json | None:
    """Return the content part for a block; None for what only its own model understands."""
    match block:
        case str():
            return text_part(block)
        case {"type": "text", "text": str(text)}:
            return text_part(text)
        case _ if role not in ("user", "tool"):
            return None
        case {"type": "image_url"} if url := image_url(block):
            return {"type": "image_url", "image_url": {"url": url}}
        case {"type": "image", "url": str(url)}:
            return {"type": "image_url", "image_url": {"url": url}}
        case {"type": "image", "base64": str(data)} | {
            "type": "image",
            "source": {"type": "base64", "data": str(data)},
        }:
            source = mapping_or_empty(block.get("source"))
            kind = block.get("mime_type") or source.get("media_type") or "image/png"
            return {"type": "image_url", "image_url": {"url": f"data:{kind};base64,{data}"}}
        case {"type": "file" | "audio" | "video", "base64": str(data)}:
            kind = block.get("mime_type") or "application/octet-stream"
            return {"type": "file", "file": {"file_data": f"data:{kind};base64,{data}"}}
        case {"type": "input_audio", "input_audio": {"data": str()}} | {"type": "file", "file": {}}:
            return dict(block)
        case {"type": str(kind)}:
            return text_part(note(kind, block.get("url")))
    return None


def _as_openai(part: Mapping[str, Any]) -> Any:
    return dict(part)


def _as_standard(part: Mapping[str, Any]) -> Any:
    """Return the standard block of LangChain 1."""
    data = image_url(part) if part["type"] == "image_url" else ""
    kind, _, encoded = data.removeprefix("data:").partition(";base64,")
    return {"type": "image", "base64": encoded, "mime_type": kind} if encoded else dict(part)


def _as_anthropic(part: Mapping[str, Any]) -> Any:
    block = _as_standard(part)
    source = {"type": "base64", "media_type": block.get("mime_type"), "data": block.get("base64")}
    return {"type": "image", "source": source} if "base64" in block else block


_FORMS: Final = (_as_openai, _as_standard, _as_anthropic)


def _words(parts: Sequence[Json]) -> str:
    return "\n".join(part["text"] for part in parts if part["type"] == "text").strip()


# Messages of turns.


def _head(turn: Turn) -> Json:
    return next((one["fields"] for one in turn.items or () if "fields" in one), {})


def _fields(turn: Turn) -> Json:
    data: Json = _head(turn).get("data", {})
    return data


def _native(turn: Turn) -> Json:
    """Return the message of a turn, for `messages_from_dict`."""
    head = thawed(_head(turn))
    data = {"content": turn.content or "", **head.get("data", {})}
    entries = turn.items or []
    for entry in entries:
        if isinstance(entry.get("message"), list):
            data["content"] = elements_of(entry["message"], turn.content, _FORMS)
    if turn.role == "assistant" and turn.tool_calls:
        more = {entry["call"]: entry for entry in entries if "call" in entry}
        data["tool_calls"] = [
            restored(more.get(place, {}), _plain_call(call))
            for place, call in enumerate(turn.tool_calls)
        ]
    if turn.role == "tool":
        data["tool_call_id"] = turn.tool_call_id
    if "artifact" in data:
        data["artifact"] = _documents(data["artifact"])
    return {"type": head.get("type", "tool" if turn.role == "tool" else "human"), "data": data}
