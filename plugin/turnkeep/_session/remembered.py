"""The content that a function for media has given, while its turn is in the window.

Without it, each window would fetch its pictures again, and one that the platform has deleted
meanwhile would go from the middle of a prompt that the provider has in its cache.
"""

from __future__ import annotations

from collections import OrderedDict
from collections.abc import Iterable, Mapping
from operator import is_
from typing import Any, Final, NamedTuple

import msgspec

from .._window.resolve import Known, MediaResolver

__all__ = ["Remembered"]

_MOST_BYTES: Final = 32 * 1024 * 1024
_ADDRESSES: Final = ("http://", "https://")


class _Given(NamedTuple):
    """The answers of one function for the latest window of a session, and their size."""

    by: tuple[object, ...]
    answers: Known
    size: int


class Remembered:
    """The resolved media of the sessions whose windows were asked for last, up to 32 MiB.

    An address on the web is not remembered: those of the platforms expire.
    """

    def __init__(self, most_bytes: int = _MOST_BYTES) -> None:
        self._sessions: OrderedDict[str, _Given] = OrderedDict()
        self._most = most_bytes
        self._bytes = 0

    def of(self, generation: str, resolver: MediaResolver) -> Known:
        """Return what this function has given for a session's latest window."""
        given = self._sessions.get(generation)
        by = _identity(resolver)
        if given is None or len(given.by) != len(by) or not all(map(is_, given.by, by)):
            return {}
        return given.answers

    def keep(self, generation: str, resolver: MediaResolver, answers: Known) -> None:
        """Remember what the function gave for the latest window, and nothing earlier."""
        self.forget(generation)
        lasting = {
            at: answer
            for at, answer in answers.items()
            if isinstance(answer, str) or not _has_address(answer)
        }
        if not lasting:
            return
        size = sum(map(_size, lasting.values()))
        self._sessions[generation] = _Given(_identity(resolver), lasting, size)
        self._bytes += size
        while self._bytes > self._most:
            self._bytes -= self._sessions.popitem(last=False)[1].size

    def forget(self, generation: str) -> None:
        """Drop what is remembered of a session."""
        given = self._sessions.pop(generation, None)
        if given is not None:
            self._bytes -= given.size


def _identity(resolver: MediaResolver) -> tuple[object, ...]:
    """Return the objects that make a function what it is.

    A function that is written inside of a handler is made again for each message. It is the same
    one if its code, its defaults and the values around it are the same.
    """
    function: Any = getattr(resolver, "__func__", resolver)
    code = getattr(function, "__code__", None)
    if code is None:
        return (resolver,)
    around = [cell.cell_contents for cell in function.__closure__ or () if _is_full(cell)]
    more = (function.__kwdefaults__ or {}).values()
    return (
        code,
        getattr(resolver, "__self__", None),
        *around,
        *(function.__defaults__ or ()),
        *more,
    )


def _is_full(cell: Any) -> bool:
    try:
        return cell.cell_contents is not cell
    except ValueError:  # the name has no value yet
        return False


def _has_address(answer: object) -> bool:
    if isinstance(answer, str):
        return answer.startswith(_ADDRESSES)
    if isinstance(answer, Mapping):
        # A text may name an address, which is what was said.
        return answer.get("type") != "text" and any(map(_has_address, answer.values()))
    return isinstance(answer, Iterable) and any(map(_has_address, answer))


def _size(answer: object) -> int:
    return len(msgspec.json.encode(answer, enc_hook=repr))
