"""The messages that are kept out of the history, and so out of the lines about replies to them."""

from __future__ import annotations

import logging
from hashlib import sha256
from typing import Final

import anyio

from turnkeep import SessionStore, TurnkeepError
from turnkeep.adapter import Handled, Recent

from ._message import CHANNEL

logger: Final = logging.getLogger("turnkeep")

_MOST: Final = 10_000
_YEAR: Final = 365 * 86_400.0


class KeptOut:
    """The latest messages that were typed into a form, or that a handler's flag keeps out.

    Telegram sends such a message along with each reply to it, also after a restart. So marks of
    the latest 1,000 are stored for a year, by digests of their ids.
    """

    def __init__(self, store: SessionStore) -> None:
        self._store = store
        self._known: Recent[str, None] = Recent(_MOST)
        self._marks: dict[int, Handled] = {}  # by the bots' ids
        self._loading = anyio.Lock()

    def __contains__(self, source: str) -> bool:
        return _digest(source) in self._known

    async def load(self, bot_id: int) -> None:
        """Read the marks of earlier processes, once for each bot; a storage error is logged."""
        if bot_id in self._marks and not self._loading.locked():
            return
        async with self._loading:  # who waits goes on in the order of arrival, and before others
            if bot_id in self._marks:
                return
            marks = Handled(self._store, CHANNEL, bot_id, kind="kept-out", seconds=_YEAR)
            try:
                self._known.update(dict.fromkeys(await marks.names()))
            except TurnkeepError as error:
                logger.warning("replies may repeat what was typed into a form: %s", error)
                return
            self._marks[bot_id] = marks

    async def note(self, source: str, bot_id: int) -> None:
        """Keep a message out from now on."""
        if source not in self:
            self._known[_digest(source)] = None
            if (marks := self._marks.get(bot_id)) is not None:
                await marks.note(_digest(source))


def _digest(source: str) -> str:
    return sha256(source.encode()).hexdigest()[:32]
