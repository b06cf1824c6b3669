"""Changes of a turn's items when a window changes the turn. All functions are pure."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any, Final, cast

import msgspec

from .._records.turn import Turn

__all__ = ["with_calls", "without_parts"]

_THOUGHTS: Final = frozenset(("thinking", "redacted_thinking", "reasoning"))
_SIGNATURE: Final = "thought_signature"


def with_calls(turn: Turn, calls: list[dict[str, Any]], kept: Sequence[int]) -> Turn:
    """Return the turn with these calls, which were its calls at the indexes `kept`.

    A thought that only led to a call goes with it, since no API takes it alone. A signature that
    stood at a call that goes stands at the next one.
    """
    items = turn.items
    if items and len(kept) < len(turn.tool_calls or ()):
        items = _with_calls(items, {old: new for new, old in enumerate(kept)})
    shape = turn.shape if items else None
    return msgspec.structs.replace(turn, tool_calls=calls, items=items or None, shape=shape)


def _with_calls(items: Sequence[dict[str, Any]], places: Mapping[int, int]) -> list[dict[str, Any]]:
    made: list[dict[str, Any]] = []
    signature: object = None
    gone = False
    for item in items:
        if "call" in item and item["call"] not in places:
            signature = _patch(item).get(_SIGNATURE, signature)
            gone = True
            continue
        if gone and _is_thought(item):
            _drop_thoughts(made)
        gone = False
        if "call" in item:
            item = {**item, "call": places[item["call"]]}
            if signature is not None and _SIGNATURE not in _patch(item):
                item["patch"] = {**_patch(item), _SIGNATURE: signature}
            signature = None
        made.append(item)
    if gone:
        _drop_thoughts(made)
    return made


def _drop_thoughts(items: list[dict[str, Any]]) -> None:
    while items and _is_thought(items[-1]):
        items.pop()


def _is_thought(item: Mapping[str, Any]) -> bool:
    native = item.get("item")
    return isinstance(native, dict) and (
        native.get("type") in _THOUGHTS or native.get("thought") is True
    )


def _patch(item: Mapping[str, Any]) -> dict[str, Any]:
    patch = item.get("patch")
    return cast("dict[str, Any]", patch) if isinstance(patch, dict) else {}


def without_parts(turn: Turn, changes: dict[str, Any]) -> dict[str, Any]:
    """Return the changes of a turn whose text is cut, with what its items keep.

    Citations and annotations of a text that is no longer whole are left out, and so is the
    native form of a result or of a call that was cut.
    """
    if not turn.items:
        return changes
    kept: list[dict[str, Any]] = []
    for item in turn.items:
        if "call" in item and "tool_calls" in changes:
            signature = _patch(item).get(_SIGNATURE)
            patch = {} if signature is None else {"patch": {_SIGNATURE: signature}}
            kept.append({"call": item["call"], **patch})
        elif "content" not in changes or not item.keys() & {"part", "message", "result"}:
            kept.append(item)
    if not any(item.keys() - {"call"} for item in kept):
        return {**changes, "items": None, "shape": None}
    return {**changes, "items": kept}
