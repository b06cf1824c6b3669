"""The type of a command's context, which has the session."""

from __future__ import annotations

from typing import Any

from discord.ext import commands

from turnkeep.adapter import ChatSession

__all__ = ["SessionContext"]


class SessionContext(commands.Context[Any]):
    """The context of a command, as a type: the cog gives each one its `chat_session`.

    >>> async def ask(ctx: SessionContext, *, question: str) -> None:
    ...     await ctx.chat_session.answer("42")
    """

    chat_session: ChatSession
    """The session of the channel, or of what the cog's `scope` says; None if that is None."""
