"""The rule by which a conversation starts over by itself."""

from __future__ import annotations

from dataclasses import dataclass
from datetime import datetime, time, timedelta, timezone

__all__ = ["ResetPolicy"]


@dataclass(frozen=True, kw_only=True)
class ResetPolicy:
    """A rule for new epochs: after a long silence, or on another day.

    `idle` is the length of the silence. `daily_at` is an hour of the day, in UTC unless it has a
    time zone: `time(4, tzinfo=ZoneInfo("Europe/Vienna"))`. Give one, or both. The next message is
    the first of the new epoch, and the old epoch is kept. Raises `ValueError` if neither is
    given.

    >>> from datetime import timedelta
    >>> policy = ResetPolicy(idle=timedelta(hours=6))
    """

    idle: timedelta | None = None
    daily_at: time | None = None

    def __post_init__(self) -> None:
        if self.idle is None and self.daily_at is None:
            raise ValueError("a ResetPolicy needs idle=, daily_at=, or both")
        if self.idle is not None and self.idle <= timedelta(0):
            raise ValueError(f"idle is a time span above zero, not {self.idle!r}")

    def is_due(self, last: datetime, now: datetime) -> bool:
        """Return True if a message at `now` starts over, after one at `last`."""
        if self.idle is not None and now - last > self.idle:
            return True
        return self.daily_at is not None and last < self._hour_before(now, self.daily_at)

    @staticmethod
    def _hour_before(now: datetime, hour: time) -> datetime:
        local = now.astimezone(hour.tzinfo or timezone.utc)
        begin = datetime.combine(local.date(), hour, hour.tzinfo or timezone.utc)
        if begin > now:
            begin = datetime.combine(local.date() - timedelta(days=1), hour, begin.tzinfo)
        return begin
