"""Commands of discord.py's own that come twice are handled once."""

from __future__ import annotations

from typing import Any, Final

from discord.ext import commands

from turnkeep import SessionStore
from turnkeep.adapter import Handled, Recent

from ._asked import source_of
from ._message import CHANNEL

_MAX_COMMANDS: Final = 10_000


class CommandsOnce:
    """The commands that are in hand, or were handled."""

    def __init__(self, bot: commands.Bot | commands.AutoShardedBot, store: SessionStore) -> None:
        self._bot = bot
        self._store = store
        self._begun: Recent[str | None, None] = Recent(_MAX_COMMANDS)
        self._of_bot: Handled | None = None

    @property
    def _handled(self) -> Handled:
        if self._of_bot is None:  # the bot has no id before it is logged in
            account = 0 if self._bot.user is None else self._bot.user.id
            self._of_bot = Handled(self._store, CHANNEL, account)
        return self._of_bot

    async def begin(self, ctx: commands.Context[Any]) -> bool:
        """Return False if the command has begun or was handled before."""
        name = source_of(ctx)
        if name in self._begun or (name is not None and await self._handled.has(name)):
            return False
        self._begun[name] = None
        return True

    async def end(self, ctx: commands.Context[Any]) -> None:
        """Remember that the command was handled."""
        if (name := source_of(ctx)) is not None:
            await self._handled.note(name)
