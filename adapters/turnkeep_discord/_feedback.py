"""Reactions and votes on Discord, for bots whose authors choose to record them."""

from __future__ import annotations

import logging
from collections.abc import Callable
from typing import Final

import discord

from turnkeep import Sender, SessionKey
from turnkeep.adapter import Feedback, Recorder

from ._message import source_id_at

logger: Final = logging.getLogger("turnkeep")


class DiscordFeedback:
    """Records people's reactions and their votes in polls."""

    def __init__(
        self,
        client: discord.Client,
        recorder: Recorder,
        key_of: Callable[[discord.Message], SessionKey | None],
    ) -> None:
        self._client = client
        self._recorder = recorder
        self._feedback = Feedback(recorder)
        self._key_of = key_of

    async def record_reaction(self, payload: discord.RawReactionActionEvent) -> None:
        """Record a reaction that was added, or take it back."""
        name = payload.emoji.name or "an emoji"
        shown = f":{name}:" if payload.emoji.is_custom_emoji() else name
        is_added = payload.event_type == "REACTION_ADD"
        emoji = payload.emoji.id or name
        await self._record(payload, "reaction", shown if is_added else "", f"reaction:{emoji}")

    async def record_vote(self, payload: discord.RawPollVoteActionEvent, *, is_added: bool) -> None:
        """Record a vote, or take it back; a person may have several in one poll."""
        message = await self._message(payload.channel_id, payload.message_id)
        poll = None if message is None else message.poll
        answer = None if poll is None else poll.get_answer(payload.answer_id)
        if poll is None or answer is None:
            return
        shown = f"{poll.question} {answer.text}" if is_added else ""
        await self._record(payload, "vote", shown, f"vote:{payload.answer_id}")

    async def _record(
        self,
        payload: discord.RawReactionActionEvent | discord.RawPollVoteActionEvent,
        kind: str,
        shown: str,
        name: str,
    ) -> None:
        about = source_id_at(payload.channel_id, payload.message_id)
        key, me = self._recorder.key_of(about), self._client.user
        if key is None:
            message = await self._message(payload.channel_id, payload.message_id)
            key = None if message is None else self._key_of(message)
        sender = await self._sender(payload)
        ids = payload.user_id, payload.channel_id, payload.guild_id
        if key is None or sender is None or me is None or self._recorder.ignores(*ids):
            return
        await self._feedback.record(
            key,
            kind,
            shown,
            source_id=f"{name}:{about}:{payload.user_id}",
            sender=sender,
            about=about,
            own_name=me.display_name,
        )

    async def _sender(
        self, payload: discord.RawReactionActionEvent | discord.RawPollVoteActionEvent
    ) -> Sender | None:
        guild = None if payload.guild_id is None else self._client.get_guild(payload.guild_id)
        user = (guild.get_member(payload.user_id) if guild else None) or self._client.get_user(
            payload.user_id
        )
        try:
            user = user or await self._client.fetch_user(payload.user_id)
        except discord.HTTPException as error:
            logger.warning("user %d can't be fetched: %s", payload.user_id, error)
            return None
        return None if user.bot else Sender(str(user.id), user.display_name)

    async def _message(self, channel_id: int, message_id: int) -> discord.Message | None:
        cached = discord.utils.get(self._client.cached_messages, id=message_id)
        if cached is not None:
            return cached
        try:
            channel = self._client.get_partial_messageable(channel_id)
            return await channel.fetch_message(message_id)
        except discord.HTTPException as error:
            logger.warning("message %d can't be fetched: %s", message_id, error)
            return None
