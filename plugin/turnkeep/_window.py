"""The window: which part of a conversation goes to the model.

A pure function of the stored turns and the arguments, computed from the end of the session:
`_arrange` makes exchanges of the turns, `_cut` says where the window begins, `_message`
makes messages of it.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import NamedTuple

from ._arrange import View, arrange, visible
from ._cut import Bound, first_kept, fit, one, truncated
from ._info import SessionInfo
from ._message import Message, to_message
from ._options import WindowOptions
from ._summary import summary_within
from ._turn import Turn

__all__ = ["Window", "build_window"]


class Window(NamedTuple):
    """What is shown: a summary's message, if there is one, and turns behind it."""

    summary: Message | None
    turns: Sequence[Turn]

    def messages(self, options: WindowOptions) -> list[Message]:
        summary = [] if self.summary is None else [self.summary]
        extra, speakers = options.extra, options.speakers
        return summary + [to_message(turn, extra, speakers) for turn in self.turns]


def build_window(
    info: SessionInfo | None,
    turns: Sequence[Turn],
    options: WindowOptions,
    view: View,
    *,
    complete: bool,
) -> Window | None:
    """The window over the end of a session, or None if more of it must be read.

    `turns` are the newest, ascending; `complete` says that there are none before.
    """
    if info is None:
        return Window(None, ())
    shown, complete = visible(info, turns, view, complete=complete)
    exchanges = arrange(shown, unanswered=options.unanswered, keep_system=options.system == "keep")
    if not exchanges:
        return Window(None, ()) if complete else None
    if not complete:
        # With the rest of the session these system turns belong to the exchange before.
        exchanges[0].lead.clear()
    bounds = [Bound(options.max_messages, one, options.slack)]  # the one in tokens comes second
    if options.max_tokens is not None:
        bounds.append(Bound(options.max_tokens, options.cost, options.slack))
    summary, bounds = _beside_summary(info, exchanges[-1].user, bounds, options)

    start = first_kept(exchanges, *bounds, complete=complete)
    if start is None:
        return None
    kept = exchanges[start:]
    if len(kept) == 1:
        kept[0] = fit(kept[0], bounds)
        for bound in bounds[1:]:
            kept[0].user = truncated(kept[0].user, bound, options.overflow)
    return Window(summary, [turn for one in kept for turn in one.turns()])


def _beside_summary(
    info: SessionInfo, user: Turn, bounds: list[Bound], options: WindowOptions
) -> tuple[Message | None, list[Bound]]:
    """The summary's message, and what it leaves of the bounds.

    There is none where the latest user turn would not fit beside it.
    """
    summary = summary_within(info, options)
    if summary is None:
        return None, bounds
    left = [bounds[0]._replace(most=bounds[0].most - 1)]
    left += [bound._replace(most=bound.most - options.tokens(summary)) for bound in bounds[1:]]
    if any(bound.most < bound.cost(user) for bound in left):
        return None, bounds
    return summary, left
