"""The way of an answer to a platform: what an adapter makes for each message in hand."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any, Final, Protocol

from ._wishes import AnswerOptions

__all__ = [
    "UNDELIVERED",
    "Looks",
    "MessageGoneError",
    "Outlet",
    "Progress",
    "SlowDownError",
    "UnreachableError",
]


class SlowDownError(Exception):
    """An outlet's platform asks to wait for `seconds`."""

    def __init__(self, seconds: float) -> None:
        super().__init__(f"the platform asks to wait for {seconds:g} seconds")
        self.seconds = seconds


class UnreachableError(Exception):
    """Raised by an outlet: no message gets there any more.

    The user blocked the bot, or the chat, the thread or the topic is gone or closed.
    """


class MessageGoneError(Exception):
    """Raised by an outlet's `edit`: this message cannot be edited any more; send a new one."""


UNDELIVERED: Final = (SlowDownError, UnreachableError)
"""The errors for which an answer stays undelivered; see `Undelivered`."""


@dataclass(frozen=True)
class Looks:
    """The looks of one answer on the platform.

    - `reply_to`: the source id of the message that its first message replies to in a group.
    - `buttons`: the platform's own buttons under its last message, when it has ended.
    - `can_stop`: a button stops it while it grows.
    - `can_repeat`: a button asks for another answer, when it has ended.
    """

    reply_to: str | None = None
    buttons: Any = None
    can_stop: bool = False
    can_repeat: bool = False


class Progress(Protocol):
    """The progress of an answer, for the case that a crash cuts it off.

    `name` is the same at each try of this answer. `sent` are the source ids of the messages that
    earlier tries have sent.
    """

    name: str
    sent: list[str]

    @property
    def goes_on(self) -> bool:
        """True if the bot is about to stop, and gives the answer at its next start."""
        ...

    def note_sent(self, source_ids: Sequence[str]) -> None:
        """Begin to store the messages that carry the answer."""
        ...


class Outlet(Protocol):
    """The way of an answer to the platform. An adapter makes one for each message in hand.

    - `limit`: the most characters of one message.
    - `pace`: the least seconds between two changes of it.
    - `drafts`: an unfinished message is shown by `draft`, and `send` comes at its end.
    - `sign_seconds`: the seconds after which "typing" is shown again while the model is silent.
    - `draft_seconds`: the seconds after which a draft is shown again.
    - `options`: the adapter's defaults for answers.
    - `looks`: those of the answer in hand.
    - `draft_name`: the name under which the platform tells that the draft was stopped, or None.

    Each method raises `SlowDownError` where the platform asks to wait, and `UnreachableError`
    where nothing can be sent any more. Messages are numbered from 0, as `send` sent them.
    """

    limit: int
    pace: float
    drafts: bool
    sign_seconds: float
    draft_seconds: float
    options: AnswerOptions
    looks: Looks

    @property
    def draft_name(self) -> str | None: ...

    def buttons(self, *, done: bool) -> Any:
        """Return the buttons under the last message, while it grows or `done`; None if none.

        The same ones are equal at each call.
        """
        ...

    def begin(self, name: str, sent: Sequence[str]) -> None:
        """Prepare for an answer that may be sent again after a crash.

        `name` is the same at each try. `sent` are the source ids of the messages that an earlier
        try has sent: they are the first ones, numbered from 0, and are edited.
        """
        ...

    async def working(self) -> None:
        """Show that an answer is on its way."""
        ...

    async def send(self, text: str, buttons: Any = None) -> str | None:
        """Send a message and return its source id, None if it has none."""
        ...

    async def edit(self, number: int, text: str, buttons: Any = None) -> None:
        """Change the text and the buttons of a sent message, or raise `MessageGoneError`."""
        ...

    async def erase(self, source_id: str) -> None:
        """Delete a message that an earlier answer was sent as, if the platform allows it."""
        ...

    async def remove(self, number: int) -> None:
        """Delete a sent message."""
        ...

    async def draft(self, text: str) -> None:
        """Show a message that is not finished."""
        ...
