"""The outlets of a bot's answers, by the options of the middleware."""

from __future__ import annotations

from collections.abc import Awaitable, Callable

from aiogram import Bot
from aiogram.types import Update

from turnkeep.adapter import AnswerOptions

from ._blocks import rich_message
from ._ephemeral import ephemeral_outlet
from ._markdown import render_markdown
from ._message import MaybeInaccessible
from ._outlet import Render, TelegramOutlet


class Outlets:
    """Makes the outlet of the answer to an update.

    `render` is the option of `SessionMiddleware`; raises `ValueError` for an unknown name.
    """

    def __init__(
        self,
        options: AnswerOptions,
        *,
        drafts: bool,
        render: Render | str | None,
        migrated: Callable[[int, int], Awaitable[None]],
    ) -> None:
        self._options = options
        self._drafts = drafts
        self._render = _as_render(render)
        self._rich = rich_message if render == "markdown" else None
        self._migrated = migrated

    def of(self, update: Update, message: MaybeInaccessible, bot: Bot) -> TelegramOutlet:
        """Return a new outlet, which answers where the message is."""
        render, rich = self._render, self._rich
        private = ephemeral_outlet(update, message, bot, render, rich)
        if private is not None:
            private.options = self._options
            return private
        return TelegramOutlet(
            message,
            bot,
            drafts=self._drafts,
            render=render,
            rich=rich,
            migrated=self._migrated,
            options=self._options,
        )


def _as_render(render: Render | str | None) -> Render | None:
    if not isinstance(render, str):
        return render
    if render not in ("markdown", "entities"):
        raise ValueError(f"render is 'markdown', 'entities' or a function, not {render!r}")
    return render_markdown
