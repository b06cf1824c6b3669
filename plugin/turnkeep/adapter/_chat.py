"""The session that a platform's handler gets. It can answer in the message's chat."""

from __future__ import annotations

import logging
from collections.abc import Awaitable, Callable, Sequence
from contextlib import suppress
from datetime import datetime, timedelta, timezone
from functools import partial
from typing import Final, Self, TypeAlias, Unpack

from .._errors import StorageError, StoreLockedError, TurnkeepError
from .._records.key import SessionKey
from .._records.turn import Turn, TurnFields
from .._session.conversation import Conversation
from .._session.handle import copied
from .._session.history import ShownWindow
from .._session.reply import Reply
from .._store import Session, SessionStore
from .._window.options import HistoryOptions
from ..shapes import Shape
from ._admission import Admission
from ._anew import begin_anew
from ._bounds import RefusedError
from ._buttons import under_way
from ._chain import Chained
from ._content import Content
from ._notes import as_said
from ._outlet import Looks, Outlet
from ._pieces import Answer, check_answer
from ._question import ChatReply, check_question
from ._sent import is_part_of
from ._speak import CutOffError, Footer, Speaker
from ._wishes import Failed, Undelivered

__all__ = ["FAILURES", "ChatSession"]

logger: Final = logging.getLogger("turnkeep")

FAILURES: Final = (StorageError, StoreLockedError)

_JUST_NOW: Final = timedelta(minutes=1)


Ask: TypeAlias = Callable[[Content | None], Awaitable["ChatSession | None"]]
"""A function that records what a user asks, and returns the session bound to it.

It gets the `prompt`, or None for what the event itself says. It returns None if that is unknown.
"""


