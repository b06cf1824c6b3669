"""The session of the event in hand, for handlers whose decorators drop the parameter."""

from __future__ import annotations

from contextvars import ContextVar
from typing import Final, NamedTuple

from aiogram.types import CallbackQuery, Message, TelegramObject

from turnkeep import TurnkeepError
from turnkeep.adapter import ChatSession


class _Current(NamedTuple):
    event: TelegramObject
    session: ChatSession


_current: Final[ContextVar[_Current | None]] = ContextVar("turnkeep_current", default=None)


def chat_session(event: Message | CallbackQuery) -> ChatSession:
    """Return the session that the handler of this event gets as its parameter.

    >>> async def handler(message):
    ...     await chat_session(message).answer("Hello!")

    It works in the handler, in what the handler calls, and in tasks that it starts. Raises
    `TurnkeepError` anywhere else, and for an event without a session.
    """
    current = _current.get()
    if current is None or not _is_same(current.event, event):
        raise TurnkeepError(
            "this event has no session here: call chat_session(message) in its handler, under "
            "SessionMiddleware(store).setup(dp); elsewhere use store.session(key)"
        )
    return current.session


def event_in_hand() -> TelegramObject | None:
    """Return the event whose handler runs; None outside of handlers."""
    current = _current.get()
    return None if current is None else current.event


def _is_same(current: TelegramObject, event: TelegramObject) -> bool:
    if current is event:
        return True
    if isinstance(current, CallbackQuery):  # a handler may pass on the button's message
        if isinstance(event, CallbackQuery):
            return current.id == event.id
        return current.message is not None and _is_same(current.message, event)
    return (
        isinstance(current, Message) and isinstance(event, Message) and _ids(current) == _ids(event)
    )


def _ids(message: Message) -> tuple[object, ...]:
    own = message.business_connection_id, message.ephemeral_message_id
    return message.chat.id, message.message_id, *own


class in_hand:  # noqa: N801 (it is called as a function)
    """Make this the session of the event inside the block."""

    def __init__(self, event: TelegramObject, session: ChatSession) -> None:
        self._now = _Current(event, session)

    def __enter__(self) -> None:
        self._token = _current.set(self._now)

    def __exit__(self, *_: object) -> None:
        _current.reset(self._token)
