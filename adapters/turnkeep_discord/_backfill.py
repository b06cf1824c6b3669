"""The backfill: messages from while the bot was away are recorded before any newer one."""

from __future__ import annotations

import asyncio
import logging
from collections.abc import Sequence
from typing import Final

import discord

from turnkeep import SessionKey, SessionStore, TurnkeepError

from ._message import PREFIX

logger: Final = logging.getLogger("turnkeep")

_LATEST_TURNS: Final = 50
"""The number of a session's latest turns that are searched for the latest user message."""


class Backfill:
    """Fetches up to `most` missed messages of each channel that has recorded messages.

    It starts at each new session with the gateway, because Discord replays nothing then. Each
    channel is fetched once, at the latest before a newer message of it is recorded.
    """

    def __init__(self, client: discord.Client, store: SessionStore, most: int) -> None:
        self._client = client
        self._store = store
        self._most = most
        self._fetched: set[int] = set()
        self._newest: asyncio.Task[dict[int, int]] | None = None

    def start(self) -> None:
        """Note that the bot was away; it awaits nothing, so that no message comes first."""
        self._fetched = set()
        self._newest = asyncio.create_task(self._newest_recorded())

    async def channels(self) -> Sequence[int]:
        """Return the channels that may have missed messages, the latest active one first."""
        return [] if self._newest is None else [*await self._newest]

    async def fetch_missed(
        self,
        channel_id: int,
        before: discord.Message | None = None,
        key: SessionKey | None = None,
    ) -> list[discord.Message]:
        """Return the channel's missed messages, the oldest first; a second call returns none.

        `before` is the newer message that arrived, and `key` is its session. A channel without
        messages in the latest sessions is looked up in that session.
        """
        if self._newest is None or channel_id in self._fetched:
            return []
        try:
            # Shielded: one caller may be cancelled while the others go on waiting.
            newest = await asyncio.shield(self._newest)
            if channel_id not in newest and key is not None:
                newest = await self._newest_of(key)
            after = newest.get(channel_id)
            if before is not None and after is not None and before.id <= after:
                return []  # handled or delivered again: what was missed is newer than that
            missed = [] if after is None else await self._fetch(channel_id, before, after)
        except (discord.DiscordException, TurnkeepError, OSError) as error:
            logger.warning("channel %d: missed messages can't be fetched: %s", channel_id, error)
            missed = []
        self._fetched.add(channel_id)
        return missed

    async def _fetch(
        self, channel_id: int, before: discord.Message | None, after: int
    ) -> list[discord.Message]:
        channel = await self._channel(channel_id) if before is None else before.channel
        if not isinstance(channel, discord.abc.Messageable):
            return []
        newest_first = channel.history(
            limit=self._most, before=before, after=discord.Object(after), oldest_first=False
        )
        return [message async for message in newest_first][::-1]

    async def _channel(self, channel_id: int) -> object:
        # Direct messages and archived threads are in no cache.
        cached = self._client.get_channel(channel_id)
        return await self._client.fetch_channel(channel_id) if cached is None else cached

    async def _newest_recorded(self) -> dict[int, int]:
        """Return the latest recorded message of each channel, from the latest sessions."""
        newest: dict[int, int] = {}
        for info in await self._store.list_sessions(prefix=PREFIX):
            for channel, message in (await self._newest_of(info.key)).items():
                newest[channel] = max(newest.get(channel, 0), message)
        return newest

    async def _newest_of(self, key: SessionKey) -> dict[int, int]:
        newest: dict[int, int] = {}
        async for turn in self._store.session(key).turns(epoch="all", last=_LATEST_TURNS):
            for source in turn.source_ids if turn.role == "user" else ():
                channel, _, message = source.partition(":")
                if channel.isdecimal() and message.isdecimal():
                    newest[int(channel)] = max(newest.get(int(channel), 0), int(message))
        return newest
