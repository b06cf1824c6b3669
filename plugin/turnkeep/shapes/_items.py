"""Items: what a message of an API holds beyond chat-completions text and calls.

`from_shape` puts them into a message's `items`, in the order in which they were said, beside the
name of the `shape` they belong to. `to_shape` takes them for that shape alone. Each is

- `{"item": …}`: a block, item or part of the API, unchanged;
- `{"part": 0}` or `{"call": 0}`: a content part or a tool call of the message stands here. The
  API's form of it may have more fields: `patch` holds these as a merge patch (RFC 7386), and
  `as` the whole form where a patch can't express it;
- `{"message": [{"part": 0}, …]}`: a message item of the Responses API with these parts;
- `{"result": true}`: a tool result with more fields, as `patch` or `as`;
- `{"fields": {…}}`: more fields of a chat-completions message;
- `{"begins": {…}}`: a message of Anthropic's or Google's begins here. `text` is True if its
  content is a string, `apart` if the message before has the same role, and `role` is its own name
  of the role.

Bytes are `{"$base64": "…"}`, since all of this is stored as JSON.
"""

from __future__ import annotations

import base64
import binascii
import copy
from collections.abc import Callable, Mapping, Sequence
from typing import Any, Final, TypeAlias, cast

from ._common import (
    Message,
    Part,
    as_fields,
    indexed_parts,
    mapping_or_empty,
    note,
    parts_of,
    text_part,
)

Native: TypeAlias = dict[str, Any]
"""A block, item or part of an API."""

Entry: TypeAlias = dict[str, Any]

_BYTES: Final = "$base64"
_FRAME: Final = "begins"
_DATA: Final = frozenset(
    (
        *("args", "arguments", "input", "input_schema", "parameters", "part_metadata"),
        *("partMetadata", "response", "schema", "tools"),
    )
)
"""Keys whose values are a tool's own, so that a null in them means something."""
_NULLABLE: Final = frozenset(("code", "document_title", "keys", "outputs", "result", "title"))
"""Keys that a type of the packages requires, and may be null."""
_ADDED: Final = frozenset(("parsed", "parsed_arguments", "parsed_output"))
"""Fields that the clients' helpers for structured output add to what the API said."""


def native_of(value: Mapping[str, Any]) -> Native:
    """Return a copy as the API said it: without what its client has added."""
    return cast("Native", _said(value))


def _said(value: Any) -> Any:
    value = as_fields(value)
    if isinstance(value, Mapping):
        return {
            key: copy.deepcopy(inner) if key in _DATA else _said(inner)
            for key, inner in value.items()
            if key not in _ADDED and (inner is not None or key in _NULLABLE)
        }
    if isinstance(value, (list, tuple)):
        return [_said(inner) for inner in value]
    return value


def frozen(value: Any) -> Any:
    """Return a copy in which bytes are JSON."""
    if isinstance(value, bytes):
        return {_BYTES: base64.b64encode(value).decode()}
    if isinstance(value, Mapping):
        return {key: frozen(inner) for key, inner in value.items()}
    if isinstance(value, (list, tuple)):
        return [frozen(inner) for inner in value]
    return value


def thawed(value: Any) -> Any:
    """Return a copy of what `frozen` was given."""
    if isinstance(value, Mapping):
        if value.keys() == {_BYTES} and isinstance(value[_BYTES], str):
            try:
                return base64.b64decode(value[_BYTES])
            except (binascii.Error, ValueError):
                return b""
        return {key: thawed(inner) for key, inner in value.items()}
    if isinstance(value, (list, tuple)):
        return [thawed(inner) for inner in value]
    return value


def difference(native: Native, plain: Native) -> Entry:
    """Return `{}`, a `patch`, or an `as`: what makes the native form of the plain one."""
    if native == plain:
        return {}
    patch = _patch(native, plain)
    if _patched(plain, patch) == native:
        return {"patch": frozen(patch)}
    return {"as": frozen(native)}


def restored(entry: Mapping[str, Any], plain: Native) -> Native:
    """Return the native form of a plain one."""
    if isinstance(entry.get("as"), Mapping):
        return cast("Native", thawed(entry["as"]))
    patch = entry.get("patch")
    return _patched(plain, thawed(patch)) if isinstance(patch, Mapping) else plain


def _patch(native: Mapping[str, Any], plain: Mapping[str, Any]) -> dict[str, Any]:
    patch: dict[str, Any] = {key: None for key in plain if key not in native}
    for key, value in native.items():
        known = plain.get(key)
        if key in plain and known == value and type(known) is type(value):
            continue
        if isinstance(value, Mapping) and isinstance(known, Mapping):
            patch[key] = _patch(value, known)
        else:
            patch[key] = value
    return patch


def _patched(plain: Mapping[str, Any], patch: Mapping[str, Any]) -> dict[str, Any]:
    made = dict(plain)
    for key, value in patch.items():
        if value is None:
            made.pop(key, None)
        elif isinstance(value, Mapping):
            made[key] = _patched(mapping_or_empty(made.get(key)), value)
        else:
            made[key] = copy.deepcopy(value)
    return made


