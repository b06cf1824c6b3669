"""The messages that a bot sends by itself, beside its answers."""

from __future__ import annotations

from aiogram.types import Message

from turnkeep import SessionKey
from turnkeep.adapter import Recorder, edit_as_sent

from ._intake import Intake
from ._message import source_id


class OwnMessages:
    """Records the bot's own messages in the session of the place that they were sent to."""

    def __init__(self, recorder: Recorder, intake: Intake) -> None:
        self._recorder = recorder
        self._intake = intake

    async def record(
        self, message: Message, text: str | None, key: SessionKey | str | None
    ) -> None:
        """Record a message; see `SessionMiddleware.record_sent`."""
        key = self._intake.key_of_sent(message) if key is None else key
        await self._recorder.record_sent(
            key, self._intake.content_of(message), source_id=source_id(message), text=text
        )

    async def capture(self, message: Message) -> None:
        """Record a message that capture has seen, if its session is known."""
        key = self._intake.key_of_sent(message)
        if key is not None and self._intake.content_of(message):
            await self.record(message, None, key)

    async def edit(self, message: Message) -> None:
        """Edit a message that capture has recorded."""
        key, source = self._intake.key_of_sent(message), source_id(message)
        if key is not None and source is not None and (content := self._intake.content_of(message)):
            await edit_as_sent(self._recorder.store.session(key), source, content)
