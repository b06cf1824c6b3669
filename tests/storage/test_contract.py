"""Every storage keeps the contract."""

from __future__ import annotations

from storage.placed import PlacedContract


class TestMemory(PlacedContract):
    """Has every hook, so that each sentence is checked of one storage at least."""
