"""What exists on the emulated Discord, in the shapes of its API, version 10.

Users, guilds, channels and messages are kept as the JSON objects that go over the wire, ids as
strings, so that the gateway and the REST side send the same thing and nothing is translated.
No I/O happens here.
"""

from __future__ import annotations

import re
from collections.abc import Mapping
from copy import deepcopy
from datetime import datetime
from typing import Any, Final

from emulators._server import Clock
from emulators.discord_files import Files

Payload = dict[str, Any]
Ref = int | str | Mapping[str, Any]
"""An id, or an object that carries one: what the test side takes wherever a thing is named."""

TEXT, DM, VOICE, PUBLIC_THREAD, STAGE, FORUM = 0, 1, 2, 11, 13, 15
DEFAULT, THREAD_CREATED, REPLY, CHAT_INPUT_COMMAND, THREAD_STARTER = 0, 18, 19, 20, 21
CONTEXT_MENU_COMMAND = 23
HAS_THREAD, EPHEMERAL, LOADING = 1 << 5, 1 << 6, 1 << 7
VOICE_MESSAGE, COMPONENTS_V2 = 1 << 13, 1 << 15

_EPOCH_MS: Final = 1_420_070_400_000
_MENTION: Final = re.compile(r"<@!?(\d+)>")
_ROLE_MENTION: Final = re.compile(r"<@&(\d+)>")
_STYLE: Final[Payload] = {
    "color": 0,
    "hoist": False,
    "managed": False,
    "mentionable": True,
    "flags": 0,
    "position": 1,
}
_GONE: Final = {"archived": True}
ADMINISTRATOR, READ_MESSAGE_HISTORY = 1 << 3, 1 << 16
# Everyone may do all, until something is taken away; nobody is above that.
_PERMISSIONS: Final = str(((1 << 53) - 1) & ~ADMINISTRATOR)


def ident(ref: Ref) -> str:
    """The id of a thing, as it stands on the wire."""
    return str(ref["id"] if isinstance(ref, Mapping) else ref)


def moment(thing: Mapping[str, Any]) -> float:
    """Return the time in an id, in seconds since the epoch."""
    return ((int(thing["id"]) >> 22) + _EPOCH_MS) / 1000


def trimmed(text: str) -> str:
    """Return a text as Discord stores it: without white space at either end.

    Discord does not document it; bots observe it (https://github.com/strinking/futaba/issues/273,
    https://github.com/Euophrys/mahjong-discord-bot/pull/27).
    """
    return text.strip()


def bare(message: Payload) -> Payload:
    """A message without what only the gateway adds to it."""
    return {key: value for key, value in message.items() if key not in ("guild_id", "member")}


