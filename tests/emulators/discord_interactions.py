"""Interactions on the emulated Discord, from the moment they begin: how a bot answers them.

What they are about comes from `discord_commands` and `discord_components`.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import Final
from uuid import uuid4

from emulators.discord_components import opened
from emulators.discord_gateway import NO_INTENT
from emulators.discord_http import ApiError, Call, Handler, form_error
from emulators.discord_payloads import (
    CHAT_INPUT_COMMAND,
    CONTEXT_MENU_COMMAND,
    DEFAULT,
    EPHEMERAL,
    LOADING,
    REPLY,
    Payload,
    Ref,
    bare,
    ident,
)
from emulators.discord_rest import Rest

# "Interaction tokens are valid for 15 minutes … but you must send an initial response within 3
# seconds of receiving the event. If the 3 second deadline is exceeded, the token will be
# invalidated" (https://discord.com/developers/docs/interactions/receiving-and-responding#interaction-callback).
# Within the 15 minutes such a token is a 404, and then any is a 401
# (https://github.com/discord/discord-api-docs/issues/6851).
CALLBACK_SECONDS: Final = 3.0
TOKEN_SECONDS: Final = 15 * 60.0

COMMAND, COMPONENT, MODAL_SUBMIT = 2, 3, 5
_MESSAGE, _DEFERRED, _DEFERRED_UPDATE, _UPDATE, _MODAL = 4, 5, 6, 7, 9


@dataclass
class Interaction:
    """One use of a command or a component, and what became of it.

    `touched` is the message whose component it was, `original` the first answer, or that message
    if the answer is about it.
    """

    payload: Payload
    born: float
    touched: Payload | None = None
    acknowledged: bool = False
    original: Payload | None = None
    modal: Payload | None = None


class Interactions:
    """The interactions that are under way."""

    def __init__(self, rest: Rest) -> None:
        self.rest = rest
        self.world = rest.world
        self._known: dict[str, Interaction] = {}

    def table(self) -> list[tuple[str, str, Handler]]:
        hook = "/webhooks/{application}/{token}"
        return [
            ("POST", "/interactions/{interaction}/{token}/callback", self.post_callback),
            ("POST", hook, self.post_followup),
            ("GET", hook + "/messages/{message}", self.get_message),
            ("PATCH", hook + "/messages/{message}", self.patch_message),
            ("DELETE", hook + "/messages/{message}", self.delete_message),
        ]

    def begin(
        self, channel: Ref, user: Ref, kind: int, data: Payload, message: Payload | None = None
    ) -> Payload:
        """Tell the bot that somebody used a command, or a component of one of its messages."""
        place, person = self.world.channels[ident(channel)], self.world.users[ident(user)]
        payload: Payload = {
            "id": self.world.snowflake(),
            "application_id": self.world.bot["id"],
            "type": kind,
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
        if message is not None:
            payload["message"] = bare(self.world.seen(message, content=True))
        if "guild_id" in place:
            member = self.world.member(person, place["guild_id"], named=True)
            member["permissions"] = "0"
            payload |= {"guild_id": place["guild_id"], "member": member, "context": 0}
        else:
            payload |= {"user": person, "context": 1}
        self._known[payload["token"]] = Interaction(payload, self.world.clock.time(), message)
        self.rest.gateway.dispatch("INTERACTION_CREATE", payload, needs=NO_INTENT)
        return payload

    def modal(self, interaction: Payload) -> Payload | None:
        """The form that the bot answered an interaction with, if it did."""
        return self._known[interaction["token"]].modal

    def touched(self, interaction: Payload) -> Payload | None:
        """The message whose component was used, if it was one."""
        return self._known[interaction["token"]].touched

    def post_callback(self, call: Call, interaction: str, token: str) -> Payload:
        known = self._known.get(token)
        if known is None or self._age(known) > CALLBACK_SECONDS:
            raise ApiError(404, 10062)
        if known.acknowledged:
            raise ApiError(400, 40060)
        kind, body = call.body["type"], call.body.get("data") or {}
        about: Payload = {"id": interaction, "type": known.payload["type"]}
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
        elif kind == _MODAL and known.payload["type"] != MODAL_SUBMIT:
            known.modal = opened(body)
        elif kind == _DEFERRED_UPDATE and known.payload["type"] == MODAL_SUBMIT:
            # Also of a form that a command opened, where there is no message to update: what
            # `defer()` of discord.py sends for any form.
            known.original = known.touched
        elif kind in (_DEFERRED_UPDATE, _UPDATE) and known.touched is not None:
            known.original = known.touched
            if kind == _UPDATE:
                changed = Call(call.method, call.path, call.query, body, call.files)
                self.rest.change_message(changed, known.touched, edited_timestamp=self.world.now())
        else:
            raise form_error("type", "INTERACTION_RESPONSE_TYPE", f"{kind} is no answer to this")
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
        about = {"id": payload["id"], "type": payload["type"], "user": user}
        fields: Payload = {
            **self._hook_fields(),
            "type": DEFAULT,
            "interaction_metadata": {**about, "authorizing_integration_owners": {}},
        }
        if payload["type"] == COMMAND:
            slash = payload["data"]["type"] == 1
            fields["type"] = CHAT_INPUT_COMMAND if slash else CONTEXT_MENU_COMMAND
            fields["interaction"] = {**about, "name": payload["data"]["name"]}
        elif known.touched is not None:
            reference = self.world.reference(known.touched)
            fields |= {"type": REPLY, "message_reference": reference}
        if not loading:
            return self.rest.create_message(call, payload["channel_id"], body, **fields)
        self.rest.wake(payload["channel_id"])
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
        edited = None if message["flags"] & LOADING else self.world.now()
        flags = message["flags"] & ~LOADING
        return self.rest.shown(
            self.rest.change_message(call, message, flags=flags, edited_timestamp=edited)
        )

    def _age(self, known: Interaction) -> float:
        return self.world.clock.time() - known.born

    def _interaction(self, token: str) -> Interaction:
        known = self._known.get(token)
        if known is not None and self._age(known) > TOKEN_SECONDS:
            raise ApiError(401, 50027)
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
