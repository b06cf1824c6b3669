"""The sessions in the two orders of a list, kept while they are written to."""

from __future__ import annotations

from bisect import bisect_left, bisect_right, insort
from collections.abc import Iterable, Iterator
from datetime import datetime
from itertools import islice
from typing import Final

_FEW: Final = 16
"""If one in so many sessions or fewer has the prefix, they are sorted, and the others passed by."""


class Places:
    """The texts of the sessions' keys, by themselves and by when the sessions were written."""

    def __init__(self) -> None:
        self._texts: list[str] = []
        self._written: dict[str, datetime] = {}
        """In the order of the last writes, the latest last, as long as `_in_order`."""
        self._latest: datetime | None = None
        self._in_order = True

    def put(self, text: str, written: datetime) -> None:
        """Take up that a session was written."""
        if self._written.pop(text, None) is None:
            insort(self._texts, text)
        self._written[text] = written
        if self._latest is not None and written <= self._latest:
            self._in_order = False  # a copied record, or a clock that stood still
        else:
            self._latest = written

    def drop(self, text: str) -> None:
        """Take up that a session is gone."""
        if self._written.pop(text, None) is not None:
            del self._texts[bisect_left(self._texts, text)]

    def by_key(self, prefix: str, after: str | None) -> Iterator[str]:
        """Give the texts with a prefix in their order, behind one of them."""
        start, end = self._range(prefix)
        if after is not None:
            start = max(start, bisect_right(self._texts, after))
        return islice(self._texts, start, end)

    def by_time(self, prefix: str, after: tuple[datetime, str] | None) -> Iterable[str]:
        """Give the texts with a prefix, the last written first, behind one of them."""
        start, end = self._range(prefix)
        if (end - start) * _FEW <= len(self._texts):
            texts: Iterable[str] = self._sorted(self._texts[start:end])
        else:
            if not self._in_order:
                newest_first = self._sorted(self._texts)
                self._written = {text: self._written[text] for text in reversed(newest_first)}
                self._in_order = True
                self._latest = self._written[newest_first[0]]
            texts = reversed(self._written)
        for text in texts:
            if text.startswith(prefix) and (after is None or self._is_behind(text, *after)):
                yield text

    def _is_behind(self, text: str, time: datetime, other: str) -> bool:
        written = self._written[text]
        return written < time or (written == time and text > other)

    def _sorted(self, ascending: list[str]) -> list[str]:
        """Return texts in the order of their times, those of one time in their own."""
        return sorted(ascending, key=self._written.__getitem__, reverse=True)

    def _range(self, prefix: str) -> tuple[int, int]:
        texts, length = self._texts, len(prefix)
        start = bisect_left(texts, prefix)
        return start, bisect_right(texts, prefix, start, key=lambda text: text[:length])
