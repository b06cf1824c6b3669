"""The progress of an answer, stored for the case that a crash cuts it off."""

from __future__ import annotations

from collections.abc import Sequence
from hashlib import blake2b

from .._records.turn import Turn
from ._owed import Debt

__all__ = ["AnswerProgress"]


class AnswerProgress:
    """The state of one answer to a message that is owed one.

    `name` is the same at each try of this answer. `sent` are the source ids of the messages that
    earlier tries have sent, and `turns` what they have collected.
    """

    def __init__(self, debt: Debt) -> None:
        debt.answers += 1
        self._debt = debt
        self._number = debt.answers
        about = f"{debt.payload['generation']}/{debt.payload['id']}/{self._number}"
        self.name: str = blake2b(about.encode(), digest_size=8).hexdigest()
        self.sent: list[str] = debt.sent(self._number)
        self.turns: list[Turn] = debt.turns() if self._number == 1 else []

    @property
    def goes_on(self) -> bool:
        """True if the bot is about to stop: what is cut off now is still owed."""
        return self._debt.is_closing

    def note_turns(self, turns: Sequence[Turn]) -> None:
        """Begin to store what the reply has collected."""
        if self._number == 1:
            self._debt.note_turns(turns)

    def note_sent(self, source_ids: Sequence[str]) -> None:
        """Begin to store the messages that carry the answer."""
        self._debt.note_sent(self._number, source_ids)

    async def noted(self) -> None:
        """Wait until it is stored."""
        await self._debt.noted()
