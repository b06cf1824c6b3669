"""Ready-made handlers by which people see and erase what is kept of them."""

from __future__ import annotations

from typing import Any

from aiogram import Router
from aiogram.filters import Command
from aiogram.types import BufferedInputFile, Message

from turnkeep import Session
from turnkeep.adapter import EXPORT_NAME, NOTHING_KEPT, export_file, forget_and_report

from ._message import sender_of
from ._outlet import uncaptured


def privacy_router(data_key: str = "chat_session") -> Router:
    """A router with `/forget` and `/export`: `dp.include_router(privacy_router())`.

    Where nobody else wrote in the session, `/forget` erases all of it and `/export` sends all
    of it as a JSON file; else they are about what the one who asks wrote, and the answers to
    it. Where a group shares a session, the file comes into the group, so it holds only what its
    members have seen. `data_key` is the middleware's.
    """
    router = Router(name="turnkeep privacy")

    @router.message(Command("forget"))
    async def forget(message: Message, **data: Any) -> None:
        session: Session | None = data.get(data_key)
        sender = sender_of(message)
        if session is None or sender is None:
            return
        report = await forget_and_report(session, sender_id=sender.id)
        with uncaptured():  # nothing is kept of this, either
            await message.answer(report)

    @router.message(Command("export"))
    async def send_export(message: Message, **data: Any) -> None:
        session: Session | None = data.get(data_key)
        sender = sender_of(message)
        if session is None or sender is None:
            return
        file = await export_file(session, sender_id=sender.id)
        with uncaptured():
            if file is None:
                await message.answer(NOTHING_KEPT)
            else:
                await message.answer_document(BufferedInputFile(file, EXPORT_NAME))

    return router
