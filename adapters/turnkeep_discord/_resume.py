"""Messages are dispatched again whose answer a crash or a restart cut off."""

from __future__ import annotations

import asyncio
import logging
from collections.abc import Mapping
from typing import Any, Final

import discord
from discord.ext import commands

from turnkeep import SessionKey, Turn
from turnkeep.adapter import ChatSession, Recorder, Resumer, ToHandle

from ._message import source_id

logger: Final = logging.getLogger("turnkeep")

_LINGER: Final = 5.0
"""The seconds in which another handler may ask for a message that none has in hand."""


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
        self._timers: dict[asyncio.TimerHandle, Turn] = {}
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
        def settle() -> None:
            del self._timers[timer]
            self._start(self._recorder.debts.settle(turn))

        timer = asyncio.get_running_loop().call_later(_LINGER, settle)
        self._timers[timer] = turn

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
        turns = list(self._timers.values())
        for timer in self._timers:
            timer.cancel()
        self._timers.clear()
        for turn in turns:
            await self._recorder.debts.settle(turn)
