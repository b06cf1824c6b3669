"""The author of a turn."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any, Final

import msgspec

__all__ = ["REPLY_TO", "Sender", "replied_id"]

REPLY_TO: Final = "reply_to"
"""The key of a turn's `extra` that names the message that its first line repeats."""


class Sender(msgspec.Struct, frozen=True, omit_defaults=True, gc=False):
    """The author of a turn: the platform's id of the person, and a name to show."""

    id: str
    name: str | None = None


def replied_id(extra: Mapping[str, Any]) -> str | None:
    """Return the id of the person whose message the first line repeats; None if there is none."""
    of = extra.get(REPLY_TO)
    by = of.get("sender") if isinstance(of, dict) else None
    return by if isinstance(by, str) and by else None
