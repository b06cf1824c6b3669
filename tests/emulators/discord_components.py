"""What a use of a button, a select menu or a form says on the emulated Discord."""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from typing import Any, Final

from emulators.discord_payloads import Payload, Ref, World, ident

_BUTTON, _STRINGS, _INPUT, _USERS, _ROLES, _CHANNELS = 2, 3, 4, 5, 6, 8
_SELECTS: Final = (_STRINGS, _USERS, _ROLES, 7, _CHANNELS)


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
    return {
        "component_type": menu["type"],
        "custom_id": menu["custom_id"],
        **_chosen(world, menu, choices),
    }


def filled(world: World, modal: Payload, answers: Mapping[str, Any]) -> Payload:
    """The data of a form that is sent, with the answers by `custom_id`."""
    fields = {part["custom_id"]: part for part in every(modal["components"]) if "custom_id" in part}
    if answers.keys() != fields.keys():
        raise LookupError(f"The form asks for {sorted(fields)}, not {sorted(answers)}")
    resolved: Payload = {}

    def sent(part: Payload) -> Payload:
        about: Payload = {
            key: part[key] for key in ("type", "id", "custom_id", "content") if key in part
        }
        if "component" in part:
            return {**about, "component": sent(part["component"])}
        if "components" in part:
            return {**about, "components": [sent(inner) for inner in part["components"]]}
        if part["type"] in _SELECTS:
            values = _chosen(world, part, answers[part["custom_id"]])
            resolved.update(values.get("resolved", {}))
            return {**about, "values": values["values"]}
        return {**about, "value": answers[part["custom_id"]]} if "custom_id" in part else about

    components = [sent(part) for part in modal["components"]]
    data = {"custom_id": modal["custom_id"], "components": components}
    return {**data, "resolved": resolved} if resolved else data


def _chosen(world: World, menu: Payload, choices: Sequence[Ref]) -> Payload:
    if menu["type"] == _STRINGS:
        values = {option["label"]: option["value"] for option in menu["options"]}
        return {"values": [values[str(label)] for label in choices]}
    numbers = [ident(choice) for choice in choices]
    users = {number: world.users[number] for number in numbers if number in world.users}
    found: Payload = {
        "users": users,
        "members": {number: {**world.member(), "permissions": "0"} for number in users},
        "roles": {number: world.roles[number] for number in numbers if number in world.roles},
        "channels": {
            number: {**world.channels[number], "permissions": "0"}
            for number in numbers
            if number in world.channels
        },
    }
    return {"values": numbers, "resolved": {kind: some for kind, some in found.items() if some}}
