"""The window: the part of a conversation that goes to the model.

`build_window` is a pure function of the stored turns and its arguments, computed from the
end of the session: `arrange` turns them into exchanges, `cut` says where the window begins,
and `message` makes the messages.
"""

from __future__ import annotations

from bisect import bisect_right
from collections.abc import Sequence
from typing import NamedTuple

from .._records.info import SessionInfo
from .._records.turn import Turn
from .arrange import Arrangement, arrange
from .copies import Copies
from .cut import Cut, first_kept, reminder_before
from .exchange import Exchange
from .fit import Bound, fit, truncated
from .ids import send_ids
from .ledger import one_message
from .merge import merged
from .message import Message, is_plain
from .options import WindowOptions
from .sight import View, begins_in, chosen_turns, consolidated, in_epoch, narrows, visible
from .summary import summary_within
from .tail import Tail

__all__ = ["Window", "build_window"]


class Window(NamedTuple):
    """A summary message, if there is one, and the turns after it."""

    summary: Message | None
    turns: Sequence[Turn]
    plain: bool = False
    """True if all turns are plain; see `is_plain`."""

    cut: int | None = None
    """The id of the first turn if the window leaves out others for a bound."""

    seen: int = 0
    """The id from which on the turns decide where the window begins."""

    copies: Copies | None = None
    """The messages of the session's earlier windows."""

    def messages(self, options: WindowOptions) -> list[Message]:
        """Return the chat-completions messages, as the caller's own copies."""
        extra, speakers = options.extra, options.speakers
        if self.plain and not (extra or speakers):
            # Same as `to_message`, without a call for each of hundreds of turns.
            messages: list[Message] = [
                {"role": turn.role, "content": turn.content} for turn in self.turns
            ]
        else:
            copies = self.copies or Copies()
            if options.shape == "openai" and not extra:
                messages = copies.messages(self.turns, options.message)
            else:
                messages = [options.message(turn) for turn in self.turns]
            if options.shape == "openai":
                send_ids(messages, options.id_style)
        if options.merge:
            return merged(messages if self.summary is None else [self.summary, *messages])
        return messages if self.summary is None else [self.summary, *messages]


def build_window(
    info: SessionInfo | None,
    turns: Sequence[Turn],
    options: WindowOptions,
    view: View,
    *,
    complete: bool,
    tail: Tail | None = None,
) -> Window | None:
    """Return the window over the end of a session, or None if more turns must be read.

    `turns` are the newest ones, ascending. `complete` is true if there are no earlier ones.
    `tail` holds the arranged turns of the session's previous window.
    """
    if info is None:
        return Window(None, ())
    parts = info.last_consolidated or info.origins
    if tail is None or parts or _chooses(options) or narrows(view, turns):
        return _built(info, turns, options, view, tail, complete=complete)
    if not complete and tail.is_parted(info, turns):
        return _built(info, turns, options, view, None, complete=False)
    window = _built(info, turns, options, view, tail, complete=complete)
    if window is None and tail.is_kept(info):
        complete = tail.reaches_beginning
        return _built(info, turns, options, view, tail, complete=complete, whole=True)
    if window is not None:
        tail.keep(whole=len(turns) > 4 * max(len(window.turns), options.first_read))
    return window


def _chooses(options: WindowOptions) -> bool:
    return options.system == "keep" or options.leaving_out is not None


def _built(
    info: SessionInfo,
    turns: Sequence[Turn],
    options: WindowOptions,
    view: View,
    tail: Tail | None,
    *,
    complete: bool,
    whole: bool = False,
) -> Window | None:
    chat, first, complete = _arranged(
        info, turns, options, view, tail, complete=complete, whole=whole
    )
    if first == len(chat.exchanges):
        return Window(None, ()) if complete else None
    bounds = [Bound(options.max_messages, one_message, options.slack)]  # then the bound in tokens
    if options.max_tokens is not None:
        cost = options.cost if tail is None else tail.cost(options)
        bounds.append(Bound(options.max_tokens, cost, options.slack))
    summary = None
    if info.summary:
        summary, bounds = _beside_summary(info, chat.exchanges[-1].user, bounds, options)

    cut = first_kept(chat, first, *bounds, complete=complete)
    if cut is None:
        return None
    shown, plain = _from(chat, first, cut, bounds, options)
    whole = complete and len(shown) >= len(chat.turns) - chat.starts[first]
    return Window(
        summary if shown else None,
        shown,
        plain,
        None if whole or not shown else shown[0].id,
        chat.ids[cut.seen],
        None if tail is None else tail.copies,
    )


