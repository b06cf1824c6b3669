"""An author's wishes for answers that go wrong: the options of `answer` and their defaults."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass, replace
from typing import Final, Literal, TypeAlias, TypedDict

__all__ = ["MAX_WAIT", "AnswerDefaults", "AnswerOptions", "Failed", "Undelivered"]

MAX_WAIT: Final = 300.0
"""The seconds in all that an answer waits for the platform, by default."""

_WORDS: Final = ("store", "drop", "raise")

Failed: TypeAlias = str | Callable[[Exception], str]
"""What the bot says when its model fails: text, or a function of the exception.

An empty text says nothing.
"""

Undelivered: TypeAlias = (
    Literal["store", "drop", "raise"] | Callable[[Exception], Literal["store", "drop", "raise"]]
)
"""What becomes of an answer that cannot be delivered, or not to its end.

That is so when the user blocked the bot, when the chat is gone (`UnreachableError`), or when the
platform asks to wait longer than `max_wait` (`SlowDownError`).

- `"store"`: store what the model said so far, linked to what was sent. It is marked as
  interrupted if the model was still speaking.
- `"drop"`: store nothing.
- `"raise"`: store nothing, and raise the error.
- a function of the error returns one of these words.
"""


class AnswerDefaults(TypedDict, total=False):
    """The defaults of every `answer`, as an adapter takes them: see `AnswerOptions`."""

    failed: Failed
    undelivered: Undelivered
    max_wait: float


@dataclass(frozen=True)
class AnswerOptions:
    """What happens to answers that go wrong.

    - `failed` (""): what the bot says when the model fails; see `Failed`.
    - `undelivered` ("store"): what becomes of an answer that cannot be delivered; see
      `Undelivered`.
    - `max_wait` (300): the seconds that an answer waits in all when the platform says "slow down".
    """

    failed: Failed = ""
    undelivered: Undelivered = "store"
    max_wait: float = MAX_WAIT

    def __post_init__(self) -> None:
        if not callable(self.undelivered) and self.undelivered not in _WORDS:
            raise ValueError(
                f"undelivered is 'store', 'drop', 'raise' or a function, not {self.undelivered!r}"
            )
        if self.max_wait < 0:
            raise ValueError(f"max_wait is a number of seconds, 0 or more, not {self.max_wait!r}")

    def changed(
        self, failed: Failed | None, undelivered: Undelivered | None, max_wait: float | None
    ) -> AnswerOptions:
        """Return the options with those that are not None in the place of its own."""
        return replace(
            self,
            failed=self.failed if failed is None else failed,
            undelivered=self.undelivered if undelivered is None else undelivered,
            max_wait=self.max_wait if max_wait is None else max_wait,
        )
