"""A bounded memory of recent events."""

from __future__ import annotations

from collections import OrderedDict
from typing import TypeVar

__all__ = ["Recent"]

K = TypeVar("K")
V = TypeVar("V")


class Recent(OrderedDict[K, V]):
    """A dict that keeps its latest `most` entries: each new one drops the oldest.

    >>> recent = Recent(2)
    >>> recent.update(one=1, two=2, three=3)
    >>> list(recent)
    ['two', 'three']
    """

    def __init__(self, most: int) -> None:
        super().__init__()
        self._most = most

    def __setitem__(self, key: K, value: V) -> None:
        super().__setitem__(key, value)
        if len(self) > self._most:
            self.popitem(last=False)
