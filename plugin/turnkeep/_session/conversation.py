"""The verbs of one session at the desk. Sessions and replies are made of them."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from importlib import import_module
from typing import Any, NamedTuple

from .._errors import WindowError
from .._records.identity import Expected, TurnRef
from .._records.info import SessionInfo
from .._records.key import SessionKey
from .._records.turn import Turn
from .._window.build import Window
from .._window.options import HistoryOptions, WindowOptions
from .._window.resolve import resolve
from ..shapes import Shape
from ..storage.base import DEDUPE_TURNS, Change, Storage
from .desk import Desk
from .history import AnyWindow
from .leases import answer_name
from .reading import Sight, read_latest_exchange, read_window

__all__ = ["Begun", "Conversation"]


class Begun(NamedTuple):
    """The beginning of a reply.

    - `to` is the message that it answers, as it is stored now.
    - `also` are the ids of earlier messages that it answers too.
    - `expected` is the state of the session that its turns belong to.
    - `sight` tells its windows which turns to show.
    - `is_lost` is True if there is nothing to answer: the message is gone, or another process
      answers it.
    - `lease` is the name of the lease that `end_reply` gives back.
    """

    to: Turn | None = None
    also: tuple[int, ...] = ()
    expected: Expected | None = None
    sight: Sight = Sight()
    is_lost: bool = False
    lease: str | None = None


class Conversation:
    """The verbs of one session."""

    def __init__(self, desk: Desk, key: SessionKey) -> None:
        self.desk = desk
        self.key = key
        self.where = f"session {key.text}: "
        """The beginning of each error message; it names the session."""

    # Windows.

    async def history(
        self,
        max_messages: int,
        shape: Shape,
        options: HistoryOptions,
        sight: Sight,
        collected: Sequence[Turn] = (),
    ) -> AnyWindow:
        """Return the window; read only as much of the session's end as it needs."""
        try:
            bounds = WindowOptions(max_messages=max_messages, **options)
            shapes: Any = None if shape == "openai" else import_module("turnkeep.shapes._convert")
            if shapes is not None:
                shapes.check_shape(shape)
            window = await self.window(bounds, sight, collected)
            if bounds.media is not None:
                turns = await resolve(window.turns, bounds.media, bounds.text_cost)
                window = window._replace(turns=turns)
            messages = window.messages(bounds)
            return messages if shapes is None else shapes.to_shape(messages, shape)
        except WindowError as error:
            raise WindowError(f"{self.where}{error}") from error.__cause__

    async def window(
        self, options: WindowOptions, sight: Sight, collected: Sequence[Turn]
    ) -> Window:
        """Return the turns of the window."""
        return await read_window(self.desk, self.key, options, sight, collected)

    # Turns in hand.

    async def locate(self, turn: Turn) -> tuple[SessionInfo | None, Turn | None]:
        """Return the record, and the turn as it is stored now or None if it is gone."""
        key, read = self.key, self.desk.read
        place: int | None = turn.id
        info, turns, _ = await read(key, after=turn.id - 1, before=turn.id + 1)
        if info is not None and info.generation != turn.generation and turn.generation:
            place = info.place(turn.ref)
            if place is not None and place != turn.id:
                info, turns, _ = await read(key, after=place - 1, before=place + 1)
        return info, None if place is None or not turns else turns[0]

    async def delete_all(self, turns: Sequence[Turn]) -> int:
        """Delete several turns in hand, in one step if they are of one generation."""
        if not turns:
            return 0
        async with self.desk.use(self.key, write=True) as storage:
            generation = turns[-1].generation
            ids = sorted({turn.id for turn in turns if turn.generation == generation})
            gone = await storage.delete(self.key, ids, expected=Expected(generation))
        taken = {turn.id for turn in gone}
        left = [turn for turn in turns if not gone or turn.id not in taken]
        return len(gone) + sum([await self.delete(turn) is not None for turn in left])

    async def begin_again(self, is_due: Callable[[Turn], bool]) -> None:
        """Clear the session if its latest turn is due; of several processes only one does."""
        async with self.desk.use(self.key, write=True) as storage:
            info, turns, _ = await storage.read(self.key, limit=1)
            if info and turns and turns[-1].epoch == info.epoch and is_due(turns[-1]):
                await storage.clear(self.key, expected=info.expected())

    async def edit(self, turn: Turn | int, change: Change) -> Turn | None:
        """Edit a turn in hand, wherever it is now, or the turn with an id."""
        key = self.key
        if isinstance(turn, int):
            async with self.desk.use(key, write=True) as storage:
                return await storage.edit(key, turn, change)

        async def edit(storage: Storage, place: int, expected: Expected) -> Turn | None:
            return await storage.edit(key, place, change, expected=expected)

        return await self.desk.change(key, turn, edit)

    async def delete(self, turn: Turn | int) -> Turn | None:
        """Delete a turn in hand, wherever it is now, or the turn with an id."""
        key = self.key
        if isinstance(turn, int):
            async with self.desk.use(key, write=True) as storage:
                gone = await storage.delete(key, [turn])
        else:

            async def delete(storage: Storage, place: int, expected: Expected) -> list[Turn]:
                return await storage.delete(key, [place], expected=expected)

            gone = await self.desk.change(key, turn, delete) or []
        return gone[0] if gone else None

    # Answers.

    async def was_answered(self, turn: Turn) -> bool:
        """Return True if a message has an answer, or any process is answering it."""
        desk = self.desk
        if desk.answers.is_answered(turn) or await self._has_answer(turn):
            return True
        return desk.is_shared and await desk.leases.is_taken(self.key, answer_name(turn))

    async def _has_answer(self, turn: Turn) -> bool:
        behind = await self.desk.read(self.key, after=turn.id, limit=DEDUPE_TURNS, newest=False)
        return any(not one.interrupted and one.answers_one_of((turn.id,)) for one in behind.turns)

    async def begin_reply(
        self, to: Turn | None, joined: Sequence[Turn] = (), *, again: bool = False
    ) -> Begun:
        """Find the message that a reply answers: `to`, or the latest user turn.

        Only one process answers a message. With `again` it may be answered again.
        """
        if to is None:
            latest = await read_latest_exchange(self.desk, self.key)
            if latest is None:
                return Begun()
            info, to, _ = latest
            sight = Sight(TurnRef(info.generation, info.last_id))
            if to is None:
                return Begun(expected=info.expected(), sight=sight)
            _, lease = await self._lease(to, again=True)
            return Begun(to, (), info.expected(turn=to.id), sight, lease=lease)
        sight = Sight.of(to, joined)
        record, there = await self.locate(to)
        if record is None or there is None:  # deleted, or forgotten with its session
            return Begun(to, (), None, sight, is_lost=True)
        # The answer belongs to its message's epoch. After a reset it is refused.
        expected = Expected(record.generation, there.epoch, turn=there.id)
        if record.generation != to.generation:
            expected = record.moved(Expected(to.generation, to.epoch, turn=to.id)) or expected
        places = [record.place(one.ref) for one in joined]
        begun = Begun(there, tuple([one for one in places if one is not None]), expected, sight)
        if not self.desk.is_shared:
            return begun
        may, lease = await self._lease(there, again=again)
        return begun._replace(is_lost=not may, lease=lease)

    async def _lease(self, turn: Turn, *, again: bool) -> tuple[bool, str | None]:
        """Take the lease on a message's answer; return True if it may be answered, and the name."""
        desk = self.desk
        if not desk.is_shared:
            return True, None
        name, (generation, id) = answer_name(turn), desk.answers.name(turn)
        if not await desk.leases.take(self.key, name, {"generation": generation, "id": id}):
            return False, None
        if again or desk.answers.was_given(turn) or not await self._has_answer(turn):
            return True, name
        await desk.leases.drop(self.key, name)
        return False, None

    async def store_reply(self, turns: list[Turn], begun: Begun) -> list[Turn] | None:
        """Store a reply's turns; return None if the session is no longer as expected."""
        appended = await self.desk.append(self.key, turns, expected=begun.expected, dedupe=False)
        return None if appended is None else appended.turns

    async def end_reply(self, begun: Begun) -> None:
        """Give the reply's lease back."""
        if begun.lease is not None:
            await self.desk.leases.drop(self.key, begun.lease)

    async def after_answer(self) -> None:
        """Do the store's work after a stored answer: consolidation."""
        if self.desk.after_answer is not None:
            await self.desk.after_answer(self.key)
