"""The options of a window, and their checks."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from typing import Any, Final, TypedDict, get_args

import msgspec

from .._errors import WindowError
from .._records.turn import Turn
from ..shapes._common import Shape
from .choices import IdStyle, Overflow, Results, Speakers, SummaryRole, SystemTurns, Unanswered
from .message import MESSAGE_FIELDS, to_message
from .resolve import MediaResolver, TextCost
from .tokens import (
    MEDIA_TOKENS,
    MessageCounter,
    TokenCounter,
    estimate_tokens,
    message_tokens,
    whole_message_tokens,
)

__all__ = ["MAX_MESSAGES", "HistoryOptions", "WindowOptions"]


MAX_MESSAGES: Final = 500
_CHOICES: Final[dict[str, tuple[Any, ...]]] = {
    "system": get_args(SystemTurns),
    "unanswered": get_args(Unanswered),
    "results": get_args(Results),
    "overflow": get_args(Overflow),
    "speakers": (None, *get_args(Speakers)),
    "summary": get_args(SummaryRole),
    "id_style": (None, *get_args(IdStyle)),
}
_DEFAULTS: Final = ("drop", "result", "last", "error", None, "user", None)
"""The defaults of these options; one comparison spares most windows the checks."""

_READ_AHEAD: Final = 16
_BEFORE: Final = 128
"""Turns before the window by which its start in tokens is chosen; see `cut`."""
_SHORT_TURN: Final = 32
"""Tokens that most turns cost at least; says how many turns a bound in tokens may hold."""


class HistoryOptions(TypedDict, total=False):
    """The options of `get_history` beside `max_messages` and `shape`; it documents each."""

    max_tokens: int | None
    count_tokens: TokenCounter
    count_message: MessageCounter | None
    slack: float
    system: SystemTurns
    unanswered: Unanswered
    results: Results
    overflow: Overflow
    extra: Sequence[str]
    speakers: Speakers | None
    summary: SummaryRole
    media: MediaResolver | None
    id_style: IdStyle | None
    leaving_out: Callable[[Turn], bool] | None
    merge: bool
    cache: bool
    max_media: int | None


class WindowOptions(msgspec.Struct, frozen=True, kw_only=True):
    """The checked options of a window; `Session.get_history` documents each."""

    max_messages: int = MAX_MESSAGES
    max_tokens: int | None = None
    count_tokens: TokenCounter = estimate_tokens
    count_message: MessageCounter | None = None
    slack: float = 0.5
    system: SystemTurns = "drop"
    unanswered: Unanswered = "result"
    results: Results = "last"
    overflow: Overflow = "error"
    extra: Sequence[str] = ()
    speakers: Speakers | None = None
    summary: SummaryRole = "user"
    media: MediaResolver | None = None
    shape: Shape = "openai"
    id_style: IdStyle | None = None
    leaving_out: Callable[[Turn], bool] | None = None
    merge: bool = False
    cache: bool = False
    max_media: int | None = None

    def __post_init__(self) -> None:
        _check_bound("max_messages", self.max_messages)
        if self.max_tokens is not None:
            _check_bound("max_tokens", self.max_tokens)
        if self.max_media is not None:
            _check_bound("max_media", self.max_media)
        if (
            self.count_tokens is not estimate_tokens
            or self.count_message is not None
            or self.media is not None
            or self.leaving_out is not None
        ):
            self._check_functions()
        if not isinstance(self.slack, (int, float)) or not 0 <= self.slack < 1:
            raise WindowError(
                f"slack is a share of the window, from 0 (slide at every turn) to below 1, "
                f"not {self.slack!r}"
            )
        given = (
            self.system,
            self.unanswered,
            self.results,
            self.overflow,
            self.speakers,
            self.summary,
            self.id_style,
        )
        if given != _DEFAULTS:
            self._check_choices()
        if self.extra and (isinstance(self.extra, str) or MESSAGE_FIELDS & {*self.extra}):
            raise WindowError(
                "extra is a list of names of the turns' extra fields, none of them "
                f"{', '.join(sorted(MESSAGE_FIELDS))}: not {self.extra!r}"
            )

    def _check_choices(self) -> None:
        for name, choices in _CHOICES.items():
            if getattr(self, name) not in choices:
                allowed = " or ".join(map(repr, choices))
                raise WindowError(f"{name} is {allowed}, not {getattr(self, name)!r}")

    def _check_functions(self) -> None:
        if not callable(self.count_tokens):
            raise WindowError(
                "count_tokens is a function from a text to its number of tokens, "
                f"not {self.count_tokens!r}"
            )
        if self.count_message is not None:
            if not callable(self.count_message):
                raise WindowError(
                    "count_message is a function from a whole message to its number of tokens, "
                    f"not {self.count_message!r}"
                )
            if self.count_tokens is not estimate_tokens:
                raise WindowError("give count_tokens or count_message, not both")
        if self.leaving_out is not None and not callable(self.leaving_out):
            raise WindowError(
                "leaving_out is a function from a Turn to True for one to leave out, "
                f"not {self.leaving_out!r}"
            )
        if self.media is not None and not callable(self.media):
            raise WindowError(
                "media is a function from Media to the content part that the model is to get, "
                f"not {self.media!r}"
            )

    @property
    def shows_all(self) -> bool:
        """True if they choose among the turns as windows do by default."""
        return self.system == "drop" and self.leaving_out is None

    @property
    def first_read(self) -> int:
        """The number of turns to read first, which is enough for most windows."""
        if self.max_tokens is None:
            return self.max_messages + _READ_AHEAD
        return min(self.max_messages, self.max_tokens // _SHORT_TURN) + _BEFORE + _READ_AHEAD

    def message(self, turn: Turn) -> dict[str, Any]:
        """Return the message of a turn in this window."""
        return to_message(turn, self.extra, self.speakers, self.shape)

    def tokens(self, message: Mapping[str, Any]) -> int:
        """Return the tokens of a message."""
        if self.count_message is not None:
            return whole_message_tokens(message, self.count_message)
        return message_tokens(message, self.count_tokens)

    @property
    def text_cost(self) -> TextCost | None:
        """The function from a text to its tokens, or None without a bound in tokens."""
        if self.max_tokens is None:
            return None
        return lambda text: self.tokens({"role": "user", "content": text})

    def counts_as(self, other: WindowOptions) -> bool:
        """Return True if `cost` is the same with these options as with the others."""
        return self is other or (
            self.count_tokens == other.count_tokens
            and self.count_message == other.count_message
            and self.speakers == other.speakers
            and self.shape == other.shape
            and tuple(self.extra) == tuple(other.extra)
            and (self.media is None) == (other.media is None)
        )

    def cost(self, turn: Turn) -> int:
        """Return the tokens of a turn; a medium counts as much as a resolver may make of it."""
        tokens = self.tokens(self.message(turn))
        if self.media is not None and turn.role in ("user", "tool"):
            tokens += MEDIA_TOKENS * len(turn.media)
        return tokens


def _check_bound(name: str, bound: object) -> None:
    if isinstance(bound, bool) or not isinstance(bound, int) or bound < 1:
        raise WindowError(f"{name} is a whole number, 1 or more, not {bound!r}")
