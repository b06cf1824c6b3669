"""What people do on the emulated Discord: they write, edit, delete, forward, call and press.

Messages are returned as one with all intents sees them, interactions as the bot is told of them.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from datetime import datetime
from typing import Any, Final

from emulators import discord_components as components
from emulators.discord_commands import Commands
from emulators.discord_gateway import Gateway
from emulators.discord_interactions import COMMAND, COMPONENT, MODAL_SUBMIT, Interactions
from emulators.discord_payloads import (
    REPLY,
    VOICE_MESSAGE,
    Payload,
    Ref,
    World,
    ident,
    trimmed,
)
from emulators.discord_rest import Rest

_FORWARDED: Final = (
    "type",
    "content",
    "embeds",
    "attachments",
    "timestamp",
    "edited_timestamp",
    "flags",
    "mentions",
    "mention_roles",
    "sticker_items",
    "components",
)
_FACE: Final = {"global_name": None, "discriminator": "0000", "avatar": None, "public_flags": 0}


class People:
    """A part of `DiscordEmulator`. Everything that names a thing takes its id or the thing."""

    _world: World
    _gateway: Gateway
    _rest: Rest
    _commands: Commands
    _interactions: Interactions

    async def say(
        self,
        channel: Ref,
        author: Ref,
        text: str,
        *,
        mentions_bot: bool = False,
        reply_to: Ref | None = None,
        attachments: Mapping[str, bytes] | None = None,
        files: Sequence[Payload] = (),
        at: datetime | None = None,
        **fields: Any,
    ) -> Payload:
        """Post a message, and tell every connected bot.

        `mentions_bot` mentions it without a word in the text, as a reply with a ping does;
        `<@id>` in the text mentions too. `reply_to` pings the one replied to. `attachments` maps
        file names to contents, `files` are there already. `at` dates it, in its id too, which is
        where discord.py reads the time. `fields` replace or extend the fields of the message
        (`webhook_id=…`, `type=…`, `message_snapshots=…`).
        """
        world = self._world
        place = ident(channel)
        self._rest.wake(place)
        uploaded = [world.files.attach(place, *file) for file in (attachments or {}).items()]
        text, files = trimmed(text), [*uploaded, *files]
        message = world.message(channel, author, text, at=at, attachments=files)
        pinged = [world.bot] if mentions_bot else []
        if reply_to is not None:
            original = world.messages[ident(channel)][ident(reply_to)]
            message |= {"type": REPLY, "message_reference": world.reference(original)}
            pinged.append(original["author"])
        message["mentions"] += [user for user in pinged if user not in message["mentions"]]
        message |= fields
        self._gateway.dispatch_message("MESSAGE_CREATE", message)
        return world.seen(message, content=True)

    async def post(self, forum: Ref, author: Ref, title: str, text: str) -> Payload:
        """Begin a forum post: the thread, whose first message has its id."""
        thread = self._rest.start_thread(forum, title, author)
        first = self._world.message(thread, author, text, id=thread["id"])
        self._gateway.dispatch_message("MESSAGE_CREATE", first)
        return thread

    async def speak(self, channel: Ref, author: Ref, data: bytes, seconds: float) -> Payload:
        """Post a voice message: one audio file with its length and its shape, and no text."""
        file = self._world.files.attach(ident(channel), "voice-message.ogg", data)
        file |= {"duration_secs": seconds, "waveform": "AAAA"}
        return await self.say(channel, author, "", flags=VOICE_MESSAGE, files=[file])

    async def forward(self, message: Payload, channel: Ref, author: Ref) -> Payload:
        """Forward a message: an empty one with a snapshot, which does not say who wrote it."""
        reference = {**self._world.reference(message), "type": 1}
        # It names neither the author of the message nor its place.
        snapshots = [{"message": {key: message[key] for key in _FORWARDED if key in message}}]
        return await self.say(
            channel, author, "", message_reference=reference, message_snapshots=snapshots
        )

    async def post_webhook(
        self, channel: Ref, name: str, text: str, *, application: Ref | None = None, **fields: Any
    ) -> Payload:
        """Post a message through the channel's webhook, under a name of its own.

        `application` is the bot that made the webhook, as proxies do: its messages tell of it.
        """
        owner = None if application is None else ident(application)
        if owner is not None:
            fields["application_id"] = owner
        number = self._world.snowflake()
        webhook = self._world.webhooks.setdefault((ident(channel), owner), number)
        face = {"id": webhook, "username": name, "bot": True, **_FACE}
        return await self.say(channel, face, text, webhook_id=webhook, **fields)

    async def edit(self, message: Payload, text: str) -> Payload:
        """Change a message's text."""
        self._rest.check_active(message["channel_id"])
        return self._update(
            message, {"content": trimmed(text), "edited_timestamp": self._world.now()}
        )

    async def unfurl(self, message: Payload) -> Payload:
        """Add the preview of a link: an update in which nothing was edited."""
        return self._update(message, {"embeds": [{"type": "link", "title": "A page"}]})

    def _update(self, message: Payload, change: Payload) -> Payload:
        stored = self._world.messages[message["channel_id"]][message["id"]]
        stored |= change
        self._gateway.dispatch_message("MESSAGE_UPDATE", stored)
        return self._world.seen(stored, content=True)

    async def delete(self, message: Payload) -> None:
        """Delete a message, whoever wrote it."""
        self._rest.remove_messages(message["channel_id"], [message["id"]])

    async def react(self, message: Payload, user: Ref, emoji: str, *, remove: bool = False) -> None:
        """Add a reaction to a message, or take it back.

        https://discord.com/developers/docs/events/gateway-events#message-reaction-add
        """
        kind = "MESSAGE_REACTION_REMOVE" if remove else "MESSAGE_REACTION_ADD"
        about: Payload = {"emoji": {"id": None, "name": emoji}, "burst": False, "type": 0}
        self._about(kind, message, user, about)

    async def vote(self, message: Payload, user: Ref, answer: int, *, remove: bool = False) -> None:
        """Vote for an answer of a poll, or take the vote back.

        https://discord.com/developers/docs/events/gateway-events#message-poll-vote-add
        """
        kind = "MESSAGE_POLL_VOTE_REMOVE" if remove else "MESSAGE_POLL_VOTE_ADD"
        self._about(kind, message, user, {"answer_id": answer})

    def _about(self, kind: str, message: Payload, user: Ref, about: Payload) -> None:
        place = self._world.channels[message["channel_id"]]
        ids = {"user_id": ident(user), "message_id": message["id"], "channel_id": place["id"]}
        if "guild_id" in place:
            ids["guild_id"] = place["guild_id"]
        self._gateway.dispatch(kind, {**ids, **about})

    async def bulk_delete(self, messages: Sequence[Payload]) -> None:
        """Delete several messages of one channel in one event, as a moderator's bot does."""
        numbers = [message["id"] for message in messages]
        self._rest.remove_messages(messages[0]["channel_id"], numbers, bulk=True)

    async def redeliver(self, message: Payload) -> None:
        """Send the same MESSAGE_CREATE again, as it was when it was returned."""
        self._gateway.dispatch_message("MESSAGE_CREATE", message)

    async def slash(
        self, channel: Ref, user: Ref, name: str, options: Mapping[str, Any] | None = None
    ) -> Payload:
        """Use a slash command (`"group sub"` for one in a group) that the bot has synced.

        `LookupError` if there is none of this name, or it does not take these options: a client
        would not offer it.
        """
        data = self._commands.slash(channel, name, options or {})
        return self._interactions.begin(channel, user, COMMAND, data)

    async def user_menu(self, channel: Ref, user: Ref, name: str, target: Ref) -> Payload:
        """Use a command in the context menu of a person."""
        data = self._commands.on_user(channel, name, target)
        return self._interactions.begin(channel, user, COMMAND, data)

    async def message_menu(self, user: Ref, name: str, message: Payload) -> Payload:
        """Use a command in the context menu of a message."""
        data = self._commands.on_message(name, message)
        return self._interactions.begin(message["channel_id"], user, COMMAND, data)

    async def press(self, user: Ref, message: Payload, label: str) -> Payload:
        """Press a button of a message."""
        return self._use(user, message, components.pressed(message, label))

    async def choose(self, user: Ref, message: Payload, *choices: Ref) -> Payload:
        """Use the select menu of a message: texts by label, users, roles or channels by id."""
        return self._use(user, message, components.chosen(self._world, message, choices))

    def _use(self, user: Ref, message: Payload, data: Payload) -> Payload:
        where = message["channel_id"]
        stored = self._world.messages[where][message["id"]]
        return self._interactions.begin(where, user, COMPONENT, data, stored)

    def form(self, interaction: Payload) -> Payload | None:
        """The form that the bot opened in answer to an interaction, if it did."""
        return self._interactions.modal(interaction)

    async def submit(self, user: Ref, interaction: Payload, **answers: Any) -> Payload:
        """Send the form that was opened, with the answers by `custom_id`."""
        form = self.form(interaction)
        if form is None:
            raise LookupError("The bot opened no form: wait for `form` first")
        guild = interaction.get("guild_id")
        data = components.filled(self._world, guild, form, answers)
        touched = self._interactions.touched(interaction)
        where = interaction["channel_id"]
        return self._interactions.begin(where, user, MODAL_SUBMIT, data, touched)
