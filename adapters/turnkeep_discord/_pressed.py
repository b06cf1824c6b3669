"""The content of a pressed button, a chosen option or a submitted form in the history."""

from __future__ import annotations

import asyncio
import inspect
from collections.abc import Iterable, Iterator
from typing import Any, Final

import discord

from turnkeep import Media
from turnkeep.adapter import Content, as_content, as_said, note

from ._components import all_components, kind_of

_SHORT: Final = 160
"""The most characters of a form that is one line; the fields of a longer one have a line each."""


def pressed_of(interaction: discord.Interaction) -> Content:
    """Return a pressed button, a chosen option or a form as it is recorded: `[button: Yes]`.

    The files of a form are `Media`. Its options have their labels if this is called where
    discord.py runs the form's own `on_submit`; elsewhere Discord tells only their values.
    """
    data: Any = interaction.data or {}
    if interaction.type is discord.InteractionType.modal_submit:
        return _form(data)
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


def _form(data: Any) -> Content:
    rows = data.get("components", ())
    inner = (part for row in rows for part in row.get("components", [row.get("component")]))
    labels = _labels(_form_in_hand(data.get("custom_id")))
    fields: list[str] = []
    files: list[str] = []
    for part in inner:
        if not part or not {"value", "values"} & part.keys():  # a text that is displayed
            continue
        if part.get("type") == discord.ComponentType.file_upload.value:
            files += map(str, part.get("values") or ())
        else:
            fields.append(_field_value(part, data, labels.get(part.get("custom_id", ""), {})))
    sent = uploads(data)
    media = [sent[one] for one in files if one in sent]
    line = note("form", " / ".join(fields))
    is_short = len(line) <= _SHORT and not any("\n" in one for one in fields)
    return as_content([line] if is_short else [note("form"), *map(as_said, fields)], media)


def _field_value(part: Any, data: Any, labels: dict[str, str]) -> str:
    values = part.get("values")
    if values is not None:
        return ", ".join(_labels_of(values, data, labels))
    value = part.get("value")
    if isinstance(value, bool):
        answer = "yes" if value else "no"
        return f"{labels['']}: {answer}" if labels.get("") else answer
    return "" if value is None else labels.get(str(value), str(value))


def uploads(data: Any) -> dict[str, Media]:
    """Return the files that somebody sent with an interaction, by their ids."""
    attached: dict[str, Any] = (data.get("resolved") or {}).get("attachments", {})
    return {
        id: Media(
            kind_of(one.get("content_type")),
            file_id=id,
            file_name=one.get("filename"),
            size=one.get("size"),
            mime_type=one.get("content_type"),
            url=one.get("url"),
        )
        for id, one in attached.items()
    }


def _form_in_hand(custom_id: Any) -> discord.ui.Modal | None:
    """Return the form whose `on_submit` the current task runs, or None.

    Discord sends back the values of a form without their labels, and discord.py hands the form to
    nobody but its own `on_submit`, whose task it names in its coroutine.
    """
    task = asyncio.current_task()
    coroutine = None if task is None else task.get_coro()
    if not inspect.iscoroutine(coroutine):
        return None
    form = inspect.getcoroutinelocals(coroutine).get("self")
    is_it = isinstance(form, discord.ui.Modal) and form.custom_id == custom_id
    return form if is_it else None


def _labels(form: discord.ui.Modal | None) -> dict[str, dict[str, str]]:
    """Return the labels of a form's options by the field's id and the value.

    The label of a checkbox is that of its empty value.
    """
    found: dict[str, dict[str, str]] = {}
    for label, field in _fields(form):
        custom_id = getattr(field, "custom_id", None)
        if custom_id is not None:
            options: Iterable[Any] = getattr(field, "options", ())
            found[custom_id] = {str(one.value): one.label for one in options} | {"": label}
    return found


def _fields(form: discord.ui.Modal | None) -> Iterator[tuple[str, discord.ui.Item[Any]]]:
    for item in () if form is None else form.walk_children():
        if isinstance(item, discord.ui.Label):
            yield item.text, item.component


def _labels_of(values: Iterable[Any], data: Any, labels: dict[str, str]) -> list[str]:
    """Return the values' labels: of options, and of users, roles and channels their names."""
    resolved: Any = data.get("resolved") or {}
    names = {**labels}
    for kind in ("users", "roles", "channels"):
        for id, one in resolved.get(kind, {}).items():
            names[id] = str(one.get("global_name") or one.get("name") or one.get("username") or id)
    for id, member in resolved.get("members", {}).items():
        names[id] = str(member.get("nick") or names.get(id, id))
    return [names.get(str(value), str(value)) for value in values]
