"""What was said while the bot was away, fetched before anything newer is recorded."""

from __future__ import annotations

import asyncio
import logging
from collections.abc import Sequence
from typing import Final

import discord

from turnkeep import SessionKey, SessionStore, TurnkeepError

from ._message import PREFIX

logger: Final = logging.getLogger("turnkeep")

_LOOKED_AT: Final = 50
"""How many of a session's latest turns are looked at for its latest message of a user."""


class Backfill:
    """Fetches up to `most` missed messages of each channel whose history is known.

    It begins at each new session with the gateway, for then Discord replays nothing. A channel
    is fetched once, at the latest when something newer comes in it, which then stands behind.
    """

    def __init__(self, client: discord.Client, store: SessionStore, most: int) -> None:
        self._client = client
        self._store = store
        self._most = most
        self._fetched: set[int] = set()
        self._newest: asyncio.Task[dict[int, int]] | None = None

    def begin(self) -> None:
        """The bot was away; awaits nothing, so that no message comes between."""
        self._fetched = set()
        self._newest = asyncio.create_task(self._newest_recorded())

    async def channels(self) -> Sequence[int]:
        """The channels that may have missed something, the one written in last first."""
        return [] if self._newest is None else [*await self._newest]

    async def missed(
        self,
        channel_id: int,
        before: discord.Message | None = None,
        key: SessionKey | None = None,
    ) -> list[discord.Message]:
        """What was said in the channel since, the oldest first; nothing the second time.

        `key` is that of the session which something newer belongs to: a channel that is not
        among those of the sessions that were written last is looked up there.
        """
        if self._newest is None or channel_id in self._fetched:
            return []
        try:
            # Whoever waits for it may be cancelled; the others go on waiting.
            newest = await asyncio.shield(self._newest)
            if channel_id not in newest and key is not None:
                newest = await self._newest_of(key)
            after = newest.get(channel_id)
            missed = [] if after is None else await self._fetch(channel_id, before, after)
        except (discord.DiscordException, TurnkeepError, OSError) as error:
            logger.warning("channel %d: what was missed can't be fetched: %s", channel_id, error)
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
        # A direct message, or a thread that is archived, is in no cache.
        known = self._client.get_channel(channel_id)
        return await self._client.fetch_channel(channel_id) if known is None else known

    async def _newest_recorded(self) -> dict[int, int]:
        """The latest recorded message of each channel, of the sessions that were written last."""
        newest: dict[int, int] = {}
        for info in await self._store.list_sessions(prefix=PREFIX):
            for channel, message in (await self._newest_of(info.key)).items():
                newest[channel] = max(newest.get(channel, 0), message)
        return newest

    async def _newest_of(self, key: SessionKey) -> dict[int, int]:
        newest: dict[int, int] = {}
        async for turn in self._store.session(key).turns(epoch="all", last=_LOOKED_AT):
            for source in turn.source_ids if turn.role == "user" else ():
                channel, _, message = source.partition(":")
                if channel.isdecimal() and message.isdecimal():
                    newest[int(channel)] = max(newest.get(int(channel), 0), int(message))
        return newest
