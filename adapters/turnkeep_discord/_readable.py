"""The readable form of Discord's markup for mentions, emojis and times."""

from __future__ import annotations

import re
from datetime import datetime, timedelta, timezone
from typing import Final

import discord

_MARK: Final = re.compile(
    r"<(?:(?P<kind>@[!&]?|#)(?P<id>\d{15,20})"
    r"|a?:(?P<emoji>\w{1,32}):\d{15,20}"
    r"|t:(?P<time>-?\d{1,13})(?::[tTdDfFR])?)>"
)
_EPOCH: Final = datetime(1970, 1, 1, tzinfo=timezone.utc)


def readable(text: str, message: discord.Message) -> str:
    """Return the text with names for mentions, words for emojis and dates (UTC) for times."""

    def replacement(mark: re.Match[str]) -> str:
        if mark["emoji"] is not None:
            return f":{mark['emoji']}:"
        if mark["time"] is not None:
            return _date(int(mark["time"])) or mark[0]
        return _mention(mark["kind"], int(mark["id"]), message)

    return _MARK.sub(replacement, text)


def _mention(kind: str, id: int, message: discord.Message) -> str:
    guild = message.guild
    if kind == "#":
        channel = None if guild is None else guild.get_channel_or_thread(id)
        return "#unknown-channel" if channel is None else f"#{channel.name}"
    if kind == "@&":
        cached = None if guild is None else guild.get_role(id)
        role = cached or discord.utils.get(message.role_mentions, id=id)
        return "@unknown-role" if role is None else f"@{role.name}"
    member = None if guild is None else guild.get_member(id)
    user = member or discord.utils.get(message.mentions, id=id)
    return "@unknown-user" if user is None else f"@{user.display_name}"


def _date(seconds: int) -> str | None:
    try:
        return f"{_EPOCH + timedelta(seconds=seconds):%Y-%m-%d %H:%M} UTC"
    except OverflowError:
        return None