class World:
    """All that the emulated Discord knows. Every user is a member of every guild."""

    def __init__(self, clock: Clock) -> None:
        self.clock = clock
        self.files = Files(clock, self.snowflake)
        self._last_snowflake = 0
        self._dated = 0
        self.users: dict[str, Payload] = {}
        self.guilds: dict[str, Payload] = {}
        self.roles: dict[str, Payload] = {}
        self.channels: dict[str, Payload] = {}
        self.messages: dict[str, dict[str, Payload]] = {}
        self._members: dict[tuple[str, str], list[str]] = {}
        """The roles that somebody has in a guild."""
        self.closed: set[str] = set()
        """The users who blocked the bot."""
        self.webhooks: dict[tuple[str, str | None], str] = {}
        """The ids of webhooks, by channel and by the application that made them, or none."""
        self.bot = self.user("Bot", bot=True)
        self.owner = self.user("Owner")

    def now(self) -> str:
        """Return the time as Discord writes it."""
        return self.clock.now().isoformat()

    def snowflake(self, at: datetime | None = None) -> str:
        """A new id: its time in the upper bits, and greater than the one before, unless `at`."""
        if at is not None:
            self._dated += 1  # the lower bits tell ids of one millisecond apart
            return str(((int(at.timestamp() * 1000) - _EPOCH_MS) << 22) + self._dated)
        moment = (int(self.clock.time() * 1000) - _EPOCH_MS) << 22
        self._last_snowflake = max(self._last_snowflake + 1, moment)
        return str(self._last_snowflake)

    def user(self, name: str, *, bot: bool = False) -> Payload:
        # People have a lower-case handle and a free display name, bots a free name only.
        user: Payload = {
            "id": self.snowflake(),
            "username": name if bot else name.lower().replace(" ", "_"),
            "global_name": None if bot else name,
            "discriminator": "0",
            "avatar": None,
            "bot": bot,
            "public_flags": 0,
        }
        self.users[user["id"]] = user
        return user

    def member(self, user: Ref, guild: Ref, *, named: bool = False) -> Payload:
        """A guild member, without the `user` part where Discord leaves it out (messages)."""
        roles = self._members.get((ident(guild), ident(user)), [])
        member = {"roles": roles, "joined_at": self.now(), "deaf": False, "mute": False, "flags": 0}
        return {**member, "user": self.users[ident(user)]} if named else member

    def guild(self, name: str) -> Payload:
        guild: Payload = {"id": self.snowflake(), "name": name, "owner_id": self.owner["id"]}
        self.guilds[guild["id"]] = guild
        return guild

    def role(self, guild: Ref, name: str, bot: Ref | None = None) -> Payload:
        """A role, which nobody needs to have to be mentioned by it.

        The one that a guild keeps for a bot is managed, and names the bot in its `tags`
        (https://discord.com/developers/docs/topics/permissions#role-object-role-tags-structure).
        """
        role = {"id": self.snowflake(), "name": name, "permissions": "0", **_STYLE}
        if bot is not None:
            role |= {"managed": True, "tags": {"bot_id": ident(bot)}}
            self._members.setdefault((ident(guild), ident(bot)), []).append(role["id"])
        self.roles[role["id"]] = role
        self.guilds[ident(guild)].setdefault("roles", []).append(role)
        return role

    def channel(self, guild: Ref, name: str, kind: int = TEXT) -> Payload:
        channel: Payload = {
            "id": self.snowflake(),
            "type": kind,
            "guild_id": self.guilds[ident(guild)]["id"],
            "name": name,
            "position": len(self.channels),
            "permission_overwrites": [],
            "parent_id": None,
            "nsfw": False,
            "last_message_id": None,
        }
        if kind in (VOICE, STAGE):
            channel |= {"bitrate": 64_000, "user_limit": 0, "rtc_region": None}
        return self._add_channel(channel)

    def thread(self, parent: Ref, name: str, owner: Ref, message: Ref | None = None) -> Payload:
        """A thread; one that starts from a message has that message's id, as on Discord."""
        metadata = {"archived": False, "auto_archive_duration": 1440, "locked": False}
        now = self.now()
        channel: Payload = {
            "id": self.snowflake() if message is None else ident(message),
            "type": PUBLIC_THREAD,
            "guild_id": self.channels[ident(parent)]["guild_id"],
            "parent_id": ident(parent),
            "owner_id": ident(owner),
            "name": name,
            "message_count": 0,
            "member_count": 1,
            "thread_metadata": {**metadata, "archive_timestamp": now, "create_timestamp": now},
        }
        return self._add_channel(channel)

    def dm(self, user: Ref) -> Payload:
        """The direct-message channel with a user: the same one each time."""
        for channel in self.channels.values():
            if channel["type"] == DM and channel["recipients"][0]["id"] == ident(user):
                return channel
        recipient = self.users[ident(user)]
        return self._add_channel(
            {"id": self.snowflake(), "type": DM, "recipients": [recipient], "flags": 0}
        )

    def _add_channel(self, channel: Payload) -> Payload:
        self.channels[channel["id"]] = channel
        self.messages[channel["id"]] = {}
        return channel

    def remove_channel(self, channel: Ref) -> Payload:
        """Take a channel away, with its threads and all messages."""
        number = ident(channel)
        for thread in [c for c in self.channels.values() if c.get("parent_id") == number]:
            self.remove_channel(thread)
        del self.messages[number]
        return self.channels.pop(number)

    def message(
        self,
        channel: Ref,
        author: Ref,
        content: str,
        *,
        at: datetime | None = None,
        **fields: Any,
    ) -> Payload:
        """A new message, stored; `fields` replace or extend what Discord would fill in.

        An author who is no user is a webhook's face, see `People.post_webhook`. `at` dates it.
        """
        place = self.channels[ident(channel)]
        writer = self.users.get(ident(author))
        if writer is None:
            assert isinstance(author, Mapping), f"There is no user {author}"
            writer = dict(author)
        message: Payload = {
            "id": self.snowflake(at),
            "channel_id": place["id"],
            "author": writer,
            "content": content,
            "timestamp": self.now() if at is None else at.isoformat(),
            "edited_timestamp": None,
            "tts": False,
            "mention_everyone": False,
            "mentions": [self.users[i] for i in _MENTION.findall(content) if i in self.users],
            "mention_roles": [i for i in _ROLE_MENTION.findall(content) if i in self.roles],
            "attachments": [],
            "embeds": [],
            "components": [],
            "pinned": False,
            "type": DEFAULT,
            "flags": 0,
        }
        if "guild_id" in place:
            message["guild_id"] = place["guild_id"]
            if writer["id"] in self.users:
                message["member"] = self.member(writer, place["guild_id"])
        message |= fields
        self.messages[place["id"]][message["id"]] = message
        place["last_message_id"] = message["id"]
        return message

    def reference(self, message: Payload) -> Payload:
        """The `message_reference` of a reply to a message."""
        reference: Payload = {"type": 0, "message_id": message["id"]}
        return reference | {k: message[k] for k in ("channel_id", "guild_id") if k in message}

    def seen(self, message: Payload, *, content: bool) -> Payload:
        """A copy of a message as a bot sees it.

        Without the privilege for content it sees the text of direct messages, of messages that
        mention it, and of its own. The message that a reply refers to is filled in as it is now.
        """
        copy = deepcopy(message)
        self.files.freshen(copy)
        involved = [message["author"]["id"], *(user["id"] for user in message["mentions"])]
        if not content and "guild_id" in message and self.bot["id"] not in involved:
            copy |= {"content": "", "embeds": [], "attachments": [], "components": []}
            copy.pop("poll", None)
        if not copy.get("components") and message["author"]["id"] != self.bot["id"]:
            # Optional, "sent if the message contains components":
            # https://discord.com/developers/docs/resources/message
            copy.pop("components", None)
        if message["type"] in (REPLY, THREAD_STARTER):
            target = message["message_reference"]
            found = self.messages.get(target["channel_id"], {}).get(target["message_id"])
            # One level deep only, as on Discord: a default message refers to none.
            copy["referenced_message"] = None
            if found is not None:
                seen = self.seen({**found, "type": DEFAULT}, content=content)
                copy["referenced_message"] = {**bare(seen), "type": found["type"]}
        return copy

    def guild_create(self, guild: Ref, *, all_members: bool) -> Payload:
        """What GUILD_CREATE says: without presences it lists no other member than the bot."""
        number = ident(guild)
        default = {"id": number, "name": "@everyone", "permissions": _PERMISSIONS, "position": 0}
        everyone = {**_STYLE, **default, "mentionable": False}
        inside = [c for c in self.channels.values() if c.get("guild_id") == number]
        me = self.member(self.bot, number, named=True)
        return {
            **self.guilds[number],
            "unavailable": False,
            "joined_at": self.now(),
            "member_count": len(self.users),
            "roles": [everyone, *self.guilds[number].get("roles", ())],
            "members": self.members(number) if all_members else [me],
            "channels": [c for c in inside if c["type"] != PUBLIC_THREAD],
            "threads": [c for c in inside if not c.get("thread_metadata", _GONE)["archived"]],
            "emojis": [],
            "features": [],
        }

    def members(self, guild: Ref) -> list[Payload]:
        return [self.member(user, guild, named=True) for user in self.users]
