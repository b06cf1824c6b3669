"""A verb to be measured: it is prepared, and what it returns is what takes the time."""

from __future__ import annotations

from collections.abc import Awaitable, Callable
from typing import Any, NamedTuple

from .subjects import Subject

Prepare = Callable[[Subject], Awaitable[Awaitable[Any] | None]]


class Verb(NamedTuple):
    """`linear` is True, or names the storages, where a verb may cost what is stored.

    `most` bounds how often it is tried at each size.
    """

    name: str
    prepare: Prepare
    linear: bool | tuple[str, ...]
    most: int

    def is_linear(self, who: str) -> bool:
        if isinstance(self.linear, bool):
            return self.linear
        return ("sqlite" if "sqlite" in who else who.rsplit(", ", maxsplit=1)[-1]) in self.linear


def verb(
    verbs: list[Verb], *, linear: bool | tuple[str, ...] = False, most: int = 40
) -> Callable[[Prepare], Prepare]:
    """Add a function to these verbs under its own name."""

    def add(prepare: Prepare) -> Prepare:
        name = prepare.__name__.replace("_", " ")
        verbs.append(Verb(name, prepare, linear, most))
        return prepare

    return add
