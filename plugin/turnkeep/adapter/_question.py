"""The question of an event that is not recorded by itself, such as `/ask what is it?`."""

from __future__ import annotations

from collections.abc import Sequence
from types import TracebackType
from typing import Any, Protocol, Self

from msgspec import structs

from .._errors import TurnkeepError
from .._records.turn import Turn
from .._session.conversation import Begun, Conversation
from .._session.history import ShownWindow
from .._session.reading import read_latest_exchange
from .._session.reply import Reply
from .._window.options import HistoryOptions
from ..shapes import Shape
from ._content import Content
from ._owed import debts_of
from ._progress import AnswerProgress
from ._sent import is_as_sent

__all__ = ["ChatReply", "check_question"]


class Asked(Protocol):
    """The part of a chat's session that its reply needs."""

    turn: Turn | None
    joined: tuple[Turn, ...]
    was_answered: bool

    @property
    def conversation(self) -> Conversation: ...

    async def take_question(self, prompt: Content | None = None) -> None: ...

    async def begin_asking(self) -> None: ...

    async def end_asking(self) -> None: ...


class ChatReply(Reply):
    """A reply of a chat's session.

    It first records the question, if the event in hand was not recorded, and waits for its turn;
    with `checked`, whoever makes it has done both. If the message in hand is owed an answer, each
    result of a tool is stored at once. After a crash, the reply to the same message begins with
    these calls and results, so that no tool runs twice.

    With `replace` it takes the place of the message's earlier answer, which stays until this one
    is stored.
    """

    def __init__(
        self,
        session: Asked,
        *,
        keep_interrupted: bool,
        prompt: Content | None = None,
        checked: bool = False,
        replace: bool = False,
    ) -> None:
        self.progress: AnswerProgress | None = None
        """The progress of the answer; None if the message is owed none."""
        self._session = session
        self._prompt = prompt
        self._checked = checked
        super().__init__(
            session.conversation,
            session.turn,
            session.joined,
            keep_interrupted=keep_interrupted,
            again=session.was_answered or replace,
            replace=replace,
        )

    async def __aenter__(self) -> Self:
        session = self._session
        if self._replace and not self._checked:
            await session.begin_asking()
        elif not self._checked and (self._begun.to is None or self._prompt is not None):
            await session.take_question(self._prompt)
            self._conversation, self._begun = session.conversation, Begun(session.turn)
            self._again = session.was_answered
        elif not self._checked:
            await session.begin_asking()
        await super().__aenter__()
        debts, to = debts_of(session.conversation.desk), self._begun.to
        debt = debts.of(to)
        if to is not None and debt is not None:
            await debts.count_try([to])  # a command waits in no line
        if debt is not None and not self.discarded:
            self.progress = AnswerProgress(debt)
            self._collected += [
                structs.replace(
                    turn,
                    answers=None if self._begun.to is None else self._begun.to.id,
                    also_answers=self._begun.also,
                )
                for turn in self.progress.turns
            ]
        return self

    async def go_on_with(self, hand: Sequence[Turn]) -> None:
        """Answer the messages in hand where they stand now; none are left if they were deleted."""
        before = self._begun
        if not hand:
            self.discard()
            return
        *joined, to = hand
        self._begun = begun = await self._conversation.begin_reply(to, joined, again=True)
        await self._conversation.end_reply(before)
        if begun.is_lost:
            self.discard()
        self._joined = joined
        self._collected = [
            structs.replace(turn, answers=to.id, also_answers=begun.also)
            for turn in self._collected
        ]

    @property
    def asked(self) -> list[Turn]:
        """The messages that it answers, as far as they are known."""
        to = self._begun.to
        return [*self._joined, *([] if to is None else [to])]

    def add_tool_result(self, tool_call_id: str | None, content: Any) -> None:
        super().add_tool_result(tool_call_id, content)
        if self.progress is not None:
            self.progress.note_turns(self._collected)

    add_tool_result.__doc__ = Reply.add_tool_result.__doc__

    async def _history(
        self, max_messages: int, shape: Shape, options: HistoryOptions
    ) -> ShownWindow:
        if self.progress is not None:
            await self.progress.noted()  # the model may call the next tool
        return await super()._history(max_messages, shape, options)

    async def __aexit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        traceback: TracebackType | None,
    ) -> None:
        try:
            await super().__aexit__(kind, error, traceback)
        finally:
            await self._session.end_asking()


async def check_question(conversation: Conversation, *, asks_model: bool) -> None:
    """Raise `TurnkeepError` if the latest question of a session has an answer already.

    Where there is none, a bot may speak by itself; a model that is asked would get nothing.
    """
    latest = await read_latest_exchange(conversation.desk, conversation.key)
    asked = None if latest is None else latest.user
    if latest is None or asked is None:
        if not asks_model:
            return
        why = "the session has no message"
    elif any(_answers(turn, asked) for turn in latest.answers):
        why = "the latest message has an answer"
    else:
        return
    raise TurnkeepError(
        f"{conversation.where}nothing is asked here: the event in hand is not recorded, and {why}. "
        "Give the question, answer(…, prompt=…), or store what the bot says by itself with "
        "append('assistant', …)"
    )


def _answers(turn: Turn, asked: Turn) -> bool:
    if turn.role != "assistant" or turn.interrupted or turn.hidden or is_as_sent(turn):
        return False
    return turn.answers_one_of((asked.id,)) or (turn.answers is None and turn.id > asked.id)
