"""An author's wishes for answers that go wrong or go on: the options of `answer`."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass, replace
from typing import Final, Literal, TypeAlias, TypedDict

from ._buttons import Regenerate

__all__ = ["MAX_WAIT", "AnswerDefaults", "AnswerOptions", "Failed", "Undelivered"]

MAX_WAIT: Final = 300.0
"""The seconds in all that an answer waits for the platform, by default."""

MAX_LENGTH: Final = 40_000
"""The most characters of an answer, by default: ten full messages on Telegram, 20 on Discord."""

_WORDS: Final = ("store", "drop", "raise")

Failed: TypeAlias = str | Callable[[Exception], str]
"""The bot's words when its model fails: text, or a function of the exception.

An empty text says nothing: a half answer stays, and is marked with `…`.
"""

Undelivered: TypeAlias = (
    Literal["store", "drop", "raise"] | Callable[[Exception], Literal["store", "drop", "raise"]]
)
"""The fate of an answer that cannot be delivered, or not to its end.

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
    max_length: int
    link_previews: bool
    stop: bool
    regenerate: Regenerate


@dataclass(frozen=True)
class AnswerOptions:
    """The handling of answers that go wrong, and the limits of all answers.

    - `failed` (""): what the bot says when the model fails; see `Failed`.
    - `undelivered` ("store"): what becomes of an answer that cannot be delivered; see
      `Undelivered`.
    - `max_wait` (300): the seconds that an answer waits in all when the platform says "slow down".
    - `max_length` (40,000): the most characters of an answer. The model's stream is closed there;
      what was said so far is sent, and stored as interrupted.
    - `link_previews` (False): let the platform show previews of the links in answers. Its servers
      fetch these addresses without a click, so a model that was talked into it can send out what
      it knows in one.
    - `stop` (False): a button under a growing answer lets the person who asked stop it. The part
      so far stays, and is stored as interrupted.
    - `regenerate` (None): a function of a session that is bound to a question, which answers it:
      `async def answer(chat_session): await chat_session.answer(…)`. A button under each answer
      lets the person who asked call it once more. The old answer stays until the new one is
      stored.
    """

    failed: Failed = ""
    undelivered: Undelivered = "store"
    max_wait: float = MAX_WAIT
    max_length: int = MAX_LENGTH
    link_previews: bool = False
    stop: bool = False
    regenerate: Regenerate | None = None

    def __post_init__(self) -> None:
        if not callable(self.undelivered) and self.undelivered not in _WORDS:
            raise ValueError(
                f"undelivered is 'store', 'drop', 'raise' or a function, not {self.undelivered!r}"
            )
        if self.max_wait < 0:
            raise ValueError(f"max_wait is a number of seconds, 0 or more, not {self.max_wait!r}")
        if isinstance(self.max_length, bool) or self.max_length < 1:
            raise ValueError(
                f"max_length is a whole number of characters, 1 or more, not {self.max_length!r}"
            )

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
