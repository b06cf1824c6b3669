"""The storing of captured messages: those that the bot sends beside its replies."""

from __future__ import annotations

from datetime import datetime

from .._records.quote import reply_to
from .._records.turn import Turn, TurnFields
from .._session.reply import Reply
from .._store import Session
from ._chat import ChatSession
from ._sent import AS_SENT, is_as_sent

__all__ = ["edit_as_sent", "record_as_sent"]


async def record_as_sent(
    session: Session,
    content: object,
    *,
    source_id: str,
    reply: Reply | None = None,
    time: datetime | None = None,
    quoted: tuple[str | None, str | None] | None = None,
) -> Turn | None:
    """Link a sent message to the `reply` that it is a part of; without one, append it.

    `quoted` names the message that it replies to, and its author. Return the stored turn. Return
    None for a linked message, for empty content, and if the message that it answers was erased
    meanwhile.
    """
    if reply is not None:
        await reply.link(source_id)
        return None
    if not content:
        return None
    extra = AS_SENT if quoted is None else {**AS_SENT, **reply_to(*quoted)}
    fields: TurnFields = {"source_id": source_id, "time": time, "extra": extra}
    if isinstance(session, ChatSession):
        return await session.append_sent(content, **fields)
    return await session.append("assistant", content, **fields)


async def edit_as_sent(session: Session, source_id: str, content: object) -> None:
    """Edit a turn that was recorded as it was sent.

    A turn that holds the model's own words stays unchanged when its message is edited.
    """
    turn = await session.find(source_id)
    if turn is not None and is_as_sent(turn):
        await session.edit(turn, content)
