"""Bots of both frameworks that speak to no network: updates are fed, and requests are answered."""

from __future__ import annotations

import asyncio
from collections.abc import Awaitable, Callable
from importlib import import_module
from typing import Any, Final, NamedTuple

from turnkeep import SessionStore

from . import WINDOW

TEXT: Final = "lorem ipsum dolor sit amet, consectetur adipiscing elit " * 2
ANSWER: Final = "Certainly. " + TEXT * 2
DATE: Final = 1_780_000_000
_FIRST_SENT: Final = 1_000_000_000
"""The id of the first message that a bot sends; those of the updates are below it."""

Feed = Callable[[int, int], Awaitable[object]]
"""Gives a framework the message with this number, in this chat, and waits for its handler."""


class Bot(NamedTuple):
    """A bot that runs. `close` lets the adapter end what it has in hand."""

    feed: Feed
    close: Callable[[], Awaitable[object]]


async def reply_to(session: Any) -> None:
    """Answer as a bot does: a window for the model, and the text that it returned."""

    async def ask_llm(reply: Any) -> str:
        await reply.get_history(WINDOW)
        return ANSWER

    await session.answer(ask_llm)


async def nothing() -> None:
    """Stand in for what a bare framework has not to do."""


async def telegram(store: SessionStore | None, *, answers: bool, **options: Any) -> Bot:
    """aiogram: `feed_raw_update`, which a webhook or the polling calls, and one handler."""
    aiogram: Any = import_module("aiogram")
    types: Any = import_module("aiogram.types")
    base: Any = import_module("aiogram.client.session.base").BaseSession
    sent = iter(range(_FIRST_SENT, 2 * _FIRST_SENT))

    class Client(base):  # type: ignore[misc]
        async def make_request(self, bot: Any, method: Any, timeout: Any = None) -> Any:
            if type(method).__name__ != "SendMessage":
                return True
            chat = {"id": method.chat_id, "type": "private", "first_name": "Ada"}
            message = {"message_id": next(sent), "date": DATE, "chat": chat, "text": method.text}
            return types.Message.model_validate(message, context={"bot": bot})

        async def close(self) -> None: ...

        async def stream_content(self, *_: Any, **__: Any) -> Any:
            yield b""

    bot = aiogram.Bot("42:TEST", session=Client())
    dispatcher = aiogram.Dispatcher()

    async def bare(message: Any) -> None:
        if answers:
            await bot.send_chat_action(message.chat.id, "typing")
            await message.answer(ANSWER)

    async def with_session(_: Any, chat_session: Any) -> None:
        if answers:
            await reply_to(chat_session)

    dispatcher.message.register(bare if store is None else with_session)
    if store is not None:
        middleware: Any = import_module("turnkeep_aiogram").SessionMiddleware(store, **options)
        middleware.setup(dispatcher)

    def feed(number: int, chat: int) -> Awaitable[object]:
        who = {"id": chat, "is_bot": False, "first_name": "Ada"}
        about = {"id": chat, "type": "private", "first_name": "Ada"}
        message = {"message_id": number, "date": DATE, "chat": about, "from": who, "text": TEXT}
        handled: Awaitable[object] = dispatcher.feed_raw_update(
            bot, {"update_id": number, "message": message}
        )
        return handled

    return Bot(feed, nothing)


async def discord(store: SessionStore | None, *, answers: bool, **options: Any) -> Bot:
    """discord.py: what a gateway's MESSAGE_CREATE calls, and a handler that runs the commands."""
    library: Any = import_module("discord")
    commands: Any = import_module("discord.ext.commands")
    adapter: Any = None if store is None else import_module("turnkeep_discord")
    handled: dict[int, asyncio.Future[None]] = {}
    sent = iter(range(_FIRST_SENT, 2 * _FIRST_SENT))
    base: Any = commands.Bot

    class Client(base):  # type: ignore[misc]
        async def on_message(self, message: Any) -> None:
            if adapter is not None:
                session = await adapter.chat_session(self, message)
                if answers:
                    await reply_to(session)
            elif answers:
                await message.channel.typing()
                await message.channel.send(ANSWER)
            await self.process_commands(message)
            handled.pop(message.id).set_result(None)

    bot = Client("!", intents=library.Intents.all())
    await bot._async_setup_hook()
    state = bot._connection
    state.user = library.ClientUser(state=state, data=_person(1))

    async def send_message(channel_id: int, *, params: Any) -> dict[str, Any]:
        return _message(next(sent), channel_id, 1, params.payload["content"])

    async def send_typing(channel_id: int) -> None: ...

    bot.http.send_message, bot.http.send_typing = send_message, send_typing
    if adapter is not None:
        await bot.add_cog(adapter.SessionCog(bot, store, **options))
        await bot.get_cog("SessionCog").on_ready()  # as the gateway's first event does

    def feed(number: int, chat: int) -> Awaitable[object]:
        handled[number] = future = asyncio.get_running_loop().create_future()
        state.parse_message_create(_message(number, chat, chat, TEXT))
        return future

    async def close() -> None:
        if adapter is not None:
            await bot.remove_cog("SessionCog")

    return Bot(feed, close)


def _message(number: int, chat: int, author: int, text: str) -> dict[str, Any]:
    return {
        "id": str(number),
        "channel_id": str(chat),
        "author": _person(author),
        "content": text,
        "timestamp": "2026-11-24T10:00:00.000000+00:00",
        "edited_timestamp": None,
        "type": 0,
        "attachments": [],
        "embeds": [],
        "mentions": [],
        "mention_roles": [],
        "mention_everyone": False,
        "pinned": False,
        "tts": False,
    }


def _person(id: int) -> dict[str, Any]:
    return {"id": str(id), "username": "ada", "discriminator": "0", "avatar": None}


FRAMEWORKS: Final = {"aiogram": telegram, "discord.py": discord}
