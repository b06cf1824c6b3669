"""Which session a Discord message belongs to, what its id is, and who wrote it."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any, Final, Literal, TypeAlias

import discord
from discord.ext import commands

from turnkeep import Sender, SessionKey
from turnkeep.adapter import AccountScope

CHANNEL: Final = "discord"
PREFIX: Final = f"{CHANNEL}:"

Where: TypeAlias = discord.Message | discord.Interaction | commands.Context[Any]
"""What has a channel and an author: a message, an interaction, the context of a command."""

ScopeName: TypeAlias = Literal["channel", "parent", "user_in_channel", "member", "user", "guild"]
ScopeFunction: TypeAlias = Callable[[Where], SessionKey | str | None]
Scope: TypeAlias = ScopeName | commands.BucketType | ScopeFunction
"""Who shares a session, in the words of discord.py's `BucketType` where it has one.

`"channel"`: a channel, and each thread and forum post by itself. `"parent"`: a channel with
all of its threads. `"user_in_channel"`: each user of a channel by himself. `"member"`: each
member of a server. `"user"`: a user, wherever he writes; its key, `discord:user:42`, has no
chat. `"guild"`: a server. Or a function from a message, an interaction or a context to a key,
or None for no session. In direct messages each means the user or the channel of two.
"""

_BUCKETS: Final = {
    commands.BucketType.channel: "channel",
    commands.BucketType.member: "member",
    commands.BucketType.user: "user",
    commands.BucketType.guild: "guild",
}

# What a user writes; every other type is Discord's own notice, also some that `is_system`
# does not count as such (a thread's starter, the result of a poll).
_WRITTEN: Final = (discord.MessageType.default, discord.MessageType.reply)


def scope_function(scope: Scope) -> ScopeFunction:
    """The function of a scope; raises `ValueError` where there is no such scope."""
    name = _BUCKETS.get(scope) if isinstance(scope, commands.BucketType) else scope
    if callable(name):
        return name
    if name not in ("channel", "parent", "user_in_channel", "member", "user", "guild"):
        raise ValueError(
            "scope is 'channel', 'parent', 'user_in_channel', 'member', 'user', 'guild', the "
            f"BucketType of one of them, or a function, not {scope!r}"
        )

    def key_of(where: Where) -> SessionKey | None:
        user = author_of(where).id
        if name == "user":
            return SessionKey(CHANNEL, user=user)
        if where.channel is None:
            return None
        if name in ("guild", "member") and where.guild is not None:
            # A server's oldest channel may have the server's own id.
            return SessionKey(
                CHANNEL, f"guild-{where.guild.id}", user=user if name == "member" else None
            )
        thread = where.channel if name == "parent" else None
        parent = thread.parent_id if isinstance(thread, discord.Thread) else where.channel.id
        return SessionKey(CHANNEL, parent, user=user if name == "user_in_channel" else None)

    return key_of


def per_account(bot: discord.Client, scope: Scope = "channel") -> ScopeFunction:
    """A scope in which this bot has sessions of its own, for several bots over one store."""

    def account_of(_: Where) -> int | None:
        return None if bot.user is None else bot.user.id

    return AccountScope(scope_function(scope), account_of, is_per_user=is_per_user(scope))


def is_per_user(scope: Scope) -> bool:
    """Whether a user's session can't be told by the channel alone; False for your own function."""
    name = _BUCKETS.get(scope) if isinstance(scope, commands.BucketType) else scope
    if callable(name):
        return isinstance(name, AccountScope) and name.is_per_user
    return name in ("user_in_channel", "member", "user")


def author_of(where: Where) -> discord.User | discord.Member:
    """Who wrote, pressed or called; for what a bot sends in a direct message, to whom."""
    author = where.user if isinstance(where, discord.Interaction) else where.author
    if author.bot and isinstance(where.channel, discord.DMChannel):
        return where.channel.recipient or author
    return author


def session_key(channel_id: int) -> SessionKey:
    """The session of a channel; threads, forum posts and DMs have ids of their own."""
    return SessionKey(CHANNEL, channel_id)


def source_id(message: discord.Message | discord.PartialMessage) -> str:
    """The message's id among all of Discord's, `channel:message`.

    Link a reply to what it was sent as: `await reply.link(source_id(sent))`.
    """
    return source_id_at(message.channel.id, message.id)


def source_id_at(channel_id: int, message_id: int) -> str:
    """The source id of a message that Discord names by its ids alone."""
    return f"{channel_id}:{message_id}"


def sender_of(message: discord.Message, *, webhooks: bool = False) -> Sender | None:
    """Who wrote the message, or None if no user did: a bot, a webhook, or Discord itself.

    With `webhooks`, what a webhook posts is a user's, as a proxy does it (PluralKit); it is
    known by the webhook and the name that it shows.
    """
    if message.type not in _WRITTEN:
        return None
    if message.webhook_id is not None:
        # A bot's answer to an interaction comes by a webhook that is the application itself.
        is_answer = message.interaction_metadata or message.webhook_id == message.application_id
        if not webhooks or is_answer:
            return None
        return Sender(f"{message.webhook_id}-{message.author.name}", message.author.name)
    if message.author.bot:
        return None
    return Sender(str(message.author.id), message.author.display_name)


async def is_addressed(message: discord.Message, bot: discord.Client) -> bool:
    """Whether it is said to the bot: a direct message, a mention, a reply to the bot."""
    if message.guild is None:
        return True
    answered = message.reference.resolved if message.reference else None
    to = answered.author if isinstance(answered, discord.Message) else None
    return bot.user is not None and (bot.user in message.mentions or to == bot.user)
