"""The author of a turn."""

from __future__ import annotations

import msgspec

__all__ = ["Sender"]


class Sender(msgspec.Struct, frozen=True, omit_defaults=True, gc=False):
    """The author of a turn: the platform's id of the person, and a name to show."""

    id: str
    name: str | None = None
