"""Exchanges of one task after the other, over 100 chats: nobody to share a write or a sync with."""

from __future__ import annotations

from typing import Any

from contestants import NAMES

from .chats import plot, table
from .rounds import rounds


def run(*, short: bool) -> list[dict[str, Any]]:
    arguments = (10, 1, 30, 2) if short else (100, 1, 2000, 6)
    return rounds("workloads.exchanges", list(NAMES), *arguments, count=1 if short else 3)


__all__ = ["plot", "run", "table"]
