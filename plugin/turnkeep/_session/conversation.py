"""The verbs of one session at the desk. Sessions and replies are made of them."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from copy import copy
from functools import partial
from typing import NamedTuple, Self

from msgspec import structs

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
from .desk import Desk, moved_answer
from .draft import Draft
from .leases import Lease, answer_name
from .reading import Sight, locate, read_latest_exchange, read_window
from .shown import ShownWindow, checked_options, shown

__all__ = ["Begun", "Conversation"]


class Begun(NamedTuple):
    """The beginning of a reply.

    - `to` is the message that it answers, as it is stored now.
    - `also` are the ids of earlier messages that it answers too, and `joined` these messages, as
      they are in hand.
    - `expected` is the state of the session that its turns belong to.
    - `sight` tells its windows which turns to show.
    - `is_lost` is True if there is nothing to answer: the message is gone, or another process
      answers it.
    - `leases` are given back by `end_reply`.
    - `key` is the session's own key when the reply began; None without a session.
    """

    to: Turn | None = None
    also: tuple[int, ...] = ()
    expected: Expected | None = None
    sight: Sight = Sight()
    is_lost: bool = False
    leases: tuple[Lease, ...] = ()
    joined: tuple[Turn, ...] = ()
    key: SessionKey | None = None


class Conversation:
    """The verbs of one session."""

    def __init__(self, desk: Desk, key: SessionKey) -> None:
        self.desk = desk
        self.key = key
        self.where: str = f"session {key.text}: "
        """The beginning of each error message; it names the session."""

    def at(self, key: SessionKey) -> Self:
        """Return the same verbs for the session of this key, which is no alias."""
        if key.text == self.key.text:
            return self
        there = copy(self)
        there.key, there.where = key, f"session {key.text}: "
        return there

    # Windows.

    async def history(
        self,
        max_messages: int,
        shape: Shape,
        options: HistoryOptions,
        sight: Sight,
        draft: Draft | None = None,
    ) -> ShownWindow:
        """Return the window; read only as much of the session's end as it needs."""
        try:
            bounds = checked_options(max_messages, shape, options)
            window = await self.window(bounds, sight, draft or Draft())
            turns = None
            if bounds.media is not None:
                life = next((turn.generation for turn in window.turns if turn.generation), "")
                remembered = self.desk.remembered
                turns, given = await resolve(
                    window.turns,
                    bounds.media,
                    bounds.text_cost,
                    most=bounds.max_media,
                    is_chat=shape == "openai",
                    known=remembered.of(life, bounds.media),
                    where=self.where,
                )
                remembered.keep(life, bounds.media, given)
            return shown(window, bounds, turns)
        except WindowError as error:
            raise WindowError(f"{self.where}{error}") from error.__cause__

    async def window(self, options: WindowOptions, sight: Sight, draft: Draft) -> Window:
        """Return the turns of the window."""
        return await read_window(self.desk, self.key, options, sight, draft)

    # Turns in hand.

    async def locate(self, turn: Turn) -> tuple[SessionInfo | None, Turn | None]:
        """Return the record, and the turn as it is stored now or None if it is gone."""
        return await locate(self.desk, self.key, turn)

    async def delete_all(self, turns: Sequence[Turn]) -> int:
        """Delete several turns in hand, in one step if they are of one generation."""
        if not turns:
            return 0
        async with self.desk.use(self.key, write=True) as storage:
            generation = turns[-1].generation
            ids = sorted({turn.id for turn in turns if turn.generation == generation})
            delete = partial(storage.delete, self.key, ids, expected=Expected(generation))
            gone, lost = await self.desk.surely(delete)
        taken = {turn.ref for turn in gone}
        left = [turn for turn in turns if turn.ref not in taken]
        return len(gone) + sum([await self.delete(turn) is not None or lost for turn in left])

    async def begin_again(self, is_due: Callable[[Turn], bool]) -> None:
        """Clear the session if its latest turn is due; of several processes only one does."""
        async with self.desk.use(self.key, write=True) as storage:
            info, turns, _ = await storage.read(self.key, limit=1)
            if info and turns and turns[-1].epoch == info.epoch and is_due(turns[-1]):
                await self.desk.surely(partial(storage.clear, self.key, expected=info.expected()))

    async def clear(self, *, erase: bool) -> None:
        """Begin a new epoch. If an answer is lost, the clear is retried, and done once."""
        key, desk = self.key, self.desk
        async with desk.use(key, write=True) as storage:
            if not desk.is_remote:
                await storage.clear(key, erase=erase)
                return
            info = (await storage.read(key, limit=0)).info
            while info is not None:
                clear = partial(storage.clear, key, erase=erase, expected=info.expected())
                done, _ = await desk.surely(clear)
                if done:
                    return
                # The call with a lost answer, or another process, has cleared or merged it.
                now, oldest, _ = await storage.read(key, limit=1, newest=False)
                began = now is not None and now.generation == info.generation
                if began and not (erase and oldest and oldest[0].epoch <= info.epoch):
                    return
                info = now

    async def edit(self, turn: Turn | int, change: Change) -> Turn | None:
        """Edit a turn in hand, wherever it is now, or the turn with an id."""
        key, desk = self.key, self.desk
        if isinstance(turn, int):
            async with desk.use(key, write=True) as storage:
                return (await desk.surely(partial(storage.edit, key, turn, change)))[0]

        async def edit(storage: Storage, place: int, expected: Expected) -> Turn | None:
            changed = partial(storage.edit, key, place, change, expected=expected)
            return (await desk.surely(changed))[0]

        return await desk.change(key, turn, edit)

    async def delete(self, turn: Turn | int) -> Turn | None:
        """Delete a turn in hand, wherever it is now, or the turn with an id."""
        key, desk = self.key, self.desk
        was_lost = False
        if isinstance(turn, int):
            async with desk.use(key, write=True) as storage:
                there = (await storage.read(key, after=turn - 1, before=turn + 1)).turns
            if not there:
                return None
            (turn,) = there

        async def delete(storage: Storage, place: int, expected: Expected) -> list[Turn]:
            nonlocal was_lost
            taken = partial(storage.delete, key, [place], expected=expected)
            gone, lost = await desk.surely(taken)
            was_lost |= lost
            return gone

        gone = await desk.change(key, turn, delete)
        # If it is gone after a lost answer, the call with that answer has deleted it.
        return gone[0] if gone else turn if was_lost else None

    # Answers.

    async def was_answered(self, turn: Turn) -> bool:
        """Return True if a message has an answer, or any process is answering it."""
        desk = self.desk
        if desk.answers.is_answered(turn) or await self.has_answer(turn):
            return True
        name = answer_name(turn, desk.answers.name(turn))
        return desk.is_shared and await desk.leases.is_taken(self.key, name)

    async def has_answer(self, turn: Turn) -> bool:
        """Return True if an answer to a message is stored; a part of one does not count.

        It is looked for in the 1,000 turns behind the message, and in the latest 1,000.
        """
        for newest in (False, True):
            behind = await self.desk.read(
                self.key, after=turn.id, limit=DEDUPE_TURNS, newest=newest
            )
            if any(_is_answer(one, turn.id) for one in behind.turns):
                return True
            if behind.complete:
                break
        return False

    async def begin_reply(
        self, to: Turn | None, joined: Sequence[Turn] = (), *, again: bool = False
    ) -> Begun:
        """Find the message that a reply answers: `to`, or the latest user turn.

        Only one process answers a message. With `again` it may be answered again. So may the
        latest user turn if it already has an answer.
        """
        if to is None:
            latest = await read_latest_exchange(self.desk, self.key)
            if latest is None:
                return Begun()
            info, to = latest.info, latest.user
            sight = Sight(TurnRef(info.generation, info.last_id), latest=to)
            if to is None:
                return Begun(expected=info.expected(), sight=sight, key=info.key)
            again = any(_is_answer(turn, to.id) for turn in latest.answers)
            may, leases = await self._lease([to], again=again)
            expected = info.expected(turn=to.id)
            return Begun(to, (), expected, sight, is_lost=not may, leases=leases, key=info.key)
        sight = Sight.of(to, joined)
        record, there = await locate(self.desk, self.key, to)
        if record is None or there is None:  # deleted, or forgotten with its session
            return Begun(to, (), None, sight, is_lost=True)
        # The answer belongs to its message's epoch. After a reset it is refused.
        epoch = there.epoch
        if record.origins and epoch == record.asked_in(there.id):
            epoch = record.epoch
        expected = Expected(record.generation, epoch, turn=there.id)
        places = [record.place(one.ref) for one in joined]
        begun = Begun(
            there,
            tuple([one for one in places if one is not None]),
            expected,
            sight,
            joined=tuple(joined),
            key=record.key,
        )
        if not self.desk.is_shared:
            return begun
        may, leases = await self._lease([there, *joined], again=again)
        return begun._replace(is_lost=not may, leases=leases)

    async def _lease(self, turns: Sequence[Turn], *, again: bool) -> tuple[bool, tuple[Lease, ...]]:
        """Take the leases on an answer; return True if the first message may be answered."""
        desk = self.desk
        if not desk.is_shared:
            return True, ()
        leases: list[Lease] = []
        for turn in turns:
            ref = desk.answers.name(turn)
            payload = {"generation": ref.generation, "id": ref.id}
            name = answer_name(turn, ref)
            lease = await desk.leases.take(self.key, name, mark=ref, payload=payload)
            if lease is not None:
                leases.append(lease)
            elif turn is turns[0]:
                return False, ()
        first = turns[0]
        if again or desk.answers.was_given(first) or not await self.has_answer(first):
            return True, tuple(leases)
        await self._drop(leases)
        return False, ()

    async def _drop(self, leases: Sequence[Lease]) -> None:
        for lease in leases:
            await self.desk.leases.drop(lease)

    async def store_reply(self, turns: list[Turn], begun: Begun) -> list[Turn] | None:
        """Store a reply's turns; return None if the session is no longer as expected."""
        key, begun_on = self.key, begun.expected
        if not begun.joined or begun_on is None:
            appended = await self.desk.append(key, turns, expected=begun_on, dedupe=False)
            return None if appended is None else appended.turns
        turns = self.desk.tokens(turns)
        revision: tuple[str, int] | None = None
        while True:
            # The reply answers several messages, and all of them must still be there.
            found = [await self.locate(one) for one in begun.joined]
            info = found[-1][0]
            if info is None or any(there is None for _, there in found):
                return None
            expected = info.moved(begun_on) or begun_on
            expected = structs.replace(expected, revision=info.revision)
            shift = info.shift(begun_on.generation)
            moved = [moved_answer(turn, shift) for turn in turns]
            appended = await self.desk.append(key, moved, expected=expected, dedupe=False)
            if appended is not None:
                return appended.turns
            if revision == (info.generation, info.revision):
                return None  # cleared, or the message is deleted
            revision = info.generation, info.revision

    async def end_reply(self, begun: Begun) -> None:
        """Give the reply's leases back."""
        await self._drop(begun.leases)

    async def after_answer(self) -> None:
        """Do the store's work after a stored answer: consolidation."""
        if self.desk.after_answer is not None:
            await self.desk.after_answer(self.key)


def _is_answer(turn: Turn, to: int) -> bool:
    """Return True if the turn is an answer to the turn with this id, and was finished."""
    return not turn.interrupted and turn.answers_one_of((to,))