def _from(
    chat: Arrangement, first: int, cut: Cut, bounds: Sequence[Bound], options: WindowOptions
) -> tuple[Sequence[Turn], bool]:
    """Return the turns from a cut on, and True if all of them are plain."""
    start, exchanges = cut.start, chat.exchanges
    turns: Sequence[Turn]
    if start == len(exchanges) - 1:
        current = _current(exchanges[-1], bounds, options)
        turns, plain = [*current.turns], current.plain
        if current is not exchanges[-1]:
            return turns, plain  # no room for anything before it
    elif cut.condensed:
        shown = [cut.condensed.get(at, exchanges[at]) for at in range(start, len(exchanges))]
        turns, plain = [turn for exchange in shown for turn in exchange.turns], False
    else:
        turns, plain = chat.turns[chat.starts[start] :], start >= chat.plain_from
    reminder = reminder_before(chat, first, start)
    if reminder and all(bound.of([*reminder, *turns]) <= bound.most for bound in bounds):
        return [*reminder, *turns], plain and all(map(is_plain, reminder))
    return turns, plain


def _arranged(
    info: SessionInfo,
    turns: Sequence[Turn],
    options: WindowOptions,
    view: View,
    tail: Tail | None,
    *,
    complete: bool,
    whole: bool,
) -> tuple[Arrangement, int, bool]:
    """Return the exchanges, the index of the first visible one, and True if it is the oldest."""
    keep_system = options.system == "keep"
    if tail is None or _chooses(options) or narrows(view, turns):
        shown, complete = visible(info, turns, view, complete=complete)
        if options.leaving_out is not None:
            shown = chosen_turns(shown, options.leaving_out)
        chat = arrange(
            shown,
            unanswered=options.unanswered,
            results=options.results,
            keep_system=keep_system,
            lead=complete,
        )
        return chat, 0, complete
    complete = complete or begins_in(info, turns)
    rules = options.unanswered, options.results
    chat, first = tail.arranged(info, turns, *rules, complete=complete, whole=whole)
    if info.last_consolidated:
        floor = consolidated(info, in_epoch(info, turns), turns)
        if floor is not None:
            return chat, bisect_right(chat.ids, floor, first), True
    return chat, first, complete


def _current(exchange: Exchange, bounds: Sequence[Bound], options: WindowOptions) -> Exchange:
    """Return the current exchange, cut to the bounds; it is the whole window."""
    exchange = fit(exchange, bounds, options.overflow)
    user = exchange.user
    if exchange.opening and any(bound.of(exchange.turns) > bound.most for bound in bounds[1:]):
        return Exchange(user, (), opening=True)
    for bound in bounds[1:]:
        user = truncated(user, bound, options.overflow)
    if user is exchange.user:
        return exchange
    return Exchange(user, exchange.groups, exchange.lead)


def _beside_summary(
    info: SessionInfo, user: Turn, bounds: list[Bound], options: WindowOptions
) -> tuple[Message | None, list[Bound]]:
    """Return the summary message, and the bounds for the rest of the window.

    The summary is left out if the latest user turn would not fit beside it.
    """
    summary = summary_within(info, options)
    if summary is None:
        return None, bounds
    left = [bounds[0]._replace(most=bounds[0].most - 1)]
    left += [bound._replace(most=bound.most - options.tokens(summary)) for bound in bounds[1:]]
    if any(bound.most < bound.cost(user) for bound in left):
        return None, bounds
    return summary, left
