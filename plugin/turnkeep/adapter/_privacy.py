"""The answers to `/forget` and `/export`, the same on every platform."""

from __future__ import annotations

from typing import Final

from .._store import Session
from ._export import export, forget

__all__ = ["EXPORT_NAME", "NOTHING_KEPT", "export_file", "forget_and_report"]

NOTHING_KEPT: Final = "Nothing is kept of you here."
EXPORT_NAME: Final = "conversation.json"

_FORGOTTEN: Final = "What was kept of you here is erased."


async def forget_and_report(session: Session, *, sender_id: str | int) -> str:
    """Erase a person's data as `forget` does; return the sentence to answer with."""
    return _FORGOTTEN if await forget(session, sender_id=sender_id) else NOTHING_KEPT


async def export_file(session: Session, *, sender_id: str | int) -> bytes | None:
    """Return the file of `export`, or None if nothing of the person is stored."""
    file = await export(session, sender_id=sender_id)
    return None if file == b"[]" else file
