"""The reading of an event: its session, its sender and what may be recorded of it."""

from __future__ import annotations

from typing import Final

import discord

from turnkeep import Sender, SessionKey
from turnkeep.adapter import Content, Quoted, Recorder, as_key, private_key

from ._content import content_of, quoted_of
from ._ephemeral import is_private
from ._message import (
    Scope,
    Where,
    author_of,
    is_per_user,
    scope_function,
    sender_of,
    source_id_at,
)


class Reading:
    """Reads events by the options of the cog: its scope, `record_webhooks` and `ignore`."""

    def __init__(self, recorder: Recorder, scope: Scope, *, webhooks: bool) -> None:
        self._recorder = recorder
        self._key_of = scope_function(scope)
        self._webhooks = webhooks
        self.scope: Final[Scope] = scope

    def key(self, where: Where) -> SessionKey | None:
        """Return the session's key, or None if the scope has none."""
        return as_key(self._key_of(where))

    def key_of_sent(self, message: discord.Message) -> SessionKey | None:
        """Return the session of a message that the bot sent, or None if it is unknown.

        A reply belongs to the session of the message that it answers. If each user has a session,
        any other message in a server is in none that is known.
        """
        if self.ignores(message):
            return None
        if message.flags.ephemeral and not is_private(message):
            key, asked = self.key(message), message.interaction_metadata
            return None if key is None or asked is None else private_key(key, asked.user.id)
        reference = message.reference
        if reference is not None and reference.message_id is not None:
            known = self._recorder.key_of(source_id_at(reference.channel_id, reference.message_id))
            if known is not None:
                return known
        if message.guild is not None and is_per_user(self.scope):
            return None
        return self.key(message)

    def sender_of(self, message: discord.Message) -> Sender | None:
        """Return the sender of a message, or None if its kind of author is not recorded."""
        return sender_of(message, webhooks=self._webhooks)

    def content_of(self, message: discord.Message) -> Content:
        """Return a message as it is recorded, without what may not be recorded of others."""
        return content_of(message, self.ignores)

    def quoted_of(self, message: discord.Message) -> Quoted | None:
        """Return the message that another one repeats, if it may be repeated."""
        return quoted_of(message, self.ignores)

    def ignores(self, where: Where | discord.MessageReference) -> bool:
        """Return whether its author, its channel, thread or server is ignored.

        Discord says of a forwarded message where it is from. Its author is known if the bot has
        seen it.
        """
        if isinstance(where, discord.MessageReference):
            original = where.cached_message
            is_elsewhere = self._recorder.ignores(where.channel_id, where.guild_id)
            return is_elsewhere or (original is not None and self.ignores(original))
        channel = where.channel
        parent = channel.parent_id if isinstance(channel, discord.Thread) else None
        return self._recorder.ignores(
            author_of(where).id,
            None if channel is None else channel.id,
            None if where.guild is None else where.guild.id,
            parent,
        )
