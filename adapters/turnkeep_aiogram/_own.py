"""The messages that a bot sends by itself, beside its answers."""

from __future__ import annotations

from aiogram.types import Message, Update

from turnkeep import SessionKey
from turnkeep.adapter import Content, Recorder, edit_as_sent

from ._intake import Intake
from ._message import is_of_own_inline_mode, message_of, source_id


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
            key,
            self._intake.content_of(message),
            source_id=source_id(message),
            text=text,
            quoted=self._intake.quoted_of(message),
        )

    async def capture(self, message: Message, copied: Content = "") -> None:
        """Record a message that capture has seen, if its session is known.

        `copied` is the content of a copy.
        """
        key, content = self._intake.key_of_sent(message), copied or self._intake.content_of(message)
        if key is not None and content:
            source = source_id(message)
            quoted = self._intake.quoted_of(message)
            await self._recorder.record_sent(
                key, content, source_id=source, text=None, quoted=quoted
            )

    async def capture_inline(self, update: Update) -> None:
        """Record a result of the bot's own inline mode that somebody has chosen, and its edits.

        Such a result is often a placeholder, which the bot edits into its answer.
        """
        message = message_of(update)
        if message is None or update.callback_query is not None:
            return
        if is_of_own_inline_mode(message):
            await (self.edit if self._intake.is_change(update) else self.capture)(message)

    async def has_posted(self, message: Message) -> bool:
        """Return whether a message is recorded as one of the bot's own."""
        key, source = self._intake.key_of_sent(message), source_id(message)
        if key is None or source is None:
            return False
        turn = await self._recorder.store.session(key).find(source)
        return turn is not None and turn.role == "assistant"

    async def edit(self, message: Message) -> None:
        """Edit a message that capture has recorded."""
        key, source = self._intake.key_of_sent(message), source_id(message)
        if key is not None and source is not None and (content := self._intake.content_of(message)):
            await edit_as_sent(self._recorder.store.session(key), source, content)
