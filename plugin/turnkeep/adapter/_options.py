"""The options that every adapter takes: those of its recorder, and the defaults of answers."""

from __future__ import annotations

from typing import cast

from ._recorder import RecorderOptions
from ._wishes import AnswerDefaults, AnswerOptions

__all__ = ["AdapterOptions", "split_options"]


class AdapterOptions(RecorderOptions, AnswerDefaults, total=False):
    """`RecorderOptions`, and the defaults of `answer`: see `AnswerOptions`."""


def split_options(options: AdapterOptions) -> tuple[RecorderOptions, AnswerOptions]:
    """Return the recorder's options, and those of answers."""
    names = AnswerDefaults.__annotations__
    recorder = {name: value for name, value in options.items() if name not in names}
    answers = {name: value for name, value in options.items() if name in names}
    return cast("RecorderOptions", recorder), AnswerOptions(**cast("AnswerDefaults", answers))
