"""Messages are dispatched again whose answer a crash or a restart cut off."""

from __future__ import annotations

import asyncio
import logging
from collections import deque
from collections.abc import Iterable, Mapping
from typing import Any, Final

import discord
from discord.ext import commands

from turnkeep import SessionKey, Turn
from turnkeep.adapter import ChatSession, Recorder, Resumer, ToHandle

from ._message import source_id

logger: Final = logging.getLogger("turnkeep")

_LINGER: Final = 5.0
"""The seconds in which another handler may ask for a message that none has in hand."""

_AT_ONCE: Final = 0.1
"""The seconds by which it may end earlier, together with others."""


class Resume:
    """The messages that are in hand, and those that are owed an answer.

    discord.py starts all handlers of a message at once and tells nothing of their end. So a
    message is in hand as long as a task runs that asked for its session, and for some seconds
    more.
    """

    def __init__(self, bot: commands.Bot | commands.AutoShardedBot, recorder: Recorder) -> None:
        self._bot = bot
        self._recorder = recorder
        self._resumer: Resumer | None = None
        self._has_begun = False
        self._held: dict[asyncio.Task[Any], list[Turn]] = {}
        self._lingering: deque[tuple[float, Turn]] = deque()
        """The messages that no task has in hand, and the time until which they are kept."""
        self._timer: asyncio.TimerHandle | None = None
        self._tasks: set[asyncio.Task[Any]] = set()

    @property
    def _name(self) -> str:
        return f"discord:{0 if self._bot.user is None else self._bot.user.id}"

    async def announce(self, key: SessionKey, message: discord.Message) -> None:
        """Owe the message an answer before it is recorded: Discord sends it only once."""
        await self._recorder.announce(key, source_id(message), self._to_handle(message))

    def _to_handle(self, message: discord.Message) -> ToHandle:
        return ToHandle(self._name, {"channel": message.channel.id, "message": message.id})

    async def take(self, session: ChatSession, message: discord.Message) -> None:
        """Owe the message an answer for as long as the current task, or another one, runs."""
        await self._recorder.owe(session, self._to_handle(message))
        turn, task = session.turn, asyncio.current_task()
        debt = self._recorder.debts.of(turn)
        if turn is None or task is None or debt is None:
            return
        if task not in self._held:
            self._held[task] = []
            task.add_done_callback(self._let_go)
        if turn not in self._held[task]:
            self._held[task].append(turn)
            debt.holders += 1

    def _let_go(self, task: asyncio.Task[Any]) -> None:
        for turn in self._held.pop(task):
            if (debt := self._recorder.debts.of(turn)) is not None:
                debt.holders -= 1
                self._settle_later(turn)

    def _settle_later(self, turn: Turn) -> None:
        loop = asyncio.get_running_loop()
        self._lingering.append((loop.time() + _LINGER, turn))
        if self._timer is None:
            self._timer = loop.call_later(_LINGER, self._settle_due)

    def _settle_due(self) -> None:
        """End what nobody has in hand any more, all of it in one task."""
        loop, due, self._timer = asyncio.get_running_loop(), list[Turn](), None
        while self._lingering and self._lingering[0][0] <= loop.time() + _AT_ONCE:
            due.append(self._lingering.popleft()[1])
        if self._lingering:
            self._timer = loop.call_at(self._lingering[0][0], self._settle_due)
        self._start(self._settle(due))

    async def _settle(self, turns: Iterable[Turn]) -> None:
        for turn in turns:
            await self._recorder.debts.settle(turn)

    def _start(self, work: Any) -> None:
        task = asyncio.create_task(work)
        self._tasks.add(task)
        task.add_done_callback(self._tasks.discard)

    def open(self) -> None:
        """Be ready for messages."""
        if self._bot.user is not None:  # else the bot has no name yet
            self._resumer = self._recorder.resumer(self._name, self._handle)

    async def start(self) -> None:
        """Dispatch the messages that are owed an answer, in their order, once."""
        if self._has_begun:
            return
        self._has_begun = True
        if self._resumer is None:
            self._resumer = self._recorder.resumer(self._name, self._handle)
        if self._resumer is not None:
            await self._resumer.run()
            self._resumer.watch()

    def start_soon(self) -> None:
        """Do the same when the current task has gone on."""
        self._start(self.start())

    async def _handle(self, update: Mapping[str, Any]) -> None:
        channel: Any = self._bot.get_channel(update["channel"])
        if channel is None:  # direct messages and archived threads are in no cache
            channel = await self._bot.fetch_channel(update["channel"])
        self._bot.dispatch("message", await channel.fetch_message(update["message"]))

    def close(self) -> None:
        """Leave what is cut off from now on to the next start."""
        self._recorder.debts.closing.add(self._name)
        if self._resumer is not None:
            self._resumer.stop()

    async def settle_all(self) -> None:
        """End what no handler has in hand; called before the cog leaves the store."""
        if self._timer is not None:
            self._timer.cancel()
            self._timer = None
        turns = [turn for _, turn in self._lingering]
        self._lingering.clear()
        await self._settle(turns)
