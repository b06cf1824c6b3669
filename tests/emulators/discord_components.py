"""Build the data of interactions from buttons, select menus and forms.

The parts of a form and their answers are documented in
https://discord.com/developers/docs/components/reference; discord.py has the same shapes in
`discord/types/components.py` and `discord/types/interactions.py`.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from copy import deepcopy
from itertools import count
from typing import Any, Final

from emulators.discord_http import form_error
from emulators.discord_payloads import Payload, Ref, World, ident

_ROW, _BUTTON, _STRINGS, _INPUT, _USERS, _ROLES, _MENTIONABLES, _CHANNELS = range(1, 9)
_TEXT, _LABEL, _FILES, _RADIO, _CHECKBOXES, _CHECKBOX = 10, 18, 19, 21, 22, 23
_SELECTS: Final = (_STRINGS, _USERS, _ROLES, _MENTIONABLES, _CHANNELS)
_MANY: Final = (*_SELECTS, _FILES, _CHECKBOXES)
_IN_LABELS: Final = (*_SELECTS, _INPUT, _FILES, _RADIO, _CHECKBOXES, _CHECKBOX)


def every(components: Sequence[Payload]) -> Iterator[Payload]:
    """The components and all that is in them."""
    for part in components:
        yield part
        inner = [*part.get("components", ())]
        inner += [part[name] for name in ("accessory", "component") if name in part]
        yield from every(inner)


def pressed(message: Payload, label: str) -> Payload:
    """The data of a button that is pressed; `LookupError` if the message has none of this label."""
    for part in every(message["components"]):
        if part["type"] == _BUTTON and part.get("label") == label:
            if part.get("disabled"):
                raise LookupError(f"The button {label!r} is disabled")
            return {"component_type": _BUTTON, "custom_id": part["custom_id"]}
    raise LookupError(f"The message has no button {label!r}")


def chosen(world: World, message: Payload, choices: Sequence[Ref]) -> Payload:
    """The data of the message's select menu when it is used.

    Of a menu of texts the choices are their labels, of another one the users, roles or channels.
    """
    menu = next((part for part in every(message["components"]) if part["type"] in _SELECTS), None)
    if menu is None:
        raise LookupError("The message has no select menu")
    values, resolved = _chosen(world, message.get("guild_id"), menu, choices)
    data = {"component_type": menu["type"], "custom_id": menu["custom_id"], "values": values}
    return {**data, "resolved": resolved} if resolved else data


def opened(modal: Payload) -> Payload:
    """Return a form as Discord accepts it, each part with an id, or raise the 400."""
    for name, most in (("title", 45), ("custom_id", 100)):
        if not 1 <= len(modal.get(name, "")) <= most:
            message = f"Must be between 1 and {most} in length."
            raise form_error(name, "BASE_TYPE_BAD_LENGTH", message)
    parts = modal.get("components", [])
    if not 1 <= len(parts) <= 5:
        message = "Must be between 1 and 5 in length."
        raise form_error("components", "BASE_TYPE_BAD_LENGTH", message)
    for part in parts:
        inner = [one["type"] for one in part.get("components", ())]
        fits = part["type"] == _TEXT or (part["type"] == _ROW and inner == [_INPUT])
        if not fits and part.get("component", {}).get("type") not in _IN_LABELS:
            message = f"Component {part['type']} cannot be used in a modal."
            raise form_error("components", "UNION_TYPE_CHOICES", message)
    modal = deepcopy(modal)
    # "The id … is generated sequentially if left empty" (*Anatomy of a Component*).
    taken = {part["id"] for part in every(modal["components"]) if part.get("id")}
    numbers = (number for number in count(1) if number not in taken)
    for part in every(modal["components"]):
        part["id"] = part.get("id") or next(numbers)
    return modal


def filled(world: World, guild: Ref | None, modal: Payload, answers: Mapping[str, Any]) -> Payload:
    """Return the data of a submitted form, given the answers by `custom_id`.

    An answer is a text; the label of a radio button; labels of checkboxes or of a menu of texts;
    users, roles or channels; `{name: content}` of files; True or False. What is not required may
    be left out. `LookupError` if a client would not send it.
    """
    fields = {part["custom_id"]: part for part in every(modal["components"]) if "custom_id" in part}
    if not answers.keys() <= fields.keys():
        raise LookupError(f"The form asks for {sorted(fields)}, not {sorted(answers)}")
    resolved: Payload = {}

    def sent(part: Payload) -> Payload:
        about: Payload = {key: part[key] for key in ("type", "id", "custom_id") if key in part}
        if "component" in part:
            return {**about, "component": sent(part["component"])}
        if "components" in part:
            return {**about, "components": [sent(inner) for inner in part["components"]]}
        if "custom_id" not in part:  # a text that is displayed comes back without itself
            return about
        answer, found = _answer(world, guild, part, answers.get(part["custom_id"]))
        for kind, things in found.items():
            resolved.setdefault(kind, {}).update(things)
        return {**about, "values" if part["type"] in _MANY else "value": answer}

    components = [sent(part) for part in modal["components"]]
    data = {"custom_id": modal["custom_id"], "components": components}
    return {**data, "resolved": resolved} if resolved else data


def _answer(world: World, guild: Ref | None, part: Payload, given: Any) -> tuple[Any, Payload]:
    """Return the value of a field, and the resolved things that it refers to."""
    name, kind = part["custom_id"], part["type"]
    if kind == _CHECKBOX:
        return part.get("default", False) if given is None else bool(given), {}
    # All but the checkbox are required unless they say otherwise.
    if part.get("required", True) and not given:
        raise LookupError(f"The form needs an answer to {name!r}")
    if kind == _INPUT:
        return given or "", {}
    if kind == _RADIO:
        return None if given is None else _option(part, given), {}
    given = given or ()
    least = part.get("min_values") or 1
    most = part.get("max_values") or (len(part["options"]) if kind == _CHECKBOXES else 1)
    if given and not least <= len(given) <= most:
        raise LookupError(f"{name!r} takes no {len(given)} answers")
    if kind == _CHECKBOXES:
        return [_option(part, label) for label in given], {}
    if kind == _FILES:
        files = [
            world.files.attach(world.bot["id"], *file, ephemeral=True)
            for file in dict(given).items()
        ]
        found = {file["id"]: file for file in files}
        return list(found), {"attachments": found} if found else {}
    return _chosen(world, guild, part, given)


def _option(part: Payload, label: Any) -> str:
    values: dict[str, str] = {one["label"]: one["value"] for one in part["options"]}
    if label not in values:
        raise LookupError(f"{part['custom_id']!r} has no {label!r}, only {sorted(values)}")
    return values[label]


def _chosen(
    world: World, guild: Ref | None, menu: Payload, choices: Sequence[Ref]
) -> tuple[list[str], Payload]:
    if menu["type"] == _STRINGS:
        return [_option(menu, label) for label in choices], {}
    numbers = [ident(choice) for choice in choices]
    users = {number: world.users[number] for number in numbers if number in world.users}
    found: Payload = {
        "users": users,
        "members": {
            number: {**world.member(number, guild), "permissions": "0"}
            for number in users
            if guild is not None
        },
        "roles": {number: world.roles[number] for number in numbers if number in world.roles},
        "channels": {
            number: {**world.channels[number], "permissions": "0"}
            for number in numbers
            if number in world.channels
        },
    }
    return numbers, {kind: some for kind, some in found.items() if some}
