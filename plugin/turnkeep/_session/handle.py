"""A handle on a session: the message it is bound to, and the questions to the session.

Nothing here changes what is stored; `session` adds the changes.
"""

from __future__ import annotations

from collections.abc import AsyncIterator, Iterable
from datetime import datetime
from typing import Literal, Self, TypeVar

from .._records.identity import TurnRef
from .._records.info import SessionInfo, own_copy
from .._records.key import SessionKey
from .._records.making import as_source_ids
from .._records.turn import Turn
from .._window.options import HistoryOptions
from ..shapes import Shape
from .conversation import Conversation
from .history import History, ShownWindow
from .reading import Sight, Turns
from .spending import Spent, add_up
from .variants import question_to_replace, read_answers

__all__ = ["Handle", "copied"]

H = TypeVar("H", bound="Handle")


class Handle(History):
    """The part of a session that only asks."""

    key: SessionKey
    """The key that was given to `store.session`, also if it is an alias."""

    turn: Turn | None
    """The message that this handle is bound to, or None."""

    joined: tuple[Turn, ...]
    """Earlier messages that the same answer is for, such as the parts of an album."""

    was_answered: bool
    """True if the message already had an answer when the handle was bound to it."""

    def __init__(self, conversation: Conversation) -> None:
        self._conversation = conversation
        self.key = conversation.key
        self.turn = None
        self.joined = ()
        self.was_answered = False

    def __repr__(self) -> str:
        bound = "" if self.turn is None else f", turn {self.turn.id}"
        return f"<{type(self).__name__} {self.key}{bound}>"

    def bind(self, turn: Turn, *, joined: Iterable[Turn] = (), answered: bool = False) -> Self:
        """Return a handle on the same session, bound to one of its user turns.

        Its replies answer the `joined` turns too. These are earlier ones.
        """
        bound = object.__new__(type(self))  # as in `copied`, without one more call for each message
        bound.__dict__.update(self.__dict__)
        bound.turn = turn
        bound.joined = tuple(joined)
        bound.was_answered = answered
        return bound

    @property
    def already_answered(self) -> bool:
        """True if the message in hand has an answer, or a reply to it is open.

        False for a handle without a message. If nothing is awaited between this question and
        `reply()`, no other task can begin a reply meanwhile. Another process can; the reply
        that comes second is then `discarded`.
        """
        if self.turn is None:
            return False
        return self.was_answered or self._conversation.desk.answers.is_answered(self.turn)

    def name(self, turn: Turn) -> TurnRef:
        """Return the first name of one of its turns. A merge or a rename does not change it."""
        return self._conversation.desk.answers.name(turn)

    def lives(self, turn: Turn) -> tuple[str, ...]:
        """Return a turn's generation, and the known generations that were merged into it."""
        return self._conversation.desk.answers.lives(turn)

    async def _history(
        self, max_messages: int, shape: Shape, options: HistoryOptions
    ) -> ShownWindow:
        sight = Sight() if self.turn is None else Sight.of(self.turn, self.joined)
        return await self._conversation.history(max_messages, shape, options, sight)

    def turns(
        self,
        *,
        epoch: int | Literal["all"] | None = None,
        after: int = 0,
        last: int | None = None,
        variants: bool = False,
    ) -> AsyncIterator[Turn]:
        """Iterate over the stored turns in ascending order: of the current epoch, another, or all.

        Epochs count from 1. `after` leaves out the turns up to that id. `last` considers only
        that many of the session's latest turns, and reads nothing before them. Answers that were
        replaced are left out unless `variants` is True.
        """
        if not isinstance(epoch, int) and epoch not in (None, "all"):
            raise ValueError(f"epoch is a whole number, 'all', or None, not {epoch!r}")
        if last is not None and (isinstance(last, bool) or last < 1):
            raise ValueError(f"last is a whole number, 1 or more, or None, not {last!r}")
        desk, key = self._conversation.desk, self._conversation.key
        return Turns(desk, key, epoch, after, last, variants=variants)

    async def variants(self, question: Turn | None = None) -> list[list[Turn]]:
        """Return the answers to a question in the order in which they were given.

        `question` is the message in hand, or without one the latest user turn, unless given. Each
        answer is a list of turns. Windows show the one whose turns are not `hidden`.
        """
        desk, key = self._conversation.desk, self._conversation.key
        question = await question_to_replace(desk, key, question or self.turn)
        there = None if question is None else (await self._conversation.locate(question))[1]
        return [] if there is None else (await read_answers(desk, key, there)).variants()

    async def usage(self, *, since: datetime | None = None) -> Spent:
        """Return the tokens that the answers of this session cost, of all epochs.

        They are those of the stored turns: what `delete` or `forget` erased is not counted.
        `since` leaves out earlier turns. Ask it before the model is called:
        `if (await session.usage()).over_budget(2.50, prices): …`
        """
        spent: dict[str, Spent] = {}
        await add_up(self.turns(epoch="all", variants=True), None, spent, since)
        return spent.get("", Spent())

    async def latest(self) -> Turn | None:
        """Return the latest turn of the current epoch, or None."""
        conversation = self._conversation
        info, turns, _ = await conversation.desk.read(conversation.key, limit=1)
        return turns[0] if info and turns and turns[0].epoch == info.epoch else None

    async def find(self, source_id: str | int) -> Turn | None:
        """Return the turn with this source id, however old, or None."""
        (wanted,) = as_source_ids(source_id, self._conversation.where)
        key = self._conversation.key
        async with self._conversation.desk.use(key) as storage:
            return await storage.find(key, wanted)

    async def info(self) -> SessionInfo | None:
        """Return the session's record, or None if nothing was ever stored."""
        info = await self._conversation.desk.info(self._conversation.key)
        return None if info is None else own_copy(info)


def copied(handle: H) -> H:
    """Return another handle that is the same so far."""
    other = object.__new__(type(handle))
    other.__dict__.update(handle.__dict__)  # `copy.copy` takes six times as long
    return other
