"""The REST routes of the emulated Discord: what a bot asks, sends, edits and deletes.

The bot's own messages are echoed through the gateway before the request is answered: of the two
orders that occur on Discord, the one that surprises more programs.
"""

from __future__ import annotations

from typing import Any, Final

from emulators.discord_gateway import Intent
from emulators.discord_http import ApiError, Call, Handler, form_error
from emulators.discord_payloads import (
    COMPONENTS_V2,
    DM,
    EPHEMERAL,
    READ_MESSAGE_HISTORY,
    REPLY,
    Payload,
    Ref,
    bare,
    ident,
    moment,
    trimmed,
)
from emulators.discord_threads import Threads

MAX_CONTENT: Final = 2_000
MAX_EMBED_DESCRIPTION: Final = 4_096
NONCE_SECONDS: Final = 300
"""Our reading of "the past few minutes"."""

# What a bot may set on a message, and what it becomes when the bot sends null.
_FIELDS: Final[Payload] = {
    "content": "",
    "embeds": [],
    "components": [],
    "sticker_ids": [],
    "flags": 0,
    "tts": False,
    "poll": None,
}


class Rest(Threads):
    """The handlers, and what the test side shares with them."""

    def table(self) -> list[tuple[str, str, Handler]]:
        channel, message = "/channels/{channel}", "/channels/{channel}/messages/{message}"
        return [
            ("GET", "/users/@me", lambda _: self.world.bot),
            ("GET", "/users/{user}", self.get_user),
            ("POST", "/users/@me/channels", self.open_dm),
            ("GET", "/oauth2/applications/@me", self.get_application),
            ("GET", "/gateway/bot", self.get_gateway),
            ("GET", channel, self.get_channel),
            ("PATCH", channel, self.patch_channel),
            ("DELETE", channel, self.delete_channel),
            ("POST", channel + "/typing", self.post_typing),
            ("GET", channel + "/messages", self.list_messages),
            ("POST", channel + "/messages", self.post_message),
            ("POST", channel + "/messages/bulk-delete", self.bulk_delete),
            ("GET", message, self.get_message),
            ("PATCH", message, self.patch_message),
            ("DELETE", message, self.delete_message),
            ("PUT", message + "/reactions/{emoji}/@me", self.react),
            ("DELETE", message + "/reactions/{emoji}/@me", self.react),
            ("POST", message + "/threads", self.post_thread),
            ("POST", channel + "/threads", self.post_thread),
        ]

    def get_application(self, call: Call) -> Payload:
        bot = self.world.bot
        described = {"id": bot["id"], "name": bot["username"], "description": "", "icon": None}
        public = {"bot_public": True, "bot_require_code_grant": False, "verify_key": ""}
        flags = self.gateway.application_flags
        return {**described, **public, "owner": self.world.owner, "flags": flags}

    def get_gateway(self, call: Call) -> Payload:
        limit = {"total": 1000, "remaining": 1000, "reset_after": 0, "max_concurrency": 1}
        return {"url": self.gateway.url, "shards": 1, "session_start_limit": limit}

    def get_user(self, call: Call, user: str) -> Payload:
        if user not in self.world.users:
            raise ApiError(404, 10013)
        return self.world.users[user]

    def open_dm(self, call: Call) -> Payload:
        user = self.get_user(call, str(call.body["recipient_id"]))
        return self.world.dm(user)

    def get_channel(self, call: Call, channel: str) -> Payload:
        if channel not in self.world.channels:
            raise ApiError(404, 10003)
        return self.world.channels[channel]

    def patch_channel(self, call: Call, channel: str) -> Payload:
        return self.change_channel(self.get_channel(call, channel), call.body)

    def delete_channel(self, call: Call, channel: str) -> Payload:
        return self.remove_channel(self.get_channel(call, channel))

    def post_typing(self, call: Call, channel: str) -> None:
        self.get_channel(call, channel)

    def list_messages(self, call: Call, channel: str) -> list[Payload]:
        """Newest first; with `after`, those that follow it most closely."""
        place = self.get_channel(call, channel)
        # "If the current user is missing the READ_MESSAGE_HISTORY permission in the channel, no
        # messages will be returned" (documentation of *Get Channel Messages*).
        if any(int(one["deny"]) & READ_MESSAGE_HISTORY for one in _overwrites(place)):
            return []
        everything = self.world.messages[channel].values()
        found = [message for message in everything if not message["flags"] & EPHEMERAL]
        limit = int(call.query.get("limit", 50))
        if "before" in call.query:
            before = int(call.query["before"])
            found = [message for message in found if int(message["id"]) < before]
        if "after" in call.query:
            after = int(call.query["after"])
            found = [message for message in found if int(message["id"]) > after][:limit]
        return [self.shown(message) for message in reversed(found[-limit:])]

    def hide_past(self, channel: Ref) -> None:
        """Take the right to read what was said from everyone in a guild's channel."""
        place = self.world.channels[ident(channel)]
        everyone = {"id": place["guild_id"], "type": 0, "allow": "0"}
        place["permission_overwrites"] = [everyone | {"deny": str(READ_MESSAGE_HISTORY)}]
        self.gateway.dispatch("CHANNEL_UPDATE", place)

    def get_message(self, call: Call, channel: str, message: str) -> Payload:
        return self.shown(self._message(call, channel, message))

    def post_message(self, call: Call, channel: str) -> Payload:
        self.get_channel(call, channel)
        if call.body.get("enforce_nonce"):
            # discord.py repeats a request whose answer was lost: it must not send twice. A nonce
            # is unique "in the past few minutes" (documentation of *Create Message*).
            oldest = self.world.clock.time() - NONCE_SECONDS
            for message in self.world.messages[channel].values():
                if message.get("nonce") == str(call.body["nonce"]) and moment(message) > oldest:
                    return self.shown(message)
        return self.shown(self.create_message(call, channel, call.body))

    def patch_message(self, call: Call, channel: str, message: str) -> Payload:
        found = self._message(call, channel, message)
        if found["author"]["id"] != self.world.bot["id"]:
            raise ApiError(403, 50005)
        return self.shown(self.change_message(call, found, edited_timestamp=self.world.now()))

    def delete_message(self, call: Call, channel: str, message: str) -> None:
        found = self._message(call, channel, message)
        in_dm = self.world.channels[channel]["type"] == DM
        if in_dm and found["author"]["id"] != self.world.bot["id"]:
            raise ApiError(403, 50003)
        self.remove_messages(channel, [message])

    def bulk_delete(self, call: Call, channel: str) -> None:
        if self.get_channel(call, channel)["type"] == DM:
            raise ApiError(403, 50003)
        if not 2 <= len(call.body["messages"]) <= 100:
            raise ApiError(400, 50016)
        self.remove_messages(channel, [str(number) for number in call.body["messages"]], bulk=True)

    def react(self, call: Call, channel: str, message: str, emoji: str) -> None:
        self._message(call, channel, message)
        self.check_active(channel)

    def post_thread(self, call: Call, channel: str, message: str | None = None) -> Payload:
        self.get_channel(call, channel)
        start = None if message is None else self._message(call, channel, message)
        if start is not None and "thread" in start:
            raise ApiError(400, 160004)
        thread = self.start_thread(channel, call.body["name"], self.world.bot, start)
        if "message" in call.body:  # a forum post: its first message has the thread's own id
            first = self.create_message(call, thread["id"], call.body["message"], id=thread["id"])
            return {**thread, "message": self.shown(first)}
        return thread

    # What interactions and the test side use too.

    def create_message(self, call: Call, channel: str, body: Payload, **extra: Any) -> Payload:
        """Check and store a message of the bot's, and echo it unless it is ephemeral."""
        fields = self._checked(call, body)
        place = self.world.channels[channel]
        if place["type"] == DM and place["recipients"][0]["id"] in self.world.closed:
            raise ApiError(403, 50007)
        self.wake(channel)
        if reference := body.get("message_reference"):
            fields |= self._reply(channel, reference)
        if "nonce" in body:
            fields["nonce"] = str(body["nonce"])
        fields["attachments"] = self._uploads(call, channel)
        content = fields.pop("content", "")
        message = self.world.message(channel, self.world.bot, content, **{**fields, **extra})
        if not message["flags"] & EPHEMERAL:
            self.gateway.dispatch_message("MESSAGE_CREATE", message)
        return message

    def change_message(self, call: Call, message: Payload, **extra: Any) -> Payload:
        """Edit a message of the bot's, and tell it so unless it is ephemeral."""
        self.check_active(message["channel_id"])
        fields = self._checked(call, {**message, **call.body})
        named = call.body.get("attachments", message["attachments"]) or []
        kept = {str(file["id"]) for file in named}
        old = [file for file in message["attachments"] if file["id"] in kept]
        message |= {**fields, "attachments": old + self._uploads(call, message["channel_id"])}
        message |= extra
        if not message["flags"] & EPHEMERAL:
            self.gateway.dispatch_message("MESSAGE_UPDATE", message)
        return message

    def remove_messages(self, channel: Ref, messages: list[str], *, bulk: bool = False) -> None:
        """Take messages away and say so, in one event if they go in bulk."""
        place = self.world.channels[ident(channel)]
        where = {"channel_id": place["id"]}
        if "guild_id" in place:
            where["guild_id"] = place["guild_id"]
        for number in messages:
            self.world.messages[place["id"]].pop(number, None)
        needs = self.gateway.message_intent(place)
        if bulk:
            self.gateway.dispatch("MESSAGE_DELETE_BULK", {"ids": messages, **where}, needs=needs)
            return
        for number in messages:
            self.gateway.dispatch("MESSAGE_DELETE", {"id": number, **where}, needs=needs)

    def remove_channel(self, channel: Ref) -> Payload:
        """Take a channel away with its threads, for which there is no event of their own."""
        gone = self.world.remove_channel(channel)
        kind = "THREAD_DELETE" if "thread_metadata" in gone else "CHANNEL_DELETE"
        self.gateway.dispatch(kind, gone)
        return gone

    def shown(self, message: Payload) -> Payload:
        """A message as REST answers with it."""
        content = Intent.MESSAGE_CONTENT in self.gateway.privileged
        return bare(self.world.seen(message, content=content))

    def _message(self, call: Call, channel: str, message: str) -> Payload:
        self.get_channel(call, channel)
        found = self.world.messages[channel].get(message)
        if found is None or found["flags"] & EPHEMERAL:
            raise ApiError(404, 10008)
        return found

    def _reply(self, channel: str, reference: Payload) -> Payload:
        if reference.get("type", 0) != 0:
            raise ApiError(501, 0, "The emulator does not forward messages")
        found = self.world.messages[channel].get(str(reference["message_id"]))
        if found is not None:
            return {"type": REPLY, "message_reference": self.world.reference(found)}
        if reference.get("fail_if_not_exists", True):
            raise form_error("message_reference", "REPLIES_UNKNOWN_MESSAGE", "Unknown message")
        return {}

    def _uploads(self, call: Call, channel: str) -> list[Payload]:
        return [self.world.files.attach(channel, name, data) for name, data in call.files.items()]

    def _checked(self, call: Call, body: Payload) -> Payload:
        """The fields of a message that a bot may set, within Discord's limits."""
        given = {key: body[key] for key in _FIELDS if key in body}
        fields = {k: _FIELDS[k] if value is None else value for k, value in given.items()}
        _limit("content", fields.get("content", ""), MAX_CONTENT)
        if "content" in fields:
            fields["content"] = trimmed(fields["content"])
        for embed in fields.get("embeds", ()):
            _limit("embeds", embed.get("description", ""), MAX_EMBED_DESCRIPTION)
        if fields.get("flags", 0) & COMPONENTS_V2 and (
            fields.get("content") or fields.get("embeds")
        ):
            code = "MESSAGE_CANNOT_USE_LEGACY_FIELDS_WITH_COMPONENTS_V2"
            raise form_error("content", code, "The field cannot be used with IS_COMPONENTS_V2")
        others = ("embeds", "components", "sticker_ids", "poll")
        filled = call.files or body.get("attachments") or any(fields.get(key) for key in others)
        if not filled and not fields.get("content"):
            raise ApiError(400, 50006)
        return fields


def _overwrites(channel: Payload) -> list[Payload]:
    found: list[Payload] = channel.get("permission_overwrites", [])
    return found


def _limit(field: str, text: str, limit: int) -> None:
    if len(text) > limit:
        message = f"Must be {limit} or fewer in length."
        raise form_error(field, "BASE_TYPE_MAX_LENGTH", message)
