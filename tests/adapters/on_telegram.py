"""`Platform` on Telegram: a real aiogram bot that polls."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator, Callable
from contextlib import AsyncExitStack, asynccontextmanager
from datetime import datetime
from pathlib import Path
from typing import Any

from aiogram import Bot, Dispatcher, Router
from aiogram.client.telegram import TelegramAPIServer
from aiogram.types import InlineKeyboardButton, InlineKeyboardMarkup, Message

from adapters.platforms import Choosing, Person, Place, Platform, Posted, Said, Sharing
from adapters.tools import QuickSession, polling
from emulators.telegram import PHOTO, TelegramEmulator
from turnkeep.adapter import ChatSession
from turnkeep_aiogram import Scope, SessionMiddleware, per_account, privacy_router, source_id

SCOPES: dict[str, Scope] = {
    "default": "chat_topic",
    "chat": "chat",
    "user in chat": "user_in_chat",
    "user": "global_user",
    "account": per_account(),
    "reply chain": "reply_chain",
}


@asynccontextmanager
async def feeding(telegram: TelegramEmulator, dispatcher: Dispatcher) -> AsyncIterator[Bot]:
    """A bot whose updates are fed to the dispatcher one by one, which is never told to start."""

    async def feed() -> None:
        offset = 0
        while True:
            for update in await bot.get_updates(offset, timeout=30):
                offset = update.update_id + 1
                await dispatcher.feed_update(bot, update)

    session = QuickSession(api=TelegramAPIServer.from_base(telegram.url))
    async with Bot(telegram.token, session=session) as bot:
        task = asyncio.create_task(feed())
        try:
            await telegram.wait_for(lambda: telegram.polling or task.done())
            yield bot
        finally:
            await telegram.wait_for(lambda: telegram.polling or task.done())
            task.cancel()
            await asyncio.wait([task])


class Telegram(Platform):
    limit = 4096
    command = "/ping"

    def __init__(self, folder: Path) -> None:
        super().__init__(folder)
        self.server: TelegramEmulator = TelegramEmulator()
        self.account = self.server.token.partition(":")[0]
        self.ada, self.bob = Person("Ada", "71"), Person("Bob", "72")
        self.group = Place(-1001234567890)
        self.topic = Place(self.group.chat, topic=900)
        # In no other chat the bot is told of deletions.
        self.told_of_deletions = Place(71, business="b1")
        self.bot: Bot
        self.middleware: SessionMiddleware

    async def _start(
        self,
        stack: AsyncExitStack,
        sharing: Sharing | Choosing,
        privacy: bool,
        lazily: bool,
        takes: Callable[[str], bool] | None,
        **options: Any,
    ) -> None:
        dispatcher, router = Dispatcher(), Router()
        scope = _chosen(sharing) if callable(sharing) else SCOPES[sharing]
        self.middleware = SessionMiddleware(self.store, scope=scope, **options).setup(dispatcher)

        def is_taken(message: Message) -> bool:
            return takes is None or takes(message.text or "")

        async def handle(message: Message, chat_session: ChatSession | None) -> None:
            if chat_session is not None and chat_session.turn is not None:
                await self._handle(chat_session, message.text or message.caption or "")

        router.message.register(handle, is_taken)
        router.business_message.register(handle, is_taken)
        if privacy:
            dispatcher.include_router(privacy_router())
        dispatcher.include_router(router)
        run = feeding(self.server, dispatcher) if lazily else polling(self.server, dispatcher)
        if lazily:
            stack.push_async_callback(self.store.aclose)
        self.bot = await stack.enter_async_context(run)

    def _cut_off(self) -> None:
        self.middleware.recorder.debts.closing.add(f"telegram:{self.account}")

    @property
    def leaving(self) -> bool:
        return not self.server.polling

    def own_buttons(self, *labels: str) -> object:
        row = [InlineKeyboardButton(text=one, callback_data=one) for one in labels]
        return InlineKeyboardMarkup(inline_keyboard=[row])

    async def post(self, at: Place, text: str) -> Posted:
        sent = await self.bot.send_message(
            at.chat,
            text,
            message_thread_id=at.topic or None,
            business_connection_id=at.business or None,
        )
        source = source_id(sent)
        assert source is not None
        return Posted(source, sent.edit_text, sent.delete)

    def private(self, person: Person) -> Place:
        return Place(int(person.id))

    async def say(
        self,
        person: Person,
        text: str,
        *,
        at: Place | None = None,
        mention: bool = False,
        reply: bool = False,
        time: datetime | None = None,
    ) -> Said:
        at = at or self.private(person)
        fields: dict[str, Any] = {}
        if mention:
            text = f"@emulated_bot {text}"
            fields["entities"] = [{"type": "mention", "offset": 0, "length": 13}]
        if reply:
            fields["reply_to"] = self._sent(at)[-1]
        if time is not None:
            fields["date"] = int(time.timestamp())
        if at.business:
            fields["business_connection_id"] = at.business
        return self._said(
            self.server.say(
                at.chat,
                text,
                user_id=int(person.id),
                first_name=person.name,
                thread_id=at.topic,
                **fields,
            )
        )

    async def pictures(self, person: Person, caption: str) -> None:
        self.server.album(int(person.id), [caption, "", ""], first_name=person.name)

    async def noise(self, at: Place) -> None:
        robot = {"id": 99, "is_bot": True, "first_name": "Robot"}
        by: dict[str, Any] = {"from": robot}
        self.server.say(at.chat, "from a bot", **by)
        self.server.say(at.chat, photo=PHOTO, caption="from a bot", **by)
        self.server.say(at.chat, new_chat_members=[robot])

    async def edit(self, what: Said, text: str) -> None:
        self.server.edit(what.raw, text)

    async def touch(self, what: Said) -> None:
        _, message = self._content(what.raw)
        self.server.edit(what.raw, message["text"])

    async def delete(self, *what: Said) -> None:
        for one in what:
            assert self.server.delete(one.raw) is not None, "Telegram tells of it"

    async def redeliver(self, what: Said) -> None:
        self.server.redeliver(what.raw)  # as a webhook's repetition and a bot that was killed
        self.server.redeliver(what.raw, same_update_id=True)

    async def forget(self, person: Person, at: Place) -> str:
        return str((await self._command(person, "/forget", at))["text"])

    async def export(self, person: Person, at: Place) -> str | bytes:
        sent = await self._command(person, "/export", at)
        if "document" not in sent:
            return str(sent["text"])
        file = await self.bot.download(sent["document"]["file_id"])
        assert file is not None
        return file.read()

    async def _command(self, person: Person, command: str, at: Place) -> dict[str, Any]:
        private = self.private(person)  # nobody else sees what is answered
        self.server.open_chat(private.chat)
        count = len(self._sent(private))
        await self.say(person, command, at=at)
        return (await self.server.wait_sent(private.chat, count + 1))[-1]

    async def press(
        self, person: Person, at: Place, label: str, *, number: int | None = None
    ) -> None:
        sent = self._sent(at)
        for message in reversed(sent) if number is None else [sent[number]]:
            for button in _buttons(message):
                if button["text"] == label:
                    self.server.press(message, button["callback_data"], user_id=int(person.id))
                    return
        raise LookupError(f"no button {label!r}")

    def slow_down(self, *, edits: bool, seconds: int = 0) -> None:
        self.server.fail_next(_method(edits), status=429, retry_after=seconds or 1)

    def refusals(self) -> int:
        errors = [call.error for call in self.server.calls if call.error is not None]
        return sum(error.status == 429 for error in errors)

    def waits(self, *, edits: bool) -> tuple[float, float]:
        calls = self.server.called(_method(edits))
        refused = next(i for i, call in enumerate(calls) if call.error is not None)
        return 1.0, calls[refused + 1].time - calls[refused].time

    def sent(self, at: Place) -> list[str]:
        return [one.get("text", "") for one in self._sent(at)]

    def labels(self, at: Place) -> list[list[str]]:
        return [[button["text"] for button in _buttons(one)] for one in self._sent(at)]

    def repliers(self, at: Place) -> list[str | None]:
        replied = [one.get("reply_to_message") for one in self._sent(at)]
        return [None if one is None else _source(one) for one in replied]

    def latest(self, at: Place) -> Said:
        return Said(self._sent(at)[-1], self.source_ids(at)[-1])

    def texts(self) -> list[str]:
        called = [call for call in self.server.calls if call.error is None]
        return [call.params["text"] for call in called if "text" in call.params]

    def source_ids(self, at: Place) -> tuple[str, ...]:
        return tuple(_source(one) for one in self._sent(at))

    def key(self, at: Place) -> str:
        topic = f":topic:{at.topic}" if at.topic else ""
        return f"telegram:{at.chat}{topic}" + (f":business:{at.business}" if at.business else "")

    def _sent(self, at: Place) -> list[dict[str, Any]]:
        sent = self.server.sent(at.chat, at.business)
        # A reply in a group without topics has the thread of its chain.
        topics = [one.get("is_topic_message") and one["message_thread_id"] for one in sent]
        return [one for one, topic in zip(sent, topics, strict=True) if (topic or 0) == at.topic]

    def _said(self, update: dict[str, Any]) -> Said:
        _, message = self._content(update)
        return Said(update, _source(message))

    @staticmethod
    def _content(update: dict[str, Any]) -> tuple[str, dict[str, Any]]:
        ((kind, content),) = ((k, v) for k, v in update.items() if k != "update_id")
        return kind, content


def _buttons(message: dict[str, Any]) -> list[dict[str, Any]]:
    rows = message.get("reply_markup", {}).get("inline_keyboard", [])
    return [button for row in rows for button in row]


def _method(edits: bool) -> str:
    return "editMessageText" if edits else "sendMessage"


def _source(message: dict[str, Any]) -> str:
    connection = message.get("business_connection_id")
    source = f"{message['chat']['id']}:{message['message_id']}"
    return f"{connection}:{source}" if connection else source


def _chosen(choose: Choosing) -> Scope:
    return lambda update, data: choose(data["event_context"].user.first_name)
