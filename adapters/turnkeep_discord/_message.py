"""The session, the id and the sender of a Discord message."""

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
"""An object with a channel and an author: a message, an interaction, a command's context."""

ScopeName: TypeAlias = Literal[
    "channel", "parent", "user_in_channel", "member", "user", "guild", "reply_chain"
]
ScopeFunction: TypeAlias = Callable[[Where], SessionKey | str | None]
Scope: TypeAlias = ScopeName | commands.BucketType | ScopeFunction
"""The users and channels that share a session, in the words of discord.py's `BucketType`.

- `"channel"`: each channel has a session, and so has each thread and forum post.
- `"parent"`: each channel has one session, with all of its threads.
- `"user_in_channel"`: each user has one session per channel.
- `"member"`: each user has one session per server.
- `"user"`: each user has one session everywhere; its key, `discord:user:42`, names no chat.
- `"guild"`: each server has one session.
- `"reply_chain"`: as `"channel"`, but on servers a window is the chain of replies up to the
  message in hand, also over messages from before the bot.
- a function of a message, an interaction or a context returns the key, or None for no session.

In direct messages, each of the names means the user, or the channel of the user and the bot.
"""

_CHAIN: Final = "reply_chain"
_BUCKETS: Final = {
    commands.BucketType.channel: "channel",
    commands.BucketType.member: "member",
    commands.BucketType.user: "user",
    commands.BucketType.guild: "guild",
}

# All other types are Discord's own notices, also some for which `is_system` is false
# (a thread's starter, the result of a poll).
_USER_TYPES: Final = (discord.MessageType.default, discord.MessageType.reply)


def scope_function(scope: Scope) -> ScopeFunction:
    """Return the function of a scope; raises `ValueError` for an unknown scope."""
    name = _BUCKETS.get(scope) if isinstance(scope, commands.BucketType) else scope
    if callable(name):
        return name
    name = "channel" if name == _CHAIN else name
    if name not in ("channel", "parent", "user_in_channel", "member", "user", "guild"):
        raise ValueError(
            "scope is 'channel', 'parent', 'user_in_channel', 'member', 'user', 'guild', "
            f"{_CHAIN!r}, the BucketType of one of them, or a function, not {scope!r}"
        )

    def key_of(where: Where) -> SessionKey | None:
        user = author_id(where)
        if name == "user":
            return SessionKey(CHANNEL, user=user)
        if where.channel is None:
            return None
        if name in ("guild", "member") and where.guild is not None:
            # The prefix is needed: a server's oldest channel may have the server's own id.
            return SessionKey(
                CHANNEL, f"guild-{where.guild.id}", user=user if name == "member" else None
            )
        thread = where.channel if name == "parent" else None
        parent = thread.parent_id if isinstance(thread, discord.Thread) else where.channel.id
        return SessionKey(CHANNEL, parent, user=user if name == "user_in_channel" else None)

    return key_of


def per_account(bot: discord.Client, scope: Scope = "channel") -> ScopeFunction:
    """Return a scope in which this bot has its own sessions, for several bots over one store."""

    def account_of(_: Where) -> int | None:
        return None if bot.user is None else bot.user.id

    return AccountScope(
        scope_function(scope),
        account_of,
        is_per_user=is_per_user(scope),
        is_chained=is_chained(scope),
    )


def is_chained(scope: Scope) -> bool:
    """Return whether windows are chains of replies."""
    return scope.is_chained if isinstance(scope, AccountScope) else scope == _CHAIN


def is_by_channel(scope: Scope) -> bool:
    """Return whether each channel's messages are in the channel's own session."""
    return scope in ("channel", commands.BucketType.channel, _CHAIN)


def is_per_user(scope: Scope) -> bool:
    """Return whether the session depends on the user; False for your own function."""
    name = _BUCKETS.get(scope) if isinstance(scope, commands.BucketType) else scope
    if callable(name):
        return isinstance(name, AccountScope) and name.is_per_user
    return name in ("user_in_channel", "member", "user")


def author_of(where: Where) -> discord.User | discord.Member:
    """Return the user who wrote, pressed or called.

    For a direct message that a bot sent, return its recipient.
    """
    author = where.user if isinstance(where, discord.Interaction) else where.author
    if author.bot and isinstance(where.channel, discord.DMChannel):
        return where.channel.recipient or author
    return author


def author_id(where: Where) -> int | str:
    """Return the id of the user who wrote; behind one webhook there may be several people."""
    if isinstance(where, discord.Message) and where.webhook_id is not None:
        return f"{where.webhook_id}-{where.author.name}"
    return author_of(where).id


def session_key(channel_id: int) -> SessionKey:
    """Return the session key of a channel; threads, forum posts and DMs have their own ids."""
    return SessionKey(CHANNEL, channel_id)


def source_id(message: discord.Message | discord.PartialMessage) -> str:
    """Return the message's unique id, `channel:message`.

    Link a reply to the message that you sent it as: `await reply.link(source_id(sent))`.
    """
    return source_id_at(message.channel.id, message.id)


def source_id_at(channel_id: int, message_id: int) -> str:
    """Return the source id that belongs to the ids of a channel and a message."""
    return f"{channel_id}:{message_id}"


def sender_of(message: discord.Message, *, webhooks: bool = False) -> Sender | None:
    """Return the user who wrote the message, or None for a bot, a webhook or Discord itself.

    With `webhooks`, the posts of a webhook count as a user's, because proxies post so
    (PluralKit). The id of that user consists of the webhook's id and the name that it shows.
    """
    if message.type not in _USER_TYPES:
        return None
    if message.webhook_id is not None:
        # A bot answers an interaction through a webhook, with the application's id.
        is_answer = message.interaction_metadata or message.webhook_id == message.application_id
        if not webhooks or is_answer:
            return None
        return Sender(str(author_id(message)), message.author.name)
    if message.author.bot:
        return None
    return Sender(str(message.author.id), message.author.display_name)


def original_of(message: discord.Message) -> discord.Message | None:
    """Return the message that this one replies to, or None if Discord did not send it along."""
    reference = message.reference
    if reference is None or reference.type is discord.MessageReferenceType.forward:
        return None
    original = reference.resolved or reference.cached_message
    return original if isinstance(original, discord.Message) else None


async def is_addressed(message: discord.Message, bot: discord.Client) -> bool:
    """Return whether it is addressed to the bot.

    That is a direct message, a reply to the bot, or a mention of the bot or of the role that a
    server keeps for it: Discord offers both under the bot's name.
    """
    if message.guild is None:
        return True
    if bot.user is None:
        return False
    original = original_of(message)
    is_reply = original is not None and original.author == bot.user
    roles = (role.tags for role in message.role_mentions)
    is_role = any(tags is not None and tags.bot_id == bot.user.id for tags in roles)
    return is_reply or is_role or bot.user in message.mentions
