"""Ready-made handlers with which people see and erase what is kept of them."""

from __future__ import annotations

from collections.abc import Awaitable, Callable
from functools import partial
from typing import Any, Final

from aiogram import Bot, Router
from aiogram.exceptions import TelegramBadRequest, TelegramForbiddenError
from aiogram.filters import Command
from aiogram.types import BufferedInputFile, Message

from turnkeep.adapter import (
    EXPORT_NAME,
    Asker,
    ChatSession,
    PrivacyTexts,
    Texts,
    export_file,
    forget_and_report,
    privacy_texts,
    texts_for,
)

from ._message import is_ephemeral, sender_of
from ._outlet import uncaptured

SESSIONS: Final = "turnkeep_sessions"
"""The name of these handlers' parameter: the sessions in which something of a person may be."""

PRIVACY: Final = "sessions"
"""The middleware gives `SESSIONS` to handlers with `flags={"turnkeep": {"sessions": True}}`."""


class PrivacyRouter(Router):
    """A router whose commands reach it wherever it is included."""

    commands: Final = Command("forget", "export")


def privacy_router(*, texts: Texts = privacy_texts, everything: bool = False) -> Router:
    """Return a router with `/forget` and `/export`: `dp.include_router(privacy_router())`.

    If nobody else wrote in the session, `/forget` erases all of it, and `/export` sends all of
    it as a JSON file. Otherwise both cover the messages of the person who asks, and the answers
    to those. Both cover this person's ephemeral messages in the chat, too.

    Only the person who asks sees the answer: in a group it is sent to their private chat, or as
    an ephemeral message if the command was one. Handlers that come first and take any text don't
    get these commands; a handler with a `Command` filter of its own does.

    - `texts`: the words, as `PrivacyTexts`, or a function from the user's language to them.
    - `everything`: export hidden turns, system turns and tool results, too.
    """
    router = PrivacyRouter(name="turnkeep privacy")
    flags = {"turnkeep": {PRIVACY: True}}

    @router.message(Command("forget"), flags=flags)
    async def forget(message: Message, **data: Any) -> None:
        asker, sessions = _asker(message), _sessions(data)
        if asker is not None and sessions:
            words = _words(texts, message)
            report = await forget_and_report(sessions, asker=asker, texts=words)
            await _answer(message, report, words, unreachable=words.done)

    @router.message(Command("export"), flags=flags)
    async def send_export(message: Message, **data: Any) -> None:
        asker, sessions = _asker(message), _sessions(data)
        if asker is not None and sessions:
            words = _words(texts, message)
            file = await export_file(sessions, asker=asker, everything=everything)
            said = words.nothing if file is None else BufferedInputFile(file, EXPORT_NAME)
            await _answer(message, said, words, unreachable=words.write_first)

    return router


async def is_for_privacy(root: Router, message: Message, data: dict[str, Any]) -> bool:
    """Return whether a privacy command is about to go to a handler that takes any text."""
    if "command" in data or not (message.text or "").startswith("/"):
        return False
    if not any(isinstance(router, PrivacyRouter) for router in root.chain_tail):
        return False
    bot: Bot = data["bot"]
    return bool(await PrivacyRouter.commands(message, bot))


def _sessions(data: dict[str, Any]) -> list[ChatSession]:
    sessions: list[ChatSession] = data.get(SESSIONS, [])
    return sessions


def _words(texts: Texts, message: Message) -> PrivacyTexts:
    user = message.from_user
    return texts_for(texts, None if user is None else user.language_code)


def _asker(message: Message) -> Asker | None:
    sender = sender_of(message)
    if sender is None:
        return None
    return Asker(sender.id, str(message.chat.id) if message.chat.type == "private" else None)


async def _answer(
    message: Message, said: str | BufferedInputFile, words: PrivacyTexts, *, unreachable: str
) -> None:
    """Send the answer to the one who asked; tell a group only that it was sent."""
    bot, user = message.bot, message.from_user
    assert bot is not None
    with uncaptured():  # the answer itself must not be kept
        if is_ephemeral(message):
            await _send(message.reply, message.reply_document, said)
        elif message.chat.type == "private":
            await _send(message.answer, message.answer_document, said)
        elif user is None or message.sender_chat is not None:  # one of several people
            await message.reply(unreachable)
        else:
            try:
                await _send(
                    partial(bot.send_message, user.id), partial(bot.send_document, user.id), said
                )
            except (TelegramForbiddenError, TelegramBadRequest):  # they never wrote to the bot
                await message.reply(unreachable)
            else:
                await message.reply(words.sent)


async def _send(
    text: Callable[[str], Awaitable[object]],
    document: Callable[[BufferedInputFile], Awaitable[object]],
    said: str | BufferedInputFile,
) -> None:
    await (text(said) if isinstance(said, str) else document(said))
