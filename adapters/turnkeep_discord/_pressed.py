"""The content of a pressed button, a chosen option or a submitted form in the history."""

from __future__ import annotations

from collections.abc import Iterable
from typing import Any

import discord

from turnkeep.adapter import note

from ._content import all_components


def pressed_of(interaction: discord.Interaction) -> str:
    """Return a pressed button, a chosen option or a form as it is recorded: `[button: Yes]`."""
    data: Any = interaction.data or {}
    if interaction.type is discord.InteractionType.modal_submit:
        rows = data.get("components", ())
        inner = (part for row in rows for part in row.get("components", [row.get("component")]))
        return note("form", " / ".join(_field_value(part, data) for part in inner if part))
    custom_id = data.get("custom_id", "")
    components = [] if interaction.message is None else interaction.message.components
    shown = [
        part
        for part in all_components(components)
        if isinstance(part, (discord.Button, discord.SelectMenu)) and part.custom_id == custom_id
    ]
    if (values := data.get("values")) is not None:
        options = [option for part in shown for option in getattr(part, "options", ())]
        labels = {option.value: option.label for option in options}
        return note("selected", ", ".join(_labels_of(values, data, labels)))
    label = custom_id
    for part in shown:
        if isinstance(part, discord.Button):
            label = part.label or str(part.emoji or label)
    return note("button", label)


def _field_value(part: Any, data: Any) -> str:
    values = part.get("values")
    if values is None:
        return str(part.get("value", ""))
    return ", ".join(_labels_of(values, data, {}))


def _labels_of(values: Iterable[Any], data: Any, labels: dict[str, str]) -> list[str]:
    """Return the values' labels: of options, and of users, roles and channels their names."""
    resolved: Any = data.get("resolved") or {}
    names = {**labels}
    for kind in ("users", "roles", "channels", "attachments"):
        for id, one in resolved.get(kind, {}).items():
            shown = one.get("global_name") or one.get("name") or one.get("username")
            names[id] = str(shown or one.get("filename") or id)
    for id, member in resolved.get("members", {}).items():
        names[id] = str(member.get("nick") or names.get(id, id))
    return [names.get(str(value), str(value)) for value in values]