class ChatSession(Session):
    """A session that knows its chat. Handlers get it as `chat_session`."""

    key: SessionKey
    turn: Turn | None
    joined: tuple[Turn, ...]
    was_answered: bool
    outlet: Outlet | None
    """The way to the chat; None if the chat is not known."""
    fetches: bool = False
    """True if earlier messages of the chat are recorded when they are needed."""

    def __init__(
        self,
        store: SessionStore,
        key: SessionKey,
        *,
        outlet: Outlet | None = None,
        conversation: Conversation | None = None,
        admission: Admission | None = None,
    ) -> None:
        super().__init__(store, conversation or Conversation(store.desk, key))
        self.outlet = outlet
        self._ask: Ask | None = None
        self._admission = admission
        self._replaces = False
        self._replies: list[ChatReply] = []  # shared with the handles that are bound to a message

    @property
    def conversation(self) -> Conversation:
        """The session's verbs, for the other parts of an adapter."""
        return self._conversation

    @property
    def is_chained(self) -> bool:
        """True if its windows are chains of replies."""
        return isinstance(self._conversation, Chained)

    def unbound(self) -> Self:
        """Return a copy of the handle that is bound to no message."""
        free = copied(self)
        free.turn, free.joined, free.was_answered = None, (), False
        return free

    def replacing(self) -> Self:
        """Return a copy of the handle whose answer takes the place of the earlier one.

        The earlier answer, and the messages that it was sent as, stay until the new one is
        stored.
        """
        other = copied(self)
        other._replaces = True  # noqa: SLF001 (a handle just made)
        return other

    # The admission to the model.

    def admitted_by(self, admission: Admission | None) -> Self:
        """Return a copy of the handle whose handler waits for `admission` when it asks the model.

        None is for a handler that is in line already.
        """
        other = copied(self)
        if admission is not None and self._admission is not None:
            admission.by = self._admission.by
        other._admission = admission  # noqa: SLF001 (a handle just made)
        return other

    async def begin_asking(self) -> None:
        """Wait for the handler's turn; raise `RefusedError` if it may not ask the model now."""
        if self._admission is not None:
            await self._admission.begin(self, self.outlet)

    async def end_asking(self) -> None:
        """Let the next handler have its turn."""
        if self._admission is not None:
            await self._admission.end()

    # The question of an event that is not recorded by itself.

    def asking(self, ask: Ask, by: str | None = None) -> Self:
        """Return a copy of the handle that records the question of its event by `ask`.

        It does so when the handler asks the model: in `get_history`, `answer` and `reply`. `by`
        is the id of the person who asks.
        """
        asking = copied(self)
        asking._ask = ask  # noqa: SLF001 (a handle just made)
        if self._admission is not None:
            self._admission.by = by
        return asking

    async def take_question(
        self, prompt: Content | None = None, *, asks_model: bool = False
    ) -> None:
        """Bind the handle to the question, if it is bound to no message.

        `prompt` is the question, if the event itself does not tell it. Raises `TurnkeepError` if
        the question is unknown and the latest message has an answer: the window would end with
        something else. So it does if a model is to answer where nobody has said anything.
        """
        if self.turn is not None:
            if prompt is not None:
                raise self._has_question()
            await self.begin_asking()
            return
        is_recorded = await self._record_question(prompt)
        await self.begin_asking()
        if not is_recorded and self._ask is not None:
            await check_question(self.conversation, asks_model=asks_model)

    async def _record_question(self, prompt: Content | None) -> bool:
        """Record the question, and bind the handle to it; return False if it is unknown."""
        if isinstance(prompt, str):
            prompt = as_said(prompt)  # as a message of the person
        if self._ask is not None:
            bound = await self._ask(prompt)
        else:
            bound = None if prompt is None else await self.receive(prompt)
        if bound is None:
            return False
        self.key, self._conversation = bound.key, bound.conversation
        self.turn, self.joined = bound.turn, bound.joined
        self.was_answered = bound.was_answered
        return True

    async def clear(self, *, erase: bool = False) -> None:
        """Start the conversation over; see `Session.clear`.

        If the handler asks the model afterwards, or its reply is open, the message in hand is the
        first one of the new conversation.
        """
        await super().clear(erase=erase)
        if self.turn is None:
            return
        hand, reply = (*self.joined, self.turn), self.open_reply
        self.turn, self.joined = None, ()
        self._ask = partial(self._begin_anew, hand, erased=erase)
        if reply is not None:
            await self._record_question(None)
            await reply.go_on_with([] if self.turn is None else [*self.joined, self.turn])

    async def _begin_anew(
        self, hand: Sequence[Turn], prompt: Content | None, *, erased: bool
    ) -> Self | None:
        if prompt is not None:
            raise self._has_question()
        turns = await begin_anew(self.conversation, hand, erased=erased)
        return self.bind(turns[-1], joined=turns[:-1]) if turns else None

    def _has_question(self) -> TurnkeepError:
        return TurnkeepError(
            f"session {self.key}: prompt= is the question of an event that is not "
            "recorded, and the message in hand is recorded"
        )

    async def append(self, role: str, content: object = None, **fields: Unpack[TurnFields]) -> Turn:
        if role == "user":
            self._ask = None  # the handler itself stores the question
        return await super().append(role, content, **fields)

    append.__doc__ = Session.append.__doc__

    async def append_sent(self, content: object, **fields: Unpack[TurnFields]) -> Turn | None:
        """Store a message that the bot sent, unless the message in hand was erased meanwhile.

        Return None then: after a `/forget` nothing of the conversation before it is kept.
        """
        return await self._append("assistant", content, fields, only_answers=True)

    async def _history(
        self, max_messages: int, shape: Shape, options: HistoryOptions
    ) -> ShownWindow:
        if self.turn is None and self._ask is not None:
            await self._record_question(None)
        await self.begin_asking()
        return await super()._history(max_messages, shape, options)

    def reply(
        self,
        *,
        keep_interrupted: bool = False,
        replace: bool = False,
        prompt: Content | None = None,
    ) -> Reply:
        """Return the assistant's part, a transaction; see `Session.reply`.

        If the event in hand is not recorded, such as a command, the reply begins with its
        question: the command's arguments, or `prompt`. With `replace` it answers the latest
        message again, for a command such as `/retry`.
        """
        reply = ChatReply(self, keep_interrupted=keep_interrupted, prompt=prompt, replace=replace)
        self._replies.append(reply)
        return reply

    async def undo(self, *, answers_only: bool = False) -> list[Turn]:
        if answers_only:  # for another answer: two at once would undo and answer the same
            await self.begin_asking()
        return await super().undo(answers_only=answers_only)

    undo.__doc__ = Session.undo.__doc__

    @property
    def open_reply(self) -> ChatReply | None:
        """The reply that is open now. Messages that are sent meanwhile are a part of it."""
        return next((reply for reply in reversed(self._replies) if reply.is_open), None)

    def reply_of(self, text: str) -> Reply | None:
        """Return the reply, open or just stored, that contains a sent message's text."""
        since = datetime.now(timezone.utc) - _JUST_NOW
        made = (
            one
            for one in reversed(self._replies)
            if one.is_open or (one.turns and one.turns[-1].time >= since)
        )
        return next((one for one in made if is_part_of(text, one.said)), None)

    async def answer(
        self,
        says: Answer,
        *,
        keep_interrupted: bool = False,
        replace: bool = False,
        nothing: str = "(no answer)",
        failed: Failed | None = None,
        undelivered: Undelivered | None = None,
        max_wait: float | None = None,
        prompt: Content | None = None,
        reply_to: bool = False,
        buttons: object = None,
        footer: Footer = "",
    ) -> Reply:
        """Send an answer to the chat while it grows, and store it once, as one turn.

        `says` is text, an async iterable of pieces of text, or a function that gets the reply:
        `async def` with `yield` for a stream, or with `return` for a whole text. In that function
        `await reply.get_history()` is the window, and an agent adds its tool calls and results to
        the reply.

        The sent message is edited at the pace that the platform allows, and split at its limit.
        The stored turn has the model's own text, and is linked to the sent messages. If the model
        says nothing, `nothing` is sent, and nothing is stored. A message that was deleted
        meanwhile gets no answer. Neither does one that is delivered again and had an answer.
        Then the reply's `discarded` is True.

        - `keep_interrupted`: if the stream raises an exception, store the part so far, marked as
          interrupted. Otherwise nothing of it is stored. The exception is raised.
        - `replace`: the answer takes the place of the one that the message in hand has, or without
          one the latest message, for a command such as `/retry`. See `Session.reply`.
        - `failed`: the text that the bot then shows in the place of the half answer, or below the
          part that is kept; or a function of the exception. Without it, a half answer stays,
          marked with `…`. So does one whose handler was cancelled, if it is kept.
        - `undelivered`: what becomes of an answer that cannot be delivered: `"store"`, `"drop"`,
          `"raise"`, or a function of the error. The model's stream is closed at once.
        - `max_wait`: the seconds to wait in all for a platform that says "slow down".
        - `prompt`: the question of a command or another event that is not recorded. Without it,
          the arguments of a command are the question (`/ask what is it?`). Raises
          `TurnkeepError` if nothing tells the question, and no message waits for an answer.
        - `reply_to`: in a group, send the first message as a reply to the question.
        - `buttons`: the platform's own, under the last message when the answer has ended: a
          keyboard of aiogram, or a `discord.ui.View`.
        - `footer`: a text that is shown below the answer, and not stored; or a function of the
          reply.

        None stands for the adapter's own defaults, see `AnswerOptions`.

        >>> async def handler(message, chat_session):
        ...     await chat_session.answer(lambda reply: ask_llm(reply), failed="Sorry, try again.")
        """
        if self.outlet is None:
            raise TurnkeepError(
                f"session {self.key}: the chat to answer in is not known here: "
                "use session.reply(), send the text, and link the reply to it"
            )
        check_answer(says, self.conversation.where)
        replace = replace or self._replaces
        try:
            if not replace and (
                prompt is not None or (self.turn is None and not isinstance(says, str))
            ):
                await self.take_question(prompt, asks_model=not isinstance(says, str))
            elif not isinstance(says, str):
                await self.begin_asking()
        except RefusedError:
            return self._unsaid()
        if self.was_answered and not replace:  # the message was delivered again
            logger.info("%s: the message in hand has an answer already, and gets no other", self)
            await self.end_asking()
            return self._unsaid()
        options = self.outlet.options.changed(failed, undelivered, max_wait)
        outlet = self.outlet
        outlet.looks = Looks(
            self.turn.source_id if reply_to and self.turn is not None else None,
            buttons,
            can_stop=options.stop and not isinstance(says, str),
            can_repeat=options.regenerate is not None,
        )
        reply = ChatReply(self, keep_interrupted=True, checked=True, replace=replace)
        self._replies.append(reply)
        with suppress(CutOffError):
            async with reply:
                if not reply.discarded:
                    speaker = Speaker(
                        outlet,
                        options,
                        keep_interrupted=keep_interrupted and not self._replaces,
                        progress=reply.progress,
                        footer=footer,
                        where=self.conversation.where,
                    )
                    await self._let_speak(speaker, says, reply, nothing)
        if self._replaces:
            for source in [one for turn in reply.replaced for one in turn.source_ids]:
                await outlet.erase(source)
        return reply

    async def _let_speak(
        self, speaker: Speaker, says: Answer, reply: ChatReply, nothing: str
    ) -> None:
        answers = under_way(self.conversation.desk)
        answers.begin(speaker, reply.asked, can_stop=speaker.can_stop)
        try:
            await speaker.say(says, reply, nothing)
        finally:
            answers.end(speaker)

    def _unsaid(self) -> Reply:
        """Return a reply of which nothing is stored."""
        reply = super().reply()
        reply.discard()
        return reply