class Reader:
    """Collects a message of an API: its content parts, its calls, and their order."""

    def __init__(self, shape: str) -> None:
        self.shape = shape
        self.parts: list[dict[str, Any]] = []
        self.calls: list[dict[str, Any]] = []
        self.entries: list[Entry] = []
        self.natives: list[Native] = []

    def __bool__(self) -> bool:
        return bool(self.entries)

    def part(self, part: dict[str, Any], native: Native, plain: Native) -> None:
        """Add a content part; `plain` is what the part alone becomes in this shape."""
        self._add({"part": self.add_part(part), **difference(native, plain)}, native)

    def add_part(self, part: dict[str, Any]) -> int:
        """Add a content part without a place of its own, and return its index."""
        self.parts.append(part)
        return len(self.parts) - 1

    def call(self, call: dict[str, Any], native: Native, plain: Native) -> None:
        """Add a tool call; `plain` is what the call alone becomes in this shape."""
        self.calls.append(call)
        self._add({"call": len(self.calls) - 1, **difference(native, plain)}, native)

    def whole_call(self, call: dict[str, Any], native: Native) -> None:
        """Add a call of a built-in tool, which goes back only as it is."""
        self.calls.append(call)
        self._add({"call": len(self.calls) - 1, "as": frozen(native)}, native)

    def item(self, native: Native) -> None:
        """Add what no chat-completions message can express."""
        self._add({"item": frozen(native)}, native)

    def entry(self, entry: Entry, native: Native) -> None:
        """Add an item of another kind."""
        self._add(entry, native)

    def _add(self, entry: Entry, native: Native) -> None:
        self.entries.append(entry)
        self.natives.append(native)

    def kept(self, plain: Sequence[Native]) -> Message:
        """Return the fields `shape` and `items`, or none if the plain form says all there is."""
        return {} if plain == self.natives else {"shape": self.shape, "items": self.entries}


def items_of(message: Mapping[str, Any], shape: str) -> list[Mapping[str, Any]] | None:
    """Return a message's items if they belong to this shape, else None."""
    return [item for item in _own_items(message, shape) if _FRAME not in item] or None


def frame_of(message: Mapping[str, Any], shape: str) -> Mapping[str, Any] | None:
    """Return how the API's message was written that begins with this one, or None."""
    frames = [item.get(_FRAME) for item in _own_items(message, shape)]
    return next((one for one in frames if isinstance(one, Mapping)), None)


def framed(messages: list[Message], shape: str, frame: Mapping[str, Any]) -> list[Message]:
    """Return the messages of one message of the API with the way in which it was written."""
    if not (messages and frame):
        return messages
    first, *rest = messages
    items = [{_FRAME: dict(frame)}, *first.get("items", ())]
    return [{**first, "shape": shape, "items": items}, *rest]


def _own_items(message: Mapping[str, Any], shape: str) -> list[Mapping[str, Any]]:
    items = message.get("items")
    if message.get("shape") != shape or not isinstance(items, (list, tuple)):
        return []
    return [item for item in items if isinstance(item, Mapping)]


class Pieces:
    """The native forms of a message's parts and calls, of which each is placed once."""

    def __init__(self, parts: Sequence[Native | None], calls: Sequence[Native] = ()) -> None:
        self._parts: dict[int, Native | None] = dict(enumerate(parts))
        self._calls: dict[int, Native] = dict(enumerate(calls))

    def at(self, item: Mapping[str, Any]) -> list[Native]:
        """Return what stands where this item does: one native form or none."""
        match item:
            case {"item": Mapping() as native}:
                return [cast("Native", thawed(native))]
            case {"part": int(index)}:
                plain = self._parts.pop(index, None)
            case {"call": int(index)}:
                plain = self._calls.pop(index, None)
            case _:
                return []
        return [] if plain is None else [restored(item, plain)]

    def left(self) -> tuple[list[Native], list[Native]]:
        """Return the parts and the calls that no item has placed."""
        return [part for part in self._parts.values() if part is not None], [*self._calls.values()]


def arranged(items: Sequence[Mapping[str, Any]], pieces: Pieces) -> list[Native]:
    """Return a message's items, parts and calls in their order.

    A part that no item places stands before the first call, and a call behind all.
    """
    out: list[Native] = []
    first_call: int | None = None
    for item in items:
        if first_call is None and "call" in item:
            first_call = len(out)
        out += pieces.at(item)
    parts, calls = pieces.left()
    place = len(out) if first_call is None else first_call
    out[place:place] = parts
    return out + calls


def laid_out(
    message: Mapping[str, Any],
    where: str,
    shape: str,
    plain: Callable[[Part], Native],
    calls: Sequence[Native] = (),
) -> list[Native]:
    """Return the native forms of a message: its parts, its calls, and its items of this shape."""
    items = items_of(message, shape)
    if items is None:
        parts = [*parts_of(message, where), *media_notes(message)]
        return [*map(plain, parts), *calls]
    indexed = indexed_parts(message, where)
    return arranged(
        items, Pieces([None if part is None else plain(part) for part in indexed], calls)
    )


def media_notes(message: Mapping[str, Any]) -> list[Part]:
    """Return short texts for the media that a model of another API has made."""
    notes: list[Part] = []
    items = message.get("items")
    for item in items if isinstance(items, list) else ():
        native = mapping_or_empty(mapping_or_empty(item).get("item"))
        if native.get("type") == "image_generation_call":
            notes.append(text_part(note("image", native.get("revised_prompt"))))
        elif isinstance(blob := native.get("inline_data"), Mapping):
            kind = str(blob.get("mime_type") or "file").partition("/")[0]
            notes.append(text_part(note(kind)))
    return notes
