"""What is read of a session, and how far back: only as far as an answer needs."""

from __future__ import annotations

from collections.abc import AsyncIterator, Iterator, Sequence
from typing import TYPE_CHECKING, Final, Literal

import msgspec

from .._records.info import SessionInfo
from .._records.key import SessionKey
from .._records.turn import Turn
from .._window.arrange import View, is_said_by_user
from .._window.build import Window, build_window
from .._window.options import WindowOptions

if TYPE_CHECKING:
    from .handle import Handle

__all__ = ["Turns", "read_latest_exchange", "read_window", "window_alone"]

PAGE_TURNS: Final = 500


async def read_window(
    session: Handle, options: WindowOptions, view: View, collected: Sequence[Turn]
) -> Window:
    """The window over the end of the session, with what a reply has collected so far."""
    limit, sight = options.first_read, view
    store, key = session._store, session.key
    while True:
        # As `_use` does; but windows and appends are too many for an object each.
        if not store._ready:
            await store._open_by_use(key)
        storage = store._enter(key, write=False)
        try:
            info, turns = await storage.read(key, limit=limit)
        finally:
            store._leave()
        complete = len(turns) < limit
        tail = None
        if info is not None and not collected:
            tail = store._tails.of(key.text, len(turns))
        elif info is not None:
            # What was collected answers the message in hand; what else did is hidden.
            before = view.before_answer
            turns = [turn for turn in turns if before is None or turn.answers != before]
            turns += _placed(collected, info)
            sight = View(as_of=view.as_of)
        window = build_window(info, turns, options, sight, complete=complete, tail=tail)
        if window is not None:
            return window
        limit *= 2


def window_alone(
    key: SessionKey, turns: Sequence[Turn], options: WindowOptions, collected: Sequence[Turn]
) -> Window:
    """The window over these stored turns alone, where the session can't be read."""
    last = turns[-1]
    info = SessionInfo(
        key=key,
        created_at=last.time,
        updated_at=last.time,
        last_id=last.id,
        epoch=last.epoch,
    )
    seen = [*turns, *_placed(collected, info)]
    window = build_window(info, seen, options, View(as_of=last.id), complete=True)
    assert window is not None  # nothing more could be read
    return window


def _placed(collected: Sequence[Turn], info: SessionInfo) -> list[Turn]:
    """Turns that are not stored yet, as if they were."""
    return [
        msgspec.structs.replace(turn, id=info.last_id + place, epoch=info.epoch)
        for place, turn in enumerate(collected, 1)
    ]


async def read_latest_exchange(
    session: Handle,
) -> tuple[SessionInfo | None, Turn | None, Sequence[Turn]]:
    """The record, the latest user turn of the epoch, and the end of the session with it."""
    limit = 16
    while True:
        async with session._store._use(session.key) as storage:
            info, turns = await storage.read(session.key, limit=limit)
        current = [turn for turn in turns if info and turn.epoch == info.epoch]
        newest = next(
            (turn for turn in reversed(current) if is_said_by_user(turn) and not turn.hidden),
            None,
        )
        if newest is not None or len(turns) < limit or len(current) < len(turns):
            return info, newest, current
        limit *= 4


class Turns(AsyncIterator[Turn]):
    """Reads a page at a time. No generator, so that whoever breaks off leaves nothing open."""

    def __init__(
        self,
        session: Handle,
        epoch: int | Literal["all"] | None,
        after: int,
        last: int | None = None,
    ) -> None:
        self._session = session
        self._epoch = epoch
        self._after = after
        self._last = last
        self._page: Iterator[Turn] = iter(())
        self._ended = False

    async def __anext__(self) -> Turn:
        while True:
            for turn in self._page:
                if self._epoch in ("all", turn.epoch):
                    return turn
            if self._ended:
                raise StopAsyncIteration
            await self._turn_over()

    async def _turn_over(self) -> None:
        session, last = self._session, self._last
        async with session._store._use(session.key) as storage:
            if last is None:
                info, page = await storage.read(
                    session.key, after=self._after, limit=PAGE_TURNS, newest=False
                )
            else:
                info, page = await storage.read(session.key, after=self._after, limit=last)
        if info is not None and self._epoch is None:
            self._epoch = info.epoch
        self._page = iter(page)
        self._ended = last is not None or len(page) < PAGE_TURNS
        self._after = page[-1].id if page else self._after
