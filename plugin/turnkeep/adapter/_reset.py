"""When a conversation begins anew by itself."""

from __future__ import annotations

from dataclasses import dataclass
from datetime import datetime, time, timedelta, timezone

__all__ = ["ResetPolicy"]


@dataclass(frozen=True, kw_only=True)
class ResetPolicy:
    """A new epoch begins with a message that comes after a long silence, or on another day.

    `idle` is how long nothing was said; `daily_at` an hour of the day, in UTC unless it has a
    time zone: `time(4, tzinfo=ZoneInfo("Europe/Vienna"))`. Either, or both. The message that
    comes is the first of the new epoch, and the old one is kept. Raises `ValueError` where
    neither is given.

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
        """Whether a message at `now` begins anew, when the one before it was at `last`."""
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
