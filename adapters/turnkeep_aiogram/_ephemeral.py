"""The way of an answer to an ephemeral message, which only one person of a group sees.

https://core.telegram.org/bots/features#ephemeral-messages
"""

from __future__ import annotations

from typing import Any

from aiogram import Bot
from aiogram.exceptions import TelegramBadRequest
from aiogram.methods import EditEphemeralMessageText
from aiogram.types import EphemeralMessageParameters, Message, ReplyParameters, Update

from ._message import MaybeInaccessible, is_ephemeral, listener_of, place_of
from ._outlet import Render, Rich, TelegramOutlet


def ephemeral_outlet(
    update: Update, message: MaybeInaccessible, bot: Bot, render: Render | None, rich: Rich | None
) -> EphemeralOutlet | None:
    """Return the outlet of an ephemeral message, or None for any other message."""
    if not is_ephemeral(message) or (listener := listener_of(update, bot.id)) is None:
        return None
    query = update.callback_query
    query_id = None if query is None else query.id
    return EphemeralOutlet(
        message, bot, listener=listener, query_id=query_id, render=render, rich=rich
    )


class EphemeralOutlet(TelegramOutlet):
    """Sends answers that only one person sees, and never to the whole group.

    A bot that is no administrator may begin its answer within 15 seconds. If Telegram refuses
    the answer, its error is raised.
    """

    # The server refuses longer edits (https://github.com/tdlib/telegram-bot-api/issues/881).
    limit: int = 1024
    edited: frozenset[str] = frozenset(EditEphemeralMessageText.model_fields)

    def __init__(
        self,
        message: MaybeInaccessible,
        bot: Bot,
        *,
        listener: int,
        query_id: str | None = None,
        render: Render | None = None,
        rich: Rich | None = None,
    ) -> None:
        self._listener = listener
        self._query_id = query_id
        self._is_late = False
        super().__init__(message, bot, render=render, rich=rich)
        self.place = place_of(message, listener)

    @property
    def _target(self) -> dict[str, Any]:
        query_id = None if self._is_late else self._query_id
        to = EphemeralMessageParameters(receiver_user_id=self._listener, callback_query_id=query_id)
        fields = super()._target | {"ephemeral_message_parameters": to}
        message = self._message
        if query_id is None and not self._is_late and isinstance(message, Message):
            number = message.ephemeral_message_id
            fields["reply_parameters"] = ReplyParameters(ephemeral_message_id=number)
        return fields

    async def working(self) -> None:
        """Do nothing: the whole group would see "typing"."""

    async def send(self, text: str, buttons: Any = None) -> str | None:
        """Send a piece of the answer and return its source id; see `turnkeep.adapter.Outlet`."""
        try:
            return await super().send(text, buttons)
        except TelegramBadRequest:
            if self._is_late:
                raise
        self._is_late = True  # administrators may send one at any time, if it answers nothing
        return await super().send(text, buttons)

    async def _delete(self, sent: Message) -> None:
        assert sent.ephemeral_message_id is not None
        await self._bot.delete_ephemeral_message(
            chat_id=sent.chat.id,
            receiver_user_id=self._listener,
            ephemeral_message_id=sent.ephemeral_message_id,
        )

    async def _edit_text(self, sent: Message, fields: dict[str, Any]) -> object:
        assert sent.ephemeral_message_id is not None
        return await self._bot.edit_ephemeral_message_text(
            chat_id=sent.chat.id,
            receiver_user_id=self._listener,
            ephemeral_message_id=sent.ephemeral_message_id,
            **fields,
        )
