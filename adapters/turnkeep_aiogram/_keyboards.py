"""The buttons under an answer: the author's own, and those to stop it or to ask again."""

from __future__ import annotations

from typing import Any, Final

from aiogram.types import InlineKeyboardButton, InlineKeyboardMarkup

from turnkeep.adapter import AGAIN, AGAIN_LABEL, STOP, STOP_LABEL, Looks

_AGAIN: Final = [InlineKeyboardButton(text=AGAIN_LABEL, callback_data=AGAIN)]
_STOP: Final = [InlineKeyboardButton(text=STOP_LABEL, callback_data=STOP)]


def keyboard(looks: Looks, *, done: bool) -> Any:
    """Return the keyboard under an answer while it grows, or when it is `done`; None if none.

    A keyboard of another kind than inline belongs to a message from its beginning: Telegram
    changes it in no edit, and shows no other one beside it.
    """
    own = looks.buttons
    if own is not None and not isinstance(own, InlineKeyboardMarkup):
        return own
    if not done:
        return InlineKeyboardMarkup(inline_keyboard=[_STOP]) if looks.can_stop else None
    rows = [] if own is None else [*own.inline_keyboard]
    if looks.can_repeat:
        rows.append(_AGAIN)
    return InlineKeyboardMarkup(inline_keyboard=rows) if rows else None
