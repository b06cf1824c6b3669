"""Presses of the buttons under answers, which stop one or ask for another one."""

from __future__ import annotations

import asyncio
from contextlib import suppress
from typing import Any

import discord

from turnkeep.adapter import AGAIN, STOP, AnswerOptions, Recorder, regenerate, under_way

from ._intake import Intake
from ._message import source_id


class Buttons:
    """The ready-made buttons of one cog's answers."""

    def __init__(self, recorder: Recorder, options: AnswerOptions, intake: Intake) -> None:
        self._recorder = recorder
        self._options = options
        self._intake = intake

    async def press(self, interaction: discord.Interaction) -> None:
        """Do what a pressed button says, if it is one of these."""
        data: Any = interaction.data or {}
        pressed, message = data.get("custom_id"), interaction.message
        if pressed not in (STOP, AGAIN) or message is None:
            return
        if (task := asyncio.current_task()) is not None:
            self._intake.order.tasks.add(task)
        with suppress(discord.HTTPException):  # Discord would say that the interaction failed
            await interaction.response.defer()
        by = str(interaction.user.id)
        if pressed == STOP:
            await under_way(self._recorder.store.desk).press(source_id(message), by)
            return
        again: Any = self._options.regenerate
        session = await self._intake.session_at(interaction)
        if again is not None and session is not None and session.outlet is not None:
            session.outlet.options = self._options
            await regenerate(session, source_id(message), by, again)
