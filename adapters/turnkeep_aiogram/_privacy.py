"""Ready-made handlers with which people see and erase what is kept of them."""

from __future__ import annotations

from typing import Any

from aiogram import Router
from aiogram.filters import Command
from aiogram.types import BufferedInputFile, Message

from turnkeep import Sender, Session
from turnkeep.adapter import EXPORT_NAME, NOTHING_KEPT, export_file, forget_and_report

from ._message import sender_of
from ._outlet import uncaptured


def privacy_router(data_key: str = "chat_session") -> Router:
    """Return a router with `/forget` and `/export`: `dp.include_router(privacy_router())`.

    If nobody else wrote in the session, `/forget` erases all of it, and `/export` sends all of
    it as a JSON file. Otherwise both cover the messages of the person who asks, and the answers
    to those. In a group that shares a session, the file is sent to the group; it holds only
    messages that its members have seen. `data_key` is the middleware's.
    """
    router = Router(name="turnkeep privacy")

    def known_sender(message: Message, data: dict[str, Any]) -> tuple[Session, Sender] | None:
        session: Session | None = data.get(data_key)
        sender = sender_of(message)
        return None if session is None or sender is None else (session, sender)

    @router.message(Command("forget"))
    async def forget(message: Message, **data: Any) -> None:
        if (known := known_sender(message, data)) is None:
            return
        report = await forget_and_report(known[0], sender_id=known[1].id)
        with uncaptured():  # the report itself must not be kept
            await message.answer(report)

    @router.message(Command("export"))
    async def send_export(message: Message, **data: Any) -> None:
        if (known := known_sender(message, data)) is None:
            return
        file = await export_file(known[0], sender_id=known[1].id)
        with uncaptured():
            if file is None:
                await message.answer(NOTHING_KEPT)
            else:
                await message.answer_document(BufferedInputFile(file, EXPORT_NAME))

    return router
