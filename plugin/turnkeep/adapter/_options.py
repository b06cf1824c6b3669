"""The options that every adapter takes: those of its recorder, and the defaults of answers."""

from __future__ import annotations

from collections.abc import Container, Mapping
from datetime import timedelta
from difflib import get_close_matches
from typing import Final, cast

from .._errors import kind_of
from ._bounds import RateLimit
from ._recorder import RecorderOptions
from ._reset import ResetPolicy
from ._wishes import AnswerDefaults, AnswerOptions

__all__ = ["AdapterOptions", "split_options"]


class AdapterOptions(RecorderOptions, AnswerDefaults, total=False):
    """`RecorderOptions`, and the defaults of `answer`: see `AnswerOptions`."""


_KINDS: Final[Mapping[str, tuple[type | tuple[type, ...], str]]] = {
    "debounce": ((int, float), "a number of seconds"),
    "max_wait": ((int, float), "a number of seconds"),
    "max_waiting": (int, "a whole number of messages"),
    "max_length": (int, "a whole number of characters"),
    "limit": ((RateLimit, type(None)), "a RateLimit, such as RateLimit(20)"),
    "reset": ((ResetPolicy, type(None)), "a ResetPolicy, such as ResetPolicy(idle=…)"),
    "resume": (timedelta, "a timedelta, such as timedelta(minutes=15)"),
    "ignore": (Container, "a set of ids, such as {42}"),
}
"""The type of an option's value, and what an error calls it."""

_FUNCTIONS: Final[Mapping[str, tuple[type | tuple[type, ...], str]]] = {
    "failed": (str, "a text, or a function of the exception"),
    "refused": (str, "a text, or a function of the Refusal"),
    "regenerate": (type(None), "an async function of the session"),
    "too_old": (type(None), "a function of the Unanswered"),
}
"""The type that the value of such an option has if it is no function."""


def split_options(options: AdapterOptions) -> tuple[RecorderOptions, AnswerOptions]:
    """Return the recorder's options, and those of answers; raise `TypeError` for a wrong one."""
    for name, value in options.items():
        _check(name, value)
    names = AnswerDefaults.__annotations__
    recorder = {name: value for name, value in options.items() if name not in names}
    answers = {name: value for name, value in options.items() if name in names}
    return cast("RecorderOptions", recorder), AnswerOptions(**cast("AnswerDefaults", answers))


def _check(name: str, value: object) -> None:
    known = AdapterOptions.__annotations__
    if name not in known:
        near = "".join(f"; did you mean {one!r}?" for one in get_close_matches(name, known, 1))
        raise TypeError(f"there is no option {name!r}{near}")
    kinds, words = _KINDS.get(name) or _FUNCTIONS.get(name) or (object, "")
    if isinstance(value, kinds) or (name in _FUNCTIONS and callable(value)):
        return
    raise TypeError(f"{name} is {words}, not {kind_of(value)}")
