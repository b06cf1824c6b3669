"""One session at the desk: the verbs that sessions and their replies are made of."""

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
    """What a reply was begun on.

    `to` is the message that it answers, as it is stored now, `also` are the ids of earlier ones
    that it answers with it, and `expected` is the state of the session that its turns belong
    to. `sight` is what its windows show. `is_lost` is whether there is nothing to answer: the
    message is gone, or another process answers it. `lease` names what `end_reply` gives back.
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
        """The beginning of an error's message: it names the session."""

    # Windows.

    async def history(
        self,
        max_messages: int,
        shape: Shape,
        options: HistoryOptions,
        sight: Sight,
        collected: Sequence[Turn] = (),
    ) -> AnyWindow:
        """Return the window, over so much of the session's end as it needs."""
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
        """Return the record, and a turn as it is stored now; None if it is gone."""
        key, read = self.key, self.desk.read
        place: int | None = turn.id
        info, turns, _ = await read(key, after=turn.id - 1, before=turn.id + 1)
        if info is not None and info.generation != turn.generation and turn.generation:
            place = info.place(turn.ref)
            if place is not None and place != turn.id:
                info, turns, _ = await read(key, after=place - 1, before=place + 1)
        return info, None if place is None or not turns else turns[0]

    async def delete_all(self, turns: Sequence[Turn]) -> int:
        """Takes several turns in hand away, in one step where they are of one generation."""
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
        """Clears the session if its latest turn says so; of several processes one does it."""
        async with self.desk.use(self.key, write=True) as storage:
            info, turns, _ = await storage.read(self.key, limit=1)
            if info and turns and turns[-1].epoch == info.epoch and is_due(turns[-1]):
                await storage.clear(self.key, expected=info.expected())

    async def edit(self, turn: Turn | int, change: Change) -> Turn | None:
        """Changes a turn in hand wherever it is now, or the one with an id."""
        key = self.key
        if isinstance(turn, int):
            async with self.desk.use(key, write=True) as storage:
                return await storage.edit(key, turn, change)

        async def edit(storage: Storage, place: int, expected: Expected) -> Turn | None:
            return await storage.edit(key, place, change, expected=expected)

        return await self.desk.change(key, turn, edit)

    async def delete(self, turn: Turn | int) -> Turn | None:
        """Takes a turn in hand away wherever it is now, or the one with an id."""
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
        """Return whether a message has an answer, or one is on its way, in any process."""
        desk = self.desk
        if desk.answers.is_answered(turn) or await self._has_answer(turn):
            return True
        return desk.is_shared and await desk.leases.is_taken(self.key, answer_name(turn))

    async def _has_answer(self, turn: Turn) -> bool:
        behind = await self.desk.read(self.key, after=turn.id, limit=DEDUPE_TURNS, newest=False)
        return any(not one.interrupted and one.answers_one_of((turn.id,)) for one in behind.turns)

    async def begin_reply(
        self, to: Turn | None, joined: Sequence[Turn] = (), *, anew: bool = False
    ) -> Begun:
        """Finds what a reply answers: this message, or the latest user turn.

        One of all processes answers a message. `anew` is whether it may be answered once more.
        """
        if to is None:
            latest = await read_latest_exchange(self.desk, self.key)
            if latest is None:
                return Begun()
            info, to, _ = latest
            sight = Sight(TurnRef(info.generation, info.last_id))
            if to is None:
                return Begun(expected=info.expected(), sight=sight)
            _, lease = await self._lease(to, anew=True)
            return Begun(to, (), info.expected(turn=to.id), sight, lease=lease)
        sight = Sight.of(to, joined)
        record, there = await self.locate(to)
        if record is None or there is None:  # deleted, or forgotten, and perhaps begun again
            return Begun(to, (), None, sight, is_lost=True)
        # A message of before a reset is answered into its own epoch: not any more.
        expected = Expected(record.generation, there.epoch, turn=there.id)
        if record.generation != to.generation:
            expected = record.moved(Expected(to.generation, to.epoch, turn=to.id)) or expected
        places = [record.place(one.ref) for one in joined]
        begun = Begun(there, tuple([one for one in places if one is not None]), expected, sight)
        if not self.desk.is_shared:
            return begun
        may, lease = await self._lease(there, anew=anew)
        return begun._replace(is_lost=not may, lease=lease)

    async def _lease(self, turn: Turn, *, anew: bool) -> tuple[bool, str | None]:
        """Takes the lease on a message's answer; returns whether it may be given, and its name."""
        desk = self.desk
        if not desk.is_shared:
            return True, None
        name, (generation, id) = answer_name(turn), desk.answers.name(turn)
        if not await desk.leases.take(self.key, name, {"generation": generation, "id": id}):
            return False, None
        if anew or desk.answers.was_given(turn) or not await self._has_answer(turn):
            return True, name
        await desk.leases.drop(self.key, name)
        return False, None

    async def store_reply(self, turns: list[Turn], begun: Begun) -> list[Turn] | None:
        """Stores what a reply collected; None where the session is not as expected any more."""
        appended = await self.desk.append(self.key, turns, expected=begun.expected, dedupe=False)
        return None if appended is None else appended.turns

    async def end_reply(self, begun: Begun) -> None:
        """Gives the lease on an answer back."""
        if begun.lease is not None:
            await self.desk.leases.drop(self.key, begun.lease)

    async def after_answer(self) -> None:
        """Does what the store wants done when an answer is stored: consolidation."""
        if self.desk.after_answer is not None:
            await self.desk.after_answer(self.key)
