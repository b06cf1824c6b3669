"""The backfill: what happened while the bot was away is recorded before any newer message."""

from __future__ import annotations

import asyncio
import logging
import math
from collections.abc import Sequence
from typing import Final, NamedTuple

import discord

from turnkeep import SessionKey, SessionStore, TurnkeepError

from ._message import PREFIX

logger: Final = logging.getLogger("turnkeep")

_LATEST_TURNS: Final = 50
"""The number of a session's latest turns that are searched for the latest user message."""


class Fetched(NamedTuple):
    """The changes in a channel while the bot was away.

    - `missed`: the messages to record, the oldest first.
    - `edited`: recorded messages that were edited at some time, as they are now.
    - `gone`: the ids of recorded messages that were deleted.
    """

    missed: Sequence[discord.Message] = ()
    edited: Sequence[discord.Message] = ()
    gone: Sequence[int] = ()


class _Recorded:
    """The recorded messages of a channel, as far as the sessions were searched."""

    def __init__(self) -> None:
        self.ids: set[int] = set()
        self.newest = 0
        """The latest one that a user wrote."""


class Backfill:
    """Fetches up to `most` latest messages of each channel that has recorded messages.

    It starts at each new session with the gateway, because Discord replays nothing then. Each
    channel is fetched once, at the latest before a newer message of it is recorded.
    """

    def __init__(self, client: discord.Client, store: SessionStore, most: int) -> None:
        self._client = client
        self._store = store
        self._most = most
        self._fetched: set[int] = set()
        self._recorded: asyncio.Task[dict[int, _Recorded]] | None = None

    def start(self) -> None:
        """Note that the bot was away; it awaits nothing, so that no message comes first."""
        self._fetched = set()
        self._recorded = asyncio.create_task(self._all_recorded())

    async def channels(self) -> Sequence[int]:
        """Return the channels that may have missed messages, the latest active one first."""
        return [] if self._recorded is None else [*await self._recorded]

    async def fetch_missed(
        self,
        channel_id: int,
        before: discord.Message | None = None,
        key: SessionKey | None = None,
    ) -> Fetched:
        """Return what happened in the channel; a second call returns nothing.

        `before` is the newer message that arrived, and `key` is its session. A channel without
        messages in the latest sessions is looked up in that session.
        """
        if self._recorded is None or channel_id in self._fetched:
            return Fetched()
        fetched = Fetched()
        try:
            # Shielded: one caller may be cancelled while the others go on waiting.
            recorded = await asyncio.shield(self._recorded)
            if channel_id not in recorded and key is not None:
                recorded = await self._recorded_in(key)
            known = recorded.get(channel_id)
            if before is not None and known is not None and before.id <= known.newest:
                return fetched  # handled or delivered again: what was missed is newer than that
            if known is not None:
                fetched = await self._fetch(channel_id, before, known)
        except (discord.DiscordException, TurnkeepError, OSError) as error:
            logger.warning("channel %d: missed messages can't be fetched: %s", channel_id, error)
        self._fetched.add(channel_id)
        return fetched

    async def _fetch(
        self, channel_id: int, before: discord.Message | None, known: _Recorded
    ) -> Fetched:
        channel = await self._channel(channel_id) if before is None else before.channel
        if not isinstance(channel, discord.abc.Messageable) or not _shows_its_past(channel):
            return Fetched()
        newest_first = channel.history(limit=self._most, before=before, oldest_first=False)
        found = [message async for message in newest_first][::-1]
        here = {message.id for message in found}
        # With fewer than were asked for, these are all that the channel has.
        oldest = found[0].id if len(found) == self._most else 0
        end = math.inf if before is None else before.id
        return Fetched(
            [message for message in found if message.id > known.newest],
            [one for one in found if one.edited_at is not None and one.id in known.ids],
            sorted(one for one in known.ids - here if oldest <= one < end),
        )

    async def _channel(self, channel_id: int) -> object:
        # Direct messages and archived threads are in no cache.
        cached = self._client.get_channel(channel_id)
        return await self._client.fetch_channel(channel_id) if cached is None else cached

    async def _all_recorded(self) -> dict[int, _Recorded]:
        """Return the recorded messages of each channel, from the latest sessions."""
        found: dict[int, _Recorded] = {}
        for info in await self._store.list_sessions(prefix=PREFIX):
            for channel, recorded in (await self._recorded_in(info.key)).items():
                known = found.setdefault(channel, recorded)
                known.ids |= recorded.ids
                known.newest = max(known.newest, recorded.newest)
        return found

    async def _recorded_in(self, key: SessionKey) -> dict[int, _Recorded]:
        found: dict[int, _Recorded] = {}
        async for turn in self._store.session(key).turns(epoch="all", last=_LATEST_TURNS):
            for source in turn.source_ids:
                channel, _, message = source.partition(":")
                if channel.isdecimal() and message.isdecimal():
                    recorded = found.setdefault(int(channel), _Recorded())
                    recorded.ids.add(int(message))
                    if turn.role == "user":
                        recorded.newest = max(recorded.newest, int(message))
        # Where no user wrote, such as in a session of ephemeral answers, Discord may list nothing.
        return {channel: one for channel, one in found.items() if one.newest}


def _shows_its_past(channel: discord.abc.Messageable) -> bool:
    """Return False if Discord lists no messages to the bot, as if there were none.

    https://discord.com/developers/docs/resources/message#get-channel-messages
    """
    guild = getattr(channel, "guild", None)
    if guild is None or not isinstance(channel, (discord.abc.GuildChannel, discord.Thread)):
        return True
    return channel.permissions_for(guild.me).read_message_history
