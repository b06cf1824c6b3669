"""The window: which part of a conversation goes to the model.

A pure function of the stored turns and the arguments, computed from the end of the session:
`_arrange` makes exchanges of the turns, `_cut` says where the window begins, `_message`
makes messages of it.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any, Final, Literal, TypeAlias, get_args

from ._arrange import Unanswered, View, arrange, visible
from ._cut import Bound, Cost, Overflow, first_kept, fit, one, truncated
from ._errors import WindowError
from ._info import SessionInfo
from ._message import MESSAGE_FIELDS, Message, to_message
from ._tokens import TokenCounter, estimate_tokens, message_tokens
from ._turn import Turn

__all__ = [
    "MAX_MESSAGES",
    "Message",
    "Overflow",
    "SystemTurns",
    "WindowOptions",
    "build_window",
]

SystemTurns: TypeAlias = Literal["drop", "keep"]

MAX_MESSAGES: Final = 500
SUMMARY_HEAD: Final = "Summary of the conversation so far:\n"
_CHOICES: Final[dict[str, tuple[Any, ...]]] = {
    "system": get_args(SystemTurns),
    "unanswered": get_args(Unanswered),
    "overflow": get_args(Overflow),
}
_READ_AHEAD: Final = 16
_SHORT_TURN: Final = 32
"""Tokens: most turns cost more, so a bound in tokens rarely holds more turns than this says."""


@dataclass(frozen=True, slots=True, kw_only=True)
class WindowOptions:
    """What a window may hold; see `Session.get_history` for what each means."""

    max_messages: int = MAX_MESSAGES
    max_tokens: int | None = None
    count_tokens: TokenCounter = estimate_tokens
    slack: float = 0.5
    system: SystemTurns = "drop"
    unanswered: Unanswered = "result"
    overflow: Overflow = "error"
    extra: Sequence[str] = ()

    def __post_init__(self) -> None:
        _check_bound("max_messages", self.max_messages)
        if self.max_tokens is not None:
            _check_bound("max_tokens", self.max_tokens)
        if not callable(self.count_tokens):
            raise WindowError(
                "count_tokens is a function from a text to its number of tokens, "
                f"not {self.count_tokens!r}"
            )
        if not isinstance(self.slack, (int, float)) or not 0 <= self.slack < 1:
            raise WindowError(
                f"slack is a share of the window, from 0 (slide at every turn) to below 1, "
                f"not {self.slack!r}"
            )
        for name, choices in _CHOICES.items():
            if getattr(self, name) not in choices:
                allowed = " or ".join(map(repr, choices))
                raise WindowError(f"{name} is {allowed}, not {getattr(self, name)!r}")
        if self.extra and (isinstance(self.extra, str) or MESSAGE_FIELDS & {*self.extra}):
            raise WindowError(
                "extra is a list of names of the turns' extra fields, none of them "
                f"{', '.join(sorted(MESSAGE_FIELDS))}: not {self.extra!r}"
            )

    @property
    def first_read(self) -> int:
        """How many turns to read first: mostly enough, and never much too much."""
        if self.max_tokens is None:
            return self.max_messages + _READ_AHEAD
        return min(self.max_messages, self.max_tokens // _SHORT_TURN) + _READ_AHEAD


def _check_bound(name: str, bound: object) -> None:
    if isinstance(bound, bool) or not isinstance(bound, int) or bound < 1:
        raise WindowError(f"{name} is a whole number, 1 or more, not {bound!r}")


def build_window(
    info: SessionInfo | None,
    turns: Sequence[Turn],
    options: WindowOptions,
    view: View,
    *,
    complete: bool,
) -> list[Message] | None:
    """The window over the end of a session, or None if more of it must be read.

    `turns` are the newest, ascending; `complete` says that there are none before.
    """
    if info is None:
        return []
    shown, complete = visible(info, turns, view, complete=complete)
    exchanges = arrange(shown, unanswered=options.unanswered, keep_system=options.system == "keep")
    if not exchanges:
        return [] if complete else None
    if not complete:
        # With the rest of the session these system turns belong to the exchange before.
        exchanges[0].lead.clear()
    bounds = [Bound(options.max_messages, one, options.slack)]  # the one in tokens comes second
    if options.max_tokens is not None:
        bounds.append(Bound(options.max_tokens, _token_cost(options), options.slack))
    summary, bounds = _beside_summary(info, exchanges[-1].user, bounds, options)

    start = first_kept(exchanges, *bounds, complete=complete)
    if start is None:
        return None
    kept = exchanges[start:]
    if len(kept) == 1:
        kept[0] = fit(kept[0], bounds)
        for bound in bounds[1:]:
            kept[0].user = truncated(kept[0].user, bound, options.overflow)
    extra = options.extra
    return summary + [to_message(turn, extra) for one in kept for turn in one.turns()]


def _beside_summary(
    info: SessionInfo, user: Turn, bounds: list[Bound], options: WindowOptions
) -> tuple[list[Message], list[Bound]]:
    """The summary's message, and what it leaves of the bounds.

    There is none where the latest user turn would not fit beside it.
    """
    if not info.summary:
        return [], bounds
    summary: Message = {"role": "system", "content": SUMMARY_HEAD + info.summary}
    left = [bounds[0]._replace(most=bounds[0].most - 1)]
    for bound in bounds[1:]:
        tokens = message_tokens(summary, options.count_tokens)
        left.append(bound._replace(most=bound.most - tokens))
    if any(bound.most < bound.cost(user) for bound in left):
        return [], bounds
    return [summary], left


def _token_cost(options: WindowOptions) -> Cost:
    def cost(turn: Turn) -> int:
        return message_tokens(to_message(turn, options.extra), options.count_tokens)

    return cost
