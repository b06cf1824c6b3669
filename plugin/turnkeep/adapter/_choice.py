"""The `record=` option of every adapter: it chooses the events that are recorded."""

from __future__ import annotations

from collections.abc import Awaitable, Callable
from inspect import isawaitable
from typing import Final, Generic, Literal, TypeAlias, TypeVar

__all__ = ["RecordFilter", "RecordOption"]

EventT = TypeVar("EventT")

RecordOption: TypeAlias = (
    Literal["all", "handled", "addressed"] | Callable[[EventT], bool | Awaitable[bool]]
)
"""The choice of events to record, by name or by a function of the event, async or not.

`"all"`: every event. `"handled"`: the events that a handler takes. `"addressed"`: the events
that are addressed to the bot.
"""

_NAMES: Final = ("all", "handled", "addressed")


class RecordFilter(Generic[EventT]):
    """Decides for each event whether it is recorded, by the `record=` option.

    Raises `ValueError` for an unknown name.
    """

    def __init__(self, record: RecordOption[EventT]) -> None:
        if not callable(record) and record not in _NAMES:
            raise ValueError(
                f"record is 'all', 'handled', 'addressed' or a function, not {record!r}"
            )
        self._record = record

    @property
    def by_handlers(self) -> bool:
        """True where only the events that a handler takes are recorded."""
        return self._record == "handled"

    @property
    def decides_at_once(self) -> bool:
        """True where no decision awaits anything."""
        return self._record in ("all", "handled")

    async def accepts(self, event: EventT, is_addressed: Callable[[], Awaitable[bool]]) -> bool:
        """Return whether the event is recorded; `is_addressed` is called only if it matters."""
        if callable(self._record):
            choice = self._record(event)
            return await choice if isawaitable(choice) else choice
        return self._record != "addressed" or await is_addressed()
