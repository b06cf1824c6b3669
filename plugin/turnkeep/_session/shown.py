"""A window in hand: the messages for a model, and what they are made of."""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from typing import Any, Final, Unpack

import msgspec

from .._errors import WindowError
from .._records.info import SessionInfo
from .._records.key import SessionKey
from .._records.making import MAX_TURN_BYTES
from .._records.message import from_message
from .._records.turn import Turn
from .._window import build
from .._window.build import Window
from .._window.options import MAX_MESSAGES, HistoryOptions, WindowOptions
from .._window.sight import View
from ..shapes import AnthropicWindow, GoogleWindow, Messages, Shape, to_shape
from ..shapes._cache import with_breakpoints
from ..shapes._convert import check_shape
from .returned import as_messages

__all__ = ["AnyWindow", "ShownWindow", "build_window", "checked_options", "shown"]

AnyWindow = Messages | AnthropicWindow | GoogleWindow
_NOWHERE: Final = SessionKey("window", "1")


class ShownWindow(msgspec.Struct, frozen=True):
    """A window with its turns.

    - `messages` are what `get_history` returns, in its shape (typed as Any, see `Messages`).
    - `turns` are the turns that it shows, in the order of the window. Some may be shortened, and
      an id of 0 is that of a turn that no storage has.
    - `cut` is the id of its first turn if it leaves out earlier ones, or some in its middle, for
      a bound; else None.
    """

    messages: Any
    turns: Sequence[Turn]
    cut: int | None
    _window: Window
    _options: WindowOptions

    @property
    def tokens(self) -> int:
        """The tokens that it costs, by its `count_tokens` or `count_message`."""
        summary = self._window.summary
        tokens = 0 if summary is None else self._options.tokens(summary)
        return tokens + sum(map(self._options.cost, self._window.turns))


def checked_options(max_messages: int, shape: Shape, options: HistoryOptions) -> WindowOptions:
    """Return the options of a window; raise `WindowError`."""
    if shape != "openai":
        check_shape(shape)
    return WindowOptions(max_messages=max_messages, shape=shape, **options)


def shown(window: Window, options: WindowOptions, turns: Sequence[Turn] | None) -> ShownWindow:
    """Return a window's messages. `turns` are its turns with their media, if these were asked."""
    made = window if turns is None else window._replace(turns=turns)
    plain = made.messages(options)
    messages: AnyWindow = plain
    if options.shape != "openai":
        messages = to_shape(plain, options.shape)
        if options.cache and options.shape == "anthropic":
            messages = with_breakpoints(messages)
    return ShownWindow(messages, window.turns, window.cut, window, options)


def build_window(
    turns: Iterable[Turn | Mapping[str, Any] | object],
    max_messages: int = MAX_MESSAGES,
    *,
    shape: Shape = "openai",
    **options: Unpack[HistoryOptions],
) -> ShownWindow:
    """Return the window over any turns, without a store: a chain of replies, a fork, a list.

    Each is a `Turn`, a chat-completions dict, or what a model's client returned. It has the same
    legality and bounds as `Session.window`. `answers` of turns count where their ids ascend. Media
    stay short texts: only a session's window asks a function for them. Raises
    `InvalidTurnError` for what is no turn, and `WindowError`.

    >>> build_window([{"role": "user", "content": "Hi"}]).messages
    [{'role': 'user', 'content': 'Hi'}]
    """
    checked = checked_options(max_messages, shape, options)
    if checked.media is not None:
        raise WindowError("media are resolved in the window of a session: leave media out here")
    made = [
        one if isinstance(one, Turn) else from_message(one, max_bytes=MAX_TURN_BYTES)
        for turn in turns
        for one in as_messages(turn)
    ]
    if not made:
        return ShownWindow(to_shape([], shape), (), None, Window(None, ()), checked)
    ids = [turn.id for turn in made]
    if ids != sorted({*ids}) or ids[0] < 1:
        changes: dict[str, Any] = {"answers": None, "also_answers": ()}
        made = [msgspec.structs.replace(turn, id=n, **changes) for n, turn in enumerate(made, 1)]
    last = made[-1]
    made = [msgspec.structs.replace(turn, epoch=last.epoch) for turn in made]
    info = SessionInfo(
        key=_NOWHERE,
        created_at=made[0].time,
        updated_at=last.time,
        last_id=last.id,
        epoch=last.epoch,
    )
    window = build.build_window(info, made, checked, View(), complete=True)
    assert window is not None  # nothing more could be read
    return shown(window, checked, None)
