"""What comes while the extension is reloaded, between the old cog and the new one."""

from __future__ import annotations

import asyncio
import logging
from collections.abc import Callable, Coroutine, Iterable, Mapping
from typing import Any, Final
from weakref import WeakKeyDictionary

from discord.ext import commands

logger: Final = logging.getLogger("turnkeep")

_PATIENCE: Final = 10.0
"""For how many seconds a new cog is waited for; the extension may have been unloaded for good."""

_MOST: Final = 1000

Listener = Callable[..., Coroutine[Any, Any, None]]


class Gap:
    """Keeps the events that the old cog listened to for the cog that comes next."""

    def __init__(self, bot: commands.Bot | commands.AutoShardedBot, names: Iterable[str]) -> None:
        self._bot = bot
        self._kept: list[tuple[str, tuple[Any, ...]]] = []
        self._ended = asyncio.Event()
        self._listeners = {name: self._keep(name) for name in names}
        self._replays: set[asyncio.Task[None]] = set()
        for name, listener in self._listeners.items():
            bot.add_listener(listener, name)
        self._timer = asyncio.get_running_loop().call_later(_PATIENCE, self.end)
        _gaps[bot] = self

    def _keep(self, name: str) -> Listener:
        async def keep(*payload: Any) -> None:
            if len(self._kept) == _MOST:
                logger.error("more than %d events came while the cog was reloaded", _MOST)
            if len(self._kept) <= _MOST:
                self._kept.append((name, payload))

        return keep

    def end(self) -> None:
        """Listens no more."""
        self._timer.cancel()
        for name, listener in self._listeners.items():
            self._bot.remove_listener(listener, name)
        _gaps.pop(self._bot, None)
        self._ended.set()

    def hand_over(self, listeners: Mapping[str, Listener]) -> None:
        """Ends it, and gives the new cog's listeners what it kept."""
        self.end()
        for name, payload in self._kept:
            task = asyncio.create_task(self._replay(listeners[name], name, payload))
            self._replays.add(task)
            task.add_done_callback(self._replays.discard)

    async def _replay(self, listener: Listener, name: str, payload: tuple[Any, ...]) -> None:
        try:
            await listener(*payload)
        # As discord.py does it.
        except Exception:  # noqa: BLE001
            await self._bot.on_error(name, *payload)

    async def wait(self) -> None:
        """Waits until there is a new cog, or none in sight."""
        await self._ended.wait()


_gaps: Final[WeakKeyDictionary[commands.Bot | commands.AutoShardedBot, Gap]] = WeakKeyDictionary()


def gap_of(bot: commands.Bot | commands.AutoShardedBot) -> Gap | None:
    """The gap that the bot is in, or None."""
    return _gaps.get(bot)
