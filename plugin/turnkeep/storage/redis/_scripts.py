"""The Lua scripts: each is one atomic step on the server."""

from __future__ import annotations

from collections.abc import Mapping
from functools import cache, cached_property
from hashlib import sha1
from importlib.resources import files
from typing import Final

__all__ = ["Scripts"]

_LIBRARY: Final = "library"
_NOW: Final = "redis.call('TIME')"


class Scripts:
    """The scripts by their names, each behind the common library, and the hashes they run by.

    `now` is the Lua expression of the time. The files are read when a server first asks.
    """

    def __init__(self, now: str = _NOW) -> None:
        self._now = now

    @cached_property
    def texts(self) -> Mapping[str, str]:
        """The scripts' texts."""
        library = _files()[_LIBRARY].replace(_NOW, self._now)
        return {name: f"{library}\n{text}" for name, text in _files().items() if name != _LIBRARY}

    @cached_property
    def hashes(self) -> Mapping[str, str]:
        """The SHA-1 of each text, by which the server names it."""
        return {
            name: sha1(text.encode(), usedforsecurity=False).hexdigest()
            for name, text in self.texts.items()
        }


@cache
def _files() -> Mapping[str, str]:
    folder = files("turnkeep.storage.redis").joinpath("lua")
    return {
        file.name.removesuffix(".lua"): file.read_text("utf-8")
        for file in folder.iterdir()
        if file.name.endswith(".lua")
    }
