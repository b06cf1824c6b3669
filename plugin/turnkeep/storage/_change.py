"""The change that an edit makes to a stored turn."""

from __future__ import annotations

from typing import Any, Final

import msgspec

from .._records.turn import Content, Turn

__all__ = ["Change"]

_encode: Final = msgspec.json.Encoder(order="deterministic").encode
_UNSET: Final = msgspec.UNSET
_SAID: Final = ("content", "tool_calls", "shape", "items")
_SET: Final = (*_SAID, "extra", "hidden", "variant", "answers")
"""The fields of a turn that a change sets."""


class Change(msgspec.Struct, frozen=True, kw_only=True):
    """The change that an edit makes to a turn. A field that is UNSET stays."""

    content: Content | msgspec.UnsetType = _UNSET
    """Other content also takes the turn's `items` away, unless others are given with it."""

    tool_calls: list[dict[str, Any]] | msgspec.UnsetType | None = _UNSET
    shape: str | msgspec.UnsetType | None = _UNSET
    items: list[dict[str, Any]] | msgspec.UnsetType | None = _UNSET
    extra: dict[str, Any] | msgspec.UnsetType = _UNSET
    link: tuple[str, ...] = ()
    """Source ids to add to those of the turn."""

    hidden: bool | msgspec.UnsetType = _UNSET
    variant: str | msgspec.UnsetType = _UNSET
    answers: int | msgspec.UnsetType = _UNSET

    @classmethod
    def to_what(cls, turn: Turn) -> Change:
        """Return the change after which a turn says what this one does."""
        return cls(**{name: getattr(turn, name) for name in _SAID})

    @property
    def is_link(self) -> bool:
        """True if it takes nothing of what a turn says away."""
        return all(getattr(self, name) is _UNSET for name in (*_SAID, "extra"))

    def apply(self, turn: Turn) -> Turn:
        """Return the changed turn, or `turn` itself, the same object, if nothing changes."""
        fields = {name: value for name in _SET if (value := getattr(self, name)) is not _UNSET}
        sources = tuple(dict.fromkeys(turn.source_ids + self.link))
        changed = msgspec.structs.replace(turn, source_ids=sources, **fields)
        if changed.content != turn.content and self.items is _UNSET:
            # The model's thoughts and citations are about what it said before.
            changed = msgspec.structs.replace(changed, shape=None, items=None)
        # Compared as JSON: Python takes True, 1 and 1.0 for the same.
        return turn if _encode(changed) == _encode(turn) else changed
