"""The look of a piece of an answer: text, embeds or components, with the buttons below it."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any, Final, NamedTuple, TypeAlias

import discord

from turnkeep.adapter import AGAIN, AGAIN_LABEL, STOP, STOP_LABEL, Looks, tables_as_code

Render: TypeAlias = Callable[[str], dict[str, Any]]
"""A function from a piece of the model's text to fields of discord.py's `send`.

These are `content`, `embed` or `embeds`, and `view`. With a `discord.ui.LayoutView`, which holds
all of a message (Components V2), there is no content and no embed. An answer that Discord refuses
so is sent as the model wrote it.
"""

_RENDERED: Final = frozenset({"content", "embed", "embeds", "view"})


class Below(NamedTuple):
    """The buttons below a message; those of two calls are equal."""

    view: discord.ui.View | None
    press: str | None

    def items(self) -> list[discord.ui.Item[Any]]:
        """Return the author's own buttons, and ours."""
        own = [] if self.view is None else [*self.view.children]
        ours = {STOP: STOP_LABEL, AGAIN: AGAIN_LABEL}
        known = {getattr(item, "custom_id", None) for item in own}
        if self.press is None or self.press in known:
            return own
        button: discord.ui.Button[Any] = discord.ui.Button(
            label=ours[self.press], custom_id=self.press
        )
        return [*own, button]


def below(looks: Looks, *, done: bool) -> Below | None:
    """Return the buttons under an answer while it grows, or when it is `done`; None if none."""
    if not done:
        return Below(None, STOP) if looks.can_stop else None
    if looks.buttons is None and not looks.can_repeat:
        return None
    return Below(looks.buttons, AGAIN if looks.can_repeat else None)


class Look(NamedTuple):
    """The fields of `send` and `edit` for a piece of an answer."""

    content: str | None
    embeds: list[discord.Embed]
    view: discord.ui.View | discord.ui.LayoutView | None

    @property
    def has_layout(self) -> bool:
        """True if the message consists of components."""
        return isinstance(self.view, discord.ui.LayoutView)

    def to_send(self) -> dict[str, Any]:
        """Return the fields of a new message."""
        fields: dict[str, Any] = {} if self.has_layout else {"content": self.content}
        if self.embeds:
            fields["embeds"] = self.embeds
        return fields if self.view is None else {**fields, "view": self.view}

    def to_edit(self) -> dict[str, Any]:
        """Return the fields of an edit, which takes away what was there before."""
        return self._asdict()


def rendered(text: str, render: Render, buttons: Below | None) -> Look:
    """Return a piece as its author's function wants it."""
    fields = {name: value for name, value in render(text).items() if name in _RENDERED}
    embeds = [*(fields.get("embeds") or ())]
    if fields.get("embed") is not None:
        embeds.insert(0, fields["embed"])
    view = fields.get("view")
    if isinstance(view, discord.ui.LayoutView):
        if buttons is not None and (items := buttons.items()):
            view.add_item(discord.ui.ActionRow(*items))
        return Look(None, [], view)
    if view is not None and buttons is None:
        return Look(fields.get("content"), embeds, view)
    return Look(fields.get("content"), embeds, _view(buttons))


def plain(text: str, limit: int, buttons: Below | None, *, in_layout: bool = False) -> Look:
    """Return a piece as the model wrote it, with its tables as code.

    A message of components stays one: then its text is `in_layout`.
    """
    shown = tables_as_code(text, limit)
    if not in_layout:
        return Look(shown, [], _view(buttons))
    layout = discord.ui.LayoutView(timeout=None)
    layout.add_item(discord.ui.TextDisplay(shown))
    if buttons is not None and (items := buttons.items()):
        layout.add_item(discord.ui.ActionRow(*items))
    return Look(None, [], layout)


def _view(buttons: Below | None) -> discord.ui.View | None:
    if buttons is None:
        return None
    if buttons.view is None:
        view = discord.ui.View(timeout=None)
        view.stop()  # the cog hears of these buttons, also after a restart
    else:
        view = buttons.view
    for item in buttons.items():
        if item not in view.children:
            view.add_item(item)
    return view
