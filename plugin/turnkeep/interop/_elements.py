"""The elements of a framework's content, stored beside the turn's content parts.

What a part says is not said again: an element is its part in one of the framework's `forms`,
and what it has besides, as in `turnkeep.shapes`.
"""

from __future__ import annotations

import json
from collections.abc import Callable, Mapping, Sequence
from typing import Any

from ..shapes._items import difference, frozen, restored, thawed

__all__ = ["Form", "element_entries", "elements_of", "without_nulls"]

Json = dict[str, Any]
Form = Callable[[Mapping[str, Any]], Any]
"""A function from a content part to the element that it alone becomes."""


def element_entries(
    elements: Sequence[Any], parts: Sequence[Json | None], forms: Sequence[Form]
) -> list[Json]:
    """Return the entries for elements, each with its content part or None."""
    entries: list[Json] = []
    place = 0
    for element, part in zip(elements, parts, strict=True):
        if part is None:
            entries.append({"item": frozen(element)})
            continue
        found = [_entry(element, part, place, form, forms) for form in range(len(forms))]
        entries.append(min(found, key=lambda entry: len(json.dumps(entry))))
        place += 1
    return entries


def _entry(element: Any, part: Json, place: int, form: int, forms: Sequence[Form]) -> Json:
    entry = {"part": place} | ({"form": form} if form else {})
    plain = forms[form](part)
    if isinstance(element, dict) and isinstance(plain, dict):
        return {**entry, **difference(element, plain)}
    return entry if element == plain else {**entry, "as": frozen(element)}


def elements_of(
    entries: Sequence[Mapping[str, Any]], content: object, forms: Sequence[Form]
) -> list[Any]:
    """Return the elements of a turn's content."""
    parts = [{"type": "text", "text": content}] if isinstance(content, str) else content or []
    assert isinstance(parts, list)
    made: list[Any] = []
    for entry in entries:
        place, form = entry.get("part", -1), entry.get("form", 0)
        if "item" in entry:
            made.append(thawed(entry["item"]))
        elif 0 <= place < len(parts) and form < len(forms):
            plain = forms[form](parts[place])
            if "as" in entry or not isinstance(plain, dict):
                made.append(thawed(entry.get("as", plain)))
            else:
                made.append(restored(entry, plain))
    return made


def without_nulls(fields: Mapping[str, Any]) -> Json:
    return {key: value for key, value in fields.items() if value is not None}
