"""People's reactions and votes as turns, for bots whose authors choose to record them."""

from __future__ import annotations

from datetime import datetime

from .._records.key import SessionKey
from .._records.quote import said_in
from .._records.turn import Sender
from ._notes import note, reply_note
from ._recorder import Quoted, Recorder

__all__ = ["Feedback"]


class Feedback:
    """Records what people say without words: one turn for each person and message.

    It changes with the reaction or the vote, and goes when that is taken back. Nobody answers it.
    """

    def __init__(self, recorder: Recorder) -> None:
        self._recorder = recorder

    async def record(
        self,
        key: SessionKey,
        kind: str,
        shown: str,
        *,
        source_id: str,
        sender: Sender,
        about: str,
        own_name: str,
        time: datetime | None = None,
    ) -> None:
        """Record `[reaction: 👍]` below a line with its message, whose source id is `about`.

        Nothing `shown` takes it back. `own_name` is the bot's, for messages of its own.
        """
        session = self._recorder.session(key)
        turn = await session.find(source_id)
        if not shown:
            if turn is not None:
                await session.delete(turn)
            return
        lines, quoted = [note(kind, shown)], None
        message = await session.find(about)
        if message is not None:
            by = message.sender
            media = " ".join(one.text for one in message.media if not one.repeated)
            lines.insert(0, reply_note(by.name if by else own_name, said_in(message) or media))
            quoted = Quoted(about, by.id if by else None)
        content = "\n".join(lines)
        if turn is not None:
            await session.edit(turn, content)
        else:
            await self._recorder.receive(
                session, content, source_id=source_id, sender=sender, time=time, quoted=quoted
            )
