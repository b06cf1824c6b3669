"""The receipt of an erasure: what went, where it was looked for, and what remains."""

from __future__ import annotations

import json
import mmap
from collections.abc import ItemsView, Iterable, Iterator, KeysView, Mapping, Sequence, ValuesView
from pathlib import Path
from typing import Final, Literal

import msgspec
from anyio import to_thread

from .._records.info import SessionInfo
from .._records.turn import Turn
from ..storage.base import Storage

__all__ = ["Receipt", "Remains", "Texts", "receipt"]

_SHORTEST: Final = 8
"""Bytes: shorter texts are in many messages."""

_LONGEST: Final = 120
_MOST: Final = 500


class Remains(msgspec.Struct, frozen=True, kw_only=True):
    """Something of an erased person or session that may still be there.

    - `kind` is `"summary"` (a session's summary was made of erased turns, too), `"damaged"` (a
      session has, or had, places that can't be read), `"copy"` (a file has the words of an erased
      turn), or `"engine"` (the server keeps old bytes for a while).
    - `where` is the key of a session, the path of a file, or the storage.
    - `remedy` says what to do about it.
    """

    kind: Literal["summary", "damaged", "copy", "engine"]
    where: str
    remedy: str


class Receipt(  # noqa: PLW1641 (it has mutable parts)
    msgspec.Struct, frozen=True, kw_only=True, eq=False
):
    """The result of `forget` and `forget_sender`. It is also a mapping, that of `erased`.

    - `erased`: how many turns were deleted or lost a quote, by the text of each session's key.
      It is empty, and the receipt false, if there was nothing to erase.
    - `looked_in`: the places where it was looked for: the storage, and the files in which the
      words of the erased turns were searched, afterwards.
    - `searched_for`: how many texts were searched for in these files. Texts of less than eight
      bytes are not.
    - `remains`: what may still be there.
    """

    erased: dict[str, int] = {}
    looked_in: list[str] = []
    searched_for: int = 0
    remains: list[Remains] = []

    def __eq__(self, other: object) -> bool:
        """Return True for an equal receipt, or for a mapping like `erased`."""
        if isinstance(other, Receipt):
            return msgspec.structs.astuple(self) == msgspec.structs.astuple(other)
        return isinstance(other, Mapping) and self.erased == dict(other)

    def __getitem__(self, key: str) -> int:
        return self.erased[key]

    def __iter__(self) -> Iterator[str]:
        return iter(self.erased)

    def __len__(self) -> int:
        return len(self.erased)

    def keys(self) -> KeysView[str]:
        """Return the keys of the sessions where something was erased."""
        return self.erased.keys()

    def values(self) -> ValuesView[int]:
        """Return the numbers of turns."""
        return self.erased.values()

    def items(self) -> ItemsView[str, int]:
        """Return the keys with their numbers of turns."""
        return self.erased.items()


class Texts:
    """The words of erased turns, as a file may have them."""

    def __init__(self) -> None:
        self._texts: dict[str, None] = {}

    def add(self, turns: Iterable[Turn]) -> None:
        """Note the beginnings of these turns' texts."""
        for turn in turns:
            text = turn.text.strip()[:_LONGEST]
            if len(self._texts) < _MOST and len(text.encode(errors="replace")) >= _SHORTEST:
                self._texts[text] = None

    def __len__(self) -> int:
        return len(self._texts)

    def __iter__(self) -> Iterator[str]:
        return iter(self._texts)

    def needles(self) -> list[bytes]:
        """Return the texts as they are, and as JSON has them."""
        forms: dict[bytes, None] = {}
        for text in self._texts:
            forms[text.encode(errors="replace")] = None
            forms[msgspec.json.encode(text)[1:-1]] = None
            forms[json.dumps(text)[1:-1].encode()] = None
        return list(forms)


async def receipt(
    storage: Storage,
    erased: Mapping[str, int],
    infos: Iterable[SessionInfo],
    texts: Texts | None,
    *,
    unread: bool = False,
) -> Receipt:
    """Return the receipt of an erasure that is done; `infos` are the sessions that stay.

    `texts` are searched for in the storage's files, unless they are None. `unread` is true if
    they are not all, since what was erased could not be read.
    """
    remains: list[Remains] = []
    if erased and unread and texts is not None:
        remedy = "it could not be read, so its words were not all searched for in other files"
        remains += [Remains(kind="damaged", where=key, remedy=remedy) for key in erased]
    for info in infos:
        if info.summary is not None:
            remedy = "clear(erase=True) deletes it, with all turns"
            remains.append(Remains(kind="summary", where=info.key.text, remedy=remedy))
        if info.damaged:
            remedy = "look through what was set aside, or forget the session"
            remains.append(Remains(kind="damaged", where=info.key.text, remedy=remedy))
    looked_in = [repr(storage)]
    if erased and texts:
        files = await storage.files()
        looked_in += files
        found = await to_thread.run_sync(_found_in, files, texts.needles())
        remedy = "look into it: it is a copy, or somebody else wrote the same; delete a copy"
        remains += [Remains(kind="copy", where=path, remedy=remedy) for path in found]
    if erased and not storage.capabilities.erases:
        remedy = "see the page of this storage: the server's files and backups keep it for a while"
        remains.append(Remains(kind="engine", where=repr(storage), remedy=remedy))
    return Receipt(
        erased=dict(erased), looked_in=looked_in, searched_for=len(texts or ()), remains=remains
    )


def _found_in(files: Sequence[str], needles: Sequence[bytes]) -> list[str]:
    """Return the files that have one of these bytes, or can't be read."""
    return [path for path in files if needles and _has(Path(path), needles)]


def _has(path: Path, needles: Sequence[bytes]) -> bool:
    try:
        with path.open("rb") as file:
            if not path.stat().st_size:
                return False
            with mmap.mmap(file.fileno(), 0, access=mmap.ACCESS_READ) as data:
                return any(data.find(needle) >= 0 for needle in needles)
    except FileNotFoundError:
        return False  # removed meanwhile
    except (OSError, ValueError):
        return True  # nobody can say that it is not there
