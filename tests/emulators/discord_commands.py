"""The commands that a bot registers on the emulated Discord, and what a use of one says."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any, Final

from emulators.discord_http import Call, Handler
from emulators.discord_payloads import Payload, Ref, World, bare, ident

SLASH, USER, MESSAGE = 1, 2, 3
_GROUPS: Final = (1, 2)
_ATTACHMENT: Final = 11


class Commands:
    """What is registered, by guild, and everywhere (`None`)."""

    def __init__(self, world: World) -> None:
        self.world = world
        self._commands: dict[str | None, list[Payload]] = {}

    def table(self) -> list[tuple[str, str, Handler]]:
        everywhere = "/applications/{application}/commands"
        in_guild = "/applications/{application}/guilds/{guild}/commands"
        return [
            ("GET", everywhere, self.list_commands),
            ("PUT", everywhere, self.put_commands),
            ("GET", in_guild, self.list_commands),
            ("PUT", in_guild, self.put_commands),
        ]

    def list_commands(
        self, call: Call, application: str, guild: str | None = None
    ) -> list[Payload]:
        return self._commands.get(guild, [])

    def put_commands(self, call: Call, application: str, guild: str | None = None) -> list[Payload]:
        """Replace all commands; one that keeps its name keeps its id."""
        ids = {_called(command): command["id"] for command in self._commands.get(guild, ())}
        scope = {"application_id": application} | ({} if guild is None else {"guild_id": guild})
        self._commands[guild] = [
            # Those in menus have none, and are listed with an empty one.
            {"description": "", **command, **scope, "id": ids.get(_called(command)) or number}
            for command, number in ((command, self.world.snowflake()) for command in call.body)
        ]
        return self._commands[guild]

    def slash(self, channel: Ref, name: str, options: Mapping[str, Any]) -> Payload:
        """The data of a slash command that is used with the options it has.

        An attachment is given as its name and its bytes.
        """
        root, *path = name.split()
        command = self._registered(channel, root, SLASH)
        leaf, nodes = command, []
        for part in path:
            leaf = next(o for o in leaf["options"] if o["name"] == part)
            nodes.append(leaf)
        known = {o["name"]: o for o in leaf.get("options", ()) if o["type"] not in _GROUPS}
        needed = {option for option, about in known.items() if about.get("required")}
        if not needed <= options.keys() <= known.keys():
            raise LookupError(f"/{name} takes {sorted(known)} and needs {sorted(needed)}")
        files = {
            option: self.world.files.attach(self.world.bot["id"], *value, ephemeral=True)
            for option, value in options.items()
            if known[option]["type"] == _ATTACHMENT
        }
        given = [
            {
                "name": option,
                "type": known[option]["type"],
                "value": files[option]["id"] if option in files else value,
            }
            for option, value in options.items()
        ]
        for node in reversed(nodes):
            given = [{"name": node["name"], "type": node["type"], "options": given}]
        resolved = {"attachments": {file["id"]: file for file in files.values()}}
        return {**_named(command), "options": given, **({"resolved": resolved} if files else {})}

    def on_user(self, channel: Ref, name: str, target: Ref) -> Payload:
        """The data of a command in a person's context menu."""
        user = self.world.users[ident(target)]
        resolved: Payload = {"users": {user["id"]: user}}
        guild = self.world.channels[ident(channel)].get("guild_id")
        if guild is not None:
            member = {**self.world.member(user, guild), "permissions": "0"}
            resolved["members"] = {user["id"]: member}
        command = self._registered(channel, name, USER)
        return {**_named(command), "target_id": user["id"], "resolved": resolved}

    def on_message(self, name: str, message: Payload) -> Payload:
        """The data of a command in a message's context menu, whose text a bot sees in any case."""
        shown = bare(self.world.seen(message, content=True))
        command = self._registered(message["channel_id"], name, MESSAGE)
        resolved = {"messages": {message["id"]: shown}}
        return {**_named(command), "target_id": message["id"], "resolved": resolved}

    def _registered(self, channel: Ref, name: str, kind: int) -> Payload:
        guild = self.world.channels[ident(channel)].get("guild_id")
        everything: list[Payload] = [*self._commands.get(guild, ()), *self._commands.get(None, ())]
        registered = [command for command in everything if command.get("type", SLASH) == kind]
        for command in registered:
            if command["name"] == name:
                return command
        names = sorted({command["name"] for command in registered})
        raise LookupError(f"No command {name!r} is registered, only {names}: tree.sync() first")


def _called(command: Payload) -> tuple[str, int]:
    return command["name"], command.get("type", SLASH)


def _named(command: Payload) -> Payload:
    data = {"id": command["id"], "name": command["name"], "type": command.get("type", SLASH)}
    return {**data, "guild_id": command["guild_id"]} if "guild_id" in command else data
