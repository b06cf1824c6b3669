"""The question of an event that is not recorded by itself, such as `/ask what is it?`."""

from __future__ import annotations

from collections.abc import Awaitable, Callable
from typing import TYPE_CHECKING, Self, TypeAlias

from .._errors import TurnkeepError
from .._records.turn import Turn
from .._session.conversation import Begun, Conversation
from .._session.reading import read_latest_exchange
from .._session.reply import Reply
from ._content import Content
from ._sent import is_as_sent

if TYPE_CHECKING:
    from ._chat import ChatSession

__all__ = ["Ask", "ChatReply", "check_question"]

Ask: TypeAlias = Callable[[Content | None], Awaitable["ChatSession | None"]]
"""A function that records what a user asks, and returns the session bound to it.

It gets the `prompt`, or None for what the event itself says. It returns None if that is unknown.
"""


class ChatReply(Reply):
    """A reply that first records the question, if the event in hand was not recorded."""

    def __init__(
        self, session: ChatSession, prompt: Content | None, *, keep_interrupted: bool
    ) -> None:
        self._session = session
        self._prompt = prompt
        super().__init__(
            session.conversation,
            session.turn,
            session.joined,
            keep_interrupted=keep_interrupted,
            again=session.was_answered,
        )

    async def __aenter__(self) -> Self:
        session = self._session
        if self._begun.to is None or self._prompt is not None:
            await session.take_question(self._prompt)
            self._conversation, self._begun = session.conversation, Begun(session.turn)
            self._again = session.was_answered
        return await super().__aenter__()


async def check_question(conversation: Conversation) -> None:
    """Raise `TurnkeepError` if the latest question of a session has an answer already."""
    latest = await read_latest_exchange(conversation.desk, conversation.key)
    if latest is None or latest.user is None:
        return
    if any(_answers(turn, latest.user) for turn in latest.answers):
        raise TurnkeepError(
            f"{conversation.where}nothing is asked here: the event in hand is not recorded, and "
            "the latest message has an answer. Give the question, answer(…, prompt=…), or store "
            "what the bot says by itself with append('assistant', …)"
        )


def _answers(turn: Turn, asked: Turn) -> bool:
    if turn.role != "assistant" or turn.interrupted or turn.hidden or is_as_sent(turn):
        return False
    return turn.answers_one_of((asked.id,)) or (turn.answers is None and turn.id > asked.id)
