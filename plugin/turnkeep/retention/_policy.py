"""The rule of what is kept, and the report of what went."""

from __future__ import annotations

from dataclasses import KW_ONLY, dataclass, field
from datetime import timedelta

__all__ = ["RetentionPolicy", "RetentionReport"]


@dataclass(frozen=True, slots=True)
class RetentionPolicy:
    """A rule for what `apply_retention` erases; give at least one of the three bounds.

    - `max_age`: an exchange goes when its newest turn is older.
    - `max_turns`: the oldest exchanges of a session go until it has at most so many turns. Its
      latest exchange stays, even if it alone has more.
    - `idle`: a session goes as a whole, with its record, when its newest turn is older. A session
      without turns goes when its record was last written before that.
    - `prefix` is the beginning of the keys of the sessions to look at, such as `"telegram:"`.

    The age of a turn is by its `time`. Raises `ValueError` for a bound that is not positive.
    """

    _: KW_ONLY
    max_age: timedelta | None = None
    max_turns: int | None = None
    idle: timedelta | None = None
    prefix: str = ""

    def __post_init__(self) -> None:
        if self.max_age is None and self.max_turns is None and self.idle is None:
            raise ValueError("a policy needs max_age, max_turns or idle, to say what goes")
        for name in ("max_age", "idle"):
            bound = getattr(self, name)
            if bound is not None and not (isinstance(bound, timedelta) and bound > timedelta()):
                raise ValueError(f"{name} is a timedelta, longer than 0, not {bound!r}")
        most = self.max_turns
        if most is not None and (isinstance(most, bool) or not isinstance(most, int) or most < 1):
            raise ValueError(f"max_turns is a whole number, 1 or more, not {most!r}")
        if not isinstance(self.prefix, str):
            raise ValueError(f"prefix is the beginning of a key, not {self.prefix!r}")


@dataclass(slots=True)
class RetentionReport:
    """The turns and sessions that `apply_retention` erased, or would erase in a dry run.

    - `turns`: how many turns, by the text of each session's key.
    - `forgotten`: the keys of the idle sessions that went as a whole. If they had turns, these
      are in `turns` too.
    - `summaries`: the keys of the sessions that stay with a summary that repeats erased turns.
    """

    turns: dict[str, int] = field(default_factory=dict)
    forgotten: list[str] = field(default_factory=list)
    summaries: list[str] = field(default_factory=list)
