"""Slash commands on the emulated Discord: registering, invoking and answering them."""

from __future__ import annotations

import time
from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Any, Final
from uuid import uuid4

from emulators.discord_gateway import NO_INTENT
from emulators.discord_http import ApiError, Call, Handler
from emulators.discord_payloads import (
    CHAT_INPUT_COMMAND,
    EPHEMERAL,
    LOADING,
    REPLY,
    Payload,
    Ref,
    ident,
    now,
)
from emulators.discord_rest import Rest

CALLBACK_SECONDS: Final = 3.0
"""How long Discord waits for the first answer."""

_COMMAND, _GROUPS = 2, (1, 2)
_MESSAGE, _DEFERRED = 4, 5


@dataclass
class Interaction:
    """One use of a command, and what became of it. `original` is the first answer, if any."""

    payload: Payload
    acknowledged: bool = False
    original: Payload | None = None
    born: float = field(default_factory=time.monotonic)


class Interactions:
    """The commands that the bot registered, and the interactions that are under way."""

    def __init__(self, rest: Rest) -> None:
        self.rest = rest
        self.world = rest.world
        self._commands: dict[str | None, list[Payload]] = {}
        self._known: dict[str, Interaction] = {}

    def table(self) -> list[tuple[str, str, Handler]]:
        everywhere = "/applications/{application}/commands"
        in_guild = "/applications/{application}/guilds/{guild}/commands"
        hook = "/webhooks/{application}/{token}"
        return [
            ("GET", everywhere, self.list_commands),
            ("PUT", everywhere, self.put_commands),
            ("GET", in_guild, self.list_commands),
            ("PUT", in_guild, self.put_commands),
            ("POST", "/interactions/{interaction}/{token}/callback", self.post_callback),
            ("POST", hook, self.post_followup),
            ("GET", hook + "/messages/{message}", self.get_message),
            ("PATCH", hook + "/messages/{message}", self.patch_message),
            ("DELETE", hook + "/messages/{message}", self.delete_message),
        ]

    def invoke(self, channel: Ref, user: Ref, name: str, options: Mapping[str, Any]) -> Payload:
        """Use a command as a user would: one that is registered, with the options it has."""
        place, person = self.world.channels[ident(channel)], self.world.users[ident(user)]
        data = self._command_data(place.get("guild_id"), name, options)
        payload: Payload = {
            "id": self.world.snowflake(),
            "application_id": self.world.bot["id"],
            "type": _COMMAND,
            "token": uuid4().hex,
            "version": 1,
            "channel_id": place["id"],
            "channel": place,
            "data": data,
            "locale": "en-US",
            "app_permissions": "0",
            "attachment_size_limit": 10_485_760,
            "authorizing_integration_owners": {},
        }
        if "guild_id" in place:
            member = {**self.world.member(user=person), "permissions": "0"}
            payload |= {"guild_id": place["guild_id"], "member": member, "context": 0}
        else:
            payload |= {"user": person, "context": 1}
        self._known[payload["token"]] = Interaction(payload)
        self.rest.gateway.dispatch("INTERACTION_CREATE", payload, needs=NO_INTENT)
        return payload

    def _command_data(self, guild: str | None, name: str, options: Mapping[str, Any]) -> Payload:
        root, *path = name.split()
        registered = [*self._commands.get(guild, ()), *self._commands.get(None, ())]
        command = next((c for c in registered if c["name"] == root), None)
        if command is None:
            names = sorted({c["name"] for c in registered})
            raise LookupError(f"No command {root!r} is registered, only {names}: tree.sync() first")
        leaf, nodes = command, []
        for part in path:
            leaf = next(o for o in leaf["options"] if o["name"] == part)
            nodes.append(leaf)
        known = {o["name"]: o for o in leaf.get("options", ()) if o["type"] not in _GROUPS}
        needed = {option for option, about in known.items() if about.get("required")}
        if not needed <= options.keys() <= known.keys():
            raise LookupError(f"/{name} takes {sorted(known)} and needs {sorted(needed)}")
        given = [
            {"name": option, "type": known[option]["type"], "value": value}
            for option, value in options.items()
        ]
        for node in reversed(nodes):
            given = [{"name": node["name"], "type": node["type"], "options": given}]
        data = {"id": command["id"], "name": root, "type": 1, "options": given}
        return {**data, "guild_id": command["guild_id"]} if "guild_id" in command else data

    def list_commands(
        self, call: Call, application: str, guild: str | None = None
    ) -> list[Payload]:
        return self._commands.get(guild, [])

    def put_commands(self, call: Call, application: str, guild: str | None = None) -> list[Payload]:
        """Replace all commands; one that keeps its name keeps its id."""
        ids = {command["name"]: command["id"] for command in self._commands.get(guild, ())}
        scope = {"application_id": application} | ({} if guild is None else {"guild_id": guild})
        self._commands[guild] = [
            {**command, **scope, "id": ids.get(command["name"]) or self.world.snowflake()}
            for command in call.body
        ]
        return self._commands[guild]

    def post_callback(self, call: Call, interaction: str, token: str) -> Payload:
        known = self._known.get(token)
        if known is None or time.monotonic() - known.born > CALLBACK_SECONDS:
            raise ApiError(404, 10062)
        if known.acknowledged:
            raise ApiError(400, 40060)
        kind, body = call.body["type"], call.body.get("data") or {}
        about: Payload = {"id": interaction, "type": _COMMAND}
        resource: Payload = {"type": kind}
        if kind in (_MESSAGE, _DEFERRED):
            message = self._first_answer(call, known, body, loading=kind == _DEFERRED)
            known.original = message
            about |= {
                "response_message_id": message["id"],
                "response_message_loading": bool(message["flags"] & LOADING),
                "response_message_ephemeral": bool(message["flags"] & EPHEMERAL),
            }
            resource["message"] = self.rest.shown(message)
        known.acknowledged = True
        return {"interaction": about, "resource": resource}

    def post_followup(self, call: Call, application: str, token: str) -> Payload:
        known = self._interaction(token)
        if known.original is not None and known.original["flags"] & LOADING:
            # As documented: the first follow-up of a deferred answer takes the answer's place,
            # and stays as ephemeral as that was.
            return self._edit(call, known.original)
        fields = self._hook_fields()
        if known.original is not None:
            reference = self.world.reference(known.original)
            fields |= {"type": REPLY, "message_reference": reference}
        channel = known.payload["channel_id"]
        return self.rest.shown(self.rest.create_message(call, channel, call.body, **fields))

    def get_message(self, call: Call, application: str, token: str, message: str) -> Payload:
        return self.rest.shown(self._message(token, message))

    def patch_message(self, call: Call, application: str, token: str, message: str) -> Payload:
        return self._edit(call, self._message(token, message))

    def delete_message(self, call: Call, application: str, token: str, message: str) -> None:
        found = self._message(token, message)
        if found["flags"] & EPHEMERAL:
            del self.world.messages[found["channel_id"]][found["id"]]
        else:
            self.rest.remove_messages(found["channel_id"], [found["id"]])

    def _first_answer(
        self, call: Call, known: Interaction, body: Payload, *, loading: bool
    ) -> Payload:
        payload = known.payload
        user = payload["user"] if "user" in payload else payload["member"]["user"]
        about = {"id": payload["id"], "type": _COMMAND, "user": user}
        fields: Payload = {
            **self._hook_fields(),
            "type": CHAT_INPUT_COMMAND,
            "interaction": {**about, "name": payload["data"]["name"]},
            "interaction_metadata": {**about, "authorizing_integration_owners": {}},
        }
        if not loading:
            return self.rest.create_message(call, payload["channel_id"], body, **fields)
        fields["flags"] = LOADING | body.get("flags", 0)
        message = self.world.message(payload["channel_id"], self.world.bot, "", **fields)
        if not message["flags"] & EPHEMERAL:
            self.rest.gateway.dispatch_message("MESSAGE_CREATE", message)
        return message

    def _hook_fields(self) -> Payload:
        # Answers to interactions are webhook messages of the application's.
        return {"application_id": self.world.bot["id"], "webhook_id": self.world.bot["id"]}

    def _edit(self, call: Call, message: Payload) -> Payload:
        # A placeholder that gets its text has not been edited, says Discord.
        edited = None if message["flags"] & LOADING else now()
        flags = message["flags"] & ~LOADING
        return self.rest.shown(
            self.rest.change_message(call, message, flags=flags, edited_timestamp=edited)
        )

    def _interaction(self, token: str) -> Interaction:
        known = self._known.get(token)
        if known is None or not known.acknowledged:
            raise ApiError(404, 10015)
        return known

    def _message(self, token: str, message: str) -> Payload:
        known = self._interaction(token)
        if message == "@original":
            message = known.original["id"] if known.original is not None else ""
        found = self.world.messages[known.payload["channel_id"]].get(message)
        if found is None:
            raise ApiError(404, 10008)
        return found
