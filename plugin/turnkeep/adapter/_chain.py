"""Reply chains as conversations: the window is the chain of replies up to the message in hand.

All turns of a chat are in one session, as with any scope. So edits, deletions, `/forget`, resets
and restarts hold for chains without further ado: only the window is another one.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any, Final

from msgspec import structs

from .._records.quote import quoted_source
from .._records.turn import Turn
from .._session.conversation import Conversation
from .._session.draft import Draft
from .._session.reading import Sight, window_alone
from .._window.build import Window
from .._window.options import WindowOptions

__all__ = ["OPENING", "Chained"]

OPENING: Final[dict[str, Any]] = {"opening": True}
"""In a turn's `extra`: it stands at the beginning of a thread, and of all chains in it."""

_MOST_OPENING: Final = 2


class Chained(Conversation):
    """The verbs of a session whose windows are chains of replies.

    A window without a message in hand is that of the whole session.
    """

    async def window(self, options: WindowOptions, sight: Sight, draft: Draft) -> Window:
        hand = [(await self.locate(turn))[1] for turn in sight.turns]
        found = [turn for turn in hand if turn is not None]
        if not found or hand[-1] is None:  # nothing is in hand, or it is gone
            return await super().window(options, sight, draft)
        chain = await self._chain(found, options.max_messages)
        turns, collected = _ascending(chain, draft.turns)
        return window_alone(self.key, turns, options, collected)

    async def _chain(self, hand: Sequence[Turn], most: int) -> list[Turn]:
        """Return the chain of the messages in hand, its beginning first."""
        epoch, seen = hand[-1].epoch, {turn.id for turn in hand}
        chain = [*hand]
        links = [source for turn in hand if (source := quoted_source(turn)) is not None]
        while links and len(chain) < most:
            linked = await self._linked(links.pop(0))
            new = [turn for turn in linked if turn.id not in seen and turn.epoch == epoch]
            if not new:
                continue
            chain = [*new, *chain]
            seen |= {turn.id for turn in new}
            links += [source for turn in new if (source := quoted_source(turn)) is not None]
        opening = [turn for turn in await self._opening(epoch) if turn.id not in seen]
        return [*opening, *chain]

    async def _linked(self, source: str) -> list[Turn]:
        """Return a message, or the exchange that an answer ends; empty if it is not stored."""
        async with self.desk.use(self.key) as storage:
            turn = await storage.find(self.key, source)
        if turn is None or turn.hidden or turn.role not in ("user", "assistant"):
            return []
        questions = {one for one in (turn.answers, *turn.also_answers) if one is not None}
        if not questions:
            return [turn]
        first = min(questions)
        between = (await self.desk.read(self.key, after=first - 1, before=turn.id + 1)).turns
        return [
            one
            for one in between
            if not one.hidden and (one.id in questions or one.answers_one_of(questions))
        ]

    async def _opening(self, epoch: int) -> list[Turn]:
        first = await self.desk.read(self.key, limit=_MOST_OPENING, newest=False)
        return [turn for turn in first.turns if turn.extra.get("opening") and turn.epoch == epoch]


def _ascending(
    turns: Sequence[Turn], collected: Sequence[Turn]
) -> tuple[Sequence[Turn], Sequence[Turn]]:
    """Return the turns with ids in the order of the chain.

    They are not if an old message was fetched, and so recorded, after one that replies to it.
    """
    ids = [turn.id for turn in turns]
    if ids == sorted(ids):
        return turns, collected
    last = max(ids)  # what a reply collects is placed behind the last id
    places = {id: last - len(ids) + n for n, id in enumerate(ids, 1)}
    moved = [structs.replace(turn.answering_at(places), id=places[turn.id]) for turn in turns]
    return moved, [turn.answering_at(places) for turn in collected]
