"""Items: what a provider said beyond text and calls, as a turn keeps it.

Each item is a dict of one key that says what it is, in the order in which the model said it:

- `item`: a block, item or part of the API, unchanged;
- `part` or `call`: the place of a content part or of a tool call of the turn, which stands
  here. A `patch` (RFC 7386) has the fields that the API's form has besides, or `as` is that form;
- `message`: a message with several of these;
- `result` and `fields`: the same for a whole tool result and for a chat-completions message;
- `begins`: how the API's message was written that begins with this turn.

`turnkeep.shapes` writes and reads them. Nothing here may raise for what a model said.
"""

from __future__ import annotations

import logging
from collections.abc import Iterable, Mapping
from typing import Any, Final

import msgspec

from .._errors import InvalidTurnError, kind_of
from .clean import clean_json
from .turn import Turn
from .usage import Usage

__all__ = ["as_items", "as_usage", "fitting_items", "items_beside"]

logger: Final = logging.getLogger("turnkeep")
_encode: Final = msgspec.json.Encoder().encode
_WITH_DATA: Final = ("image_url", "input_audio", "file")
_CONTENTS: Final = frozenset(("content", "output", "function_response"))


def as_items(
    shape: object, items: Iterable[Mapping[str, Any]], where: str
) -> list[dict[str, Any]] | None:
    """Return checked copies of a turn's items. What no storage can hold is left out."""
    if not isinstance(shape, str) or not shape:
        raise InvalidTurnError(f"{where}items need the shape that they belong to, not {shape!r}")
    if isinstance(items, (str, Mapping)) or not isinstance(items, Iterable):
        raise InvalidTurnError(f"{where}items are a list of dicts, not {kind_of(items)}")
    kept: list[dict[str, Any]] = []
    for item in items:
        if not isinstance(item, Mapping):
            raise InvalidTurnError(f"{where}an item is a dict, not {kind_of(item)}")
        try:
            kept.append(clean_json(item, "it"))
        except ValueError as error:
            logger.warning("%san item of shape %r is left out: %s", where, shape, error)
    return kept or None


def fitting_items(turn: Turn, max_bytes: int, where: str) -> Turn:
    """Return the turn without its largest items, so that it has at most `max_bytes` if it can."""
    items = turn.items or []
    sizes = {place: len(_encode(item)) for place, item in enumerate(items)}
    excess = len(_encode(turn)) - max_bytes
    gone: set[int] = set()
    for place in sorted(sizes, key=lambda place: -sizes[place]):
        if excess <= 0:
            break
        gone.add(place)
        excess -= sizes[place]
    logger.warning("%s%d of %d items are too large to be stored", where, len(gone), len(items))
    kept = [item for place, item in enumerate(items) if place not in gone]
    return msgspec.structs.replace(turn, items=kept or None, shape=turn.shape if kept else None)


def items_beside(
    items: Iterable[Mapping[str, Any]], given: object, kept: object
) -> Iterable[Mapping[str, Any]] | None:
    """Return the items that hold where references stand in the place of the given parts."""
    if not isinstance(given, (list, tuple)) or not isinstance(kept, list):
        return items
    replaced = any(
        isinstance(part, Mapping)
        and part.get("type") in _WITH_DATA
        and made.get("type") != part["type"]
        for part, made in zip(given, kept, strict=False)
    )
    if not replaced:
        return items
    # What a result says beside its content, such as that it is an error, holds all the same.
    return [one for one in items if "result" in one and _is_beside(one)] or None


def _is_beside(item: Mapping[str, Any]) -> bool:
    patch = item.get("patch")
    return isinstance(patch, Mapping) and not patch.keys() & _CONTENTS


def as_usage(usage: Iterable[Usage], where: str) -> tuple[Usage, ...]:
    """Return usage records as a tuple; raise `InvalidTurnError` for anything else."""
    found = tuple(usage) if isinstance(usage, Iterable) else (usage,)
    for one in found:
        if not isinstance(one, Usage):
            raise InvalidTurnError(f"{where}usage is a list of Usage, not {kind_of(one)}")
    return found
