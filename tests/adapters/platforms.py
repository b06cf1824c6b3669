"""One bot on either platform, so that a test states a claim once and runs it on both.

A `Platform` is an emulated server with its people and chats, and a real client of the real
framework that talks to it over sockets, with its sessions in a folder. What differs between the
platforms is in `on_telegram` and `on_discord`, and nowhere else.
"""

from __future__ import annotations

import asyncio
from abc import ABC, abstractmethod
from collections.abc import Awaitable, Callable, Sequence
from contextlib import AsyncExitStack
from dataclasses import dataclass
from datetime import datetime
from pathlib import Path
from typing import Any, ClassVar, Literal, Self

from adapters.tools import all_turns, said
from emulators._server import LocalServer
from patience import PATIENCE
from turnkeep import SessionStore, Turn
from turnkeep.adapter import ChatSession
from turnkeep.storage.base import Claim

Handler = Callable[[ChatSession, str], Awaitable[object]]
"""A bot's handler: the session, and the text of the message in hand."""

Sharing = Literal["default", "chat", "user in chat", "user", "account", "reply chain"]
"""Who shares a session; `"chat"` is a chat with all of its topics or threads."""

Choosing = Callable[[str], str | None]
"""A scope that is a function: from the name of who wrote to a key, or None for no session."""

TOLD = "(told)"


@dataclass(frozen=True)
class Person:
    name: str
    id: str


@dataclass(frozen=True)
class Place:
    """A chat, or a topic or thread of one; on Telegram perhaps that of a business account."""

    chat: int
    topic: int = 0
    business: str = ""


@dataclass(frozen=True)
class Said:
    """What a person said: the update or message as the emulator has it, and its source id."""

    raw: Any
    source_id: str


@dataclass(frozen=True)
class Posted:
    """What the bot sent by itself, not as `chat_session.answer`."""

    source_id: str
    edit: Callable[[str], Awaitable[object]]
    delete: Callable[[], Awaitable[object]]


async def quiet(chat_session: ChatSession, text: str) -> None:
    """A handler that says nothing."""


async def echo(chat_session: ChatSession, text: str) -> None:
    """A handler that repeats what was said."""
    await chat_session.answer(f"to {text}")


class Platform(ABC):
    """A platform with people on it, and a bot that keeps its sessions in `folder`."""

    limit: ClassVar[int]
    """The most characters of a message."""
    command: ClassVar[str]
    """A message that is a command of the bot's."""

    account: str
    """The bot's own id."""
    server: LocalServer
    store: SessionStore
    ada: Person
    bob: Person
    group: Place
    topic: Place
    """A topic, or thread, of the group."""
    told_of_deletions: Place
    """A chat of Ada's in which the platform tells the bot what was deleted."""

    def __init__(self, folder: Path) -> None:
        self.folder = folder
        self.heard: list[str] = []
        self._handler: Handler = quiet
        self._options: dict[str, Any] = {}
        self._bot: AsyncExitStack | None = None
        self._told = False
        self._dying = False
        self._running: set[asyncio.Task[Any]] = set()

    async def __aenter__(self) -> Self:
        await self.server.start()
        return self

    async def __aexit__(self, *_: object) -> None:
        await self.stop()
        await self.server.stop()

    def __str__(self) -> str:
        return type(self).__name__

    # The bot.

    async def start(self, handler: Handler = quiet, **options: Any) -> None:
        """A bot that is up, with a store of its own on the folder; its messages go to `handler`.

        `options` are the adapter's, and: `sharing`, a `Sharing` or a `Choosing`; `privacy`, for
        the ready-made commands; `takes`, what a handler that asks for the session itself does
        with a text, for `record="handled"`; `lazily`, for an adapter that is not told of the start;
        `store`, another store than one on the folder.
        """
        assert self._bot is None
        self._handler, self._options = handler, options
        given = {
            "sharing": "default",
            "privacy": False,
            "lazily": False,
            "takes": None,
            **options,
        }
        self.store = given.pop("store", None) or SessionStore(self.folder, lock_timeout=0)
        async with AsyncExitStack() as stack:
            await self._start(stack, **given)
            self._bot = stack.pop_all()

    @abstractmethod
    async def _start(
        self,
        stack: AsyncExitStack,
        sharing: Sharing | Choosing,
        privacy: bool,
        lazily: bool,
        takes: Callable[[str], bool] | None,
        **options: Any,
    ) -> None:
        """Starts the bot, which ends with the stack."""

    async def stop(self) -> None:
        """The bot ends well, and its store is left."""
        bot, self._bot = self._bot, None
        if bot is not None:
            await bot.aclose()

    async def restart(self, **options: Any) -> None:
        """The same bot again, with a new store on the same folder, or other `options`."""
        await self.stop()
        await self.start(self._handler, **{**self._options, **options})

    async def die(self, **options: Any) -> None:
        """What runs is cut off, and its answers are lost with it; then as `restart`."""
        self._cut_off()
        self._dying = True
        for task in self._running:
            task.cancel()
        await self.stop()
        self._dying = False
        await self.restart(**options)

    async def _handle(self, session: ChatSession, text: str) -> None:
        if self._dying:  # a process that was killed begins nothing more
            raise asyncio.CancelledError
        if text == TOLD:
            self._told = True
            return
        task = asyncio.current_task()
        assert task is not None
        self._running.add(task)
        self.heard.append(text)
        self.server.notify()
        try:
            await self._handler(session, text)
        finally:
            self._running.discard(task)
            self.server.notify()

    @abstractmethod
    def _cut_off(self) -> None:
        """The bot is about to end: what is cancelled from now on is not ended by its handler."""

    @property
    @abstractmethod
    def leaving(self) -> bool:
        """Whether the bot has begun to end."""

    @abstractmethod
    def own_buttons(self, *labels: str) -> object:
        """Buttons of the bot's author, for `answer(buttons=…)`."""

    @abstractmethod
    async def post(self, at: Place, text: str) -> Posted:
        """The bot sends a message, past the session."""

    # What people do.

    @abstractmethod
    def private(self, person: Person) -> Place:
        """The private chat of a person and the bot."""

    @abstractmethod
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
        """Says something, to the bot in private unless `at` somewhere else.

        It may mention the bot, reply to its latest message there, and be of another `time`.
        """

    @abstractmethod
    async def pictures(self, person: Person, caption: str) -> None:
        """Sends three pictures at once, as an album or in one message, the first captioned."""

    @abstractmethod
    async def noise(self, at: Place) -> None:
        """What is written by no user: a bot, a webhook, the platform itself."""

    @abstractmethod
    async def edit(self, what: Said, text: str) -> None: ...

    @abstractmethod
    async def touch(self, what: Said) -> None:
        """An edit, as the platform tells of it, in which nothing changed."""

    @abstractmethod
    async def delete(self, *what: Said) -> None: ...

    @abstractmethod
    async def redeliver(self, what: Said) -> None:
        """The platform delivers the message a second time."""

    @abstractmethod
    async def forget(self, person: Person, at: Place) -> str:
        """The command `/forget`, and what the bot says to it."""

    @abstractmethod
    async def export(self, person: Person, at: Place) -> str | bytes:
        """The command `/export`, and what the bot says to it, or the file it sends."""

    @abstractmethod
    async def press(
        self, person: Person, at: Place, label: str, *, number: int | None = None
    ) -> None:
        """Presses the button with this label, under the latest message that has it or another."""

    # What goes wrong.

    @abstractmethod
    def slow_down(self, *, edits: bool, seconds: int = 0) -> None:
        """The next message, or the next edit of one, is refused with a 429.

        The bot is to wait as long as is said, by default as short as the platform knows.
        """

    @abstractmethod
    def refusals(self) -> int:
        """How often the bot was told to wait."""

    @abstractmethod
    def waits(self, *, edits: bool) -> tuple[float, float]:
        """The seconds that the refusal asked for, and those after which the bot tried again."""

    # What a test sees.

    @abstractmethod
    def sent(self, at: Place) -> list[str]:
        """The texts of the bot's messages that the platform shows now."""

    @abstractmethod
    def labels(self, at: Place) -> list[list[str]]:
        """The labels of the buttons under each of these messages."""

    @abstractmethod
    def repliers(self, at: Place) -> list[str | None]:
        """The source id of the message that each of these messages is a reply to."""

    @abstractmethod
    def latest(self, at: Place) -> Said:
        """The latest of the bot's messages that are shown."""

    @abstractmethod
    def texts(self) -> list[str]:
        """Every text that the bot has sent, or put into the place of another, in this order."""

    @abstractmethod
    def source_ids(self, at: Place) -> tuple[str, ...]:
        """The source ids of what `sent` shows."""

    @abstractmethod
    def key(self, at: Place) -> str:
        """The key of the place's session, by default."""

    def file(self, at: Place) -> Path:
        """The file of this session."""
        channel, chat = self.key(at).split(":", 1)
        return self.folder / channel / f"{chat.replace(':', ',')}.jsonl"

    def bytes(self) -> bytes:
        """All bytes of all files below the folder."""
        files = [path for path in self.folder.rglob("*") if path.is_file()]
        return b"\n".join(path.read_bytes() for path in files)

    async def wait(self, predicate: Callable[[], object], what: str = "a condition") -> None:
        try:
            await self.server.wait_for(predicate, what=what)
        except TimeoutError as error:
            raise TimeoutError(f"{error}\nheard was {self.heard}") from None

    async def hears(self, *texts: str) -> None:
        """Waits until the handler was given so many messages, which are these.

        Handlers begin at the same time; the order that is promised is that of what is stored.
        """
        await self.wait(lambda: len(self.heard) >= len(texts), f"{texts}")
        assert sorted(self.heard) == sorted(texts), self.heard

    async def shows(self, *texts: str, at: Place) -> None:
        """Waits until these are the bot's messages that are shown in a chat."""
        try:
            await self.wait(lambda: self.sent(at) == [*texts])
        except TimeoutError:
            assert self.sent(at) == [*texts], self.sent(at)
            raise

    async def told(self) -> None:
        """Waits until the bot was told all that has happened so far.

        Bob says so in private, which is recorded there; what happens is told in its order.
        """
        self._told = False
        await self.say(self.bob, TOLD)
        await self.wait(lambda: self._told, "the bot to be told")

    async def ended(self) -> None:
        """Waits until no handler runs."""
        await self.wait(lambda: not self._running, "the handlers to end")

    async def turns(self, key: Place | str) -> list[Turn]:
        """What is stored of a session; when the bot has stopped, as another store reads it."""
        text = key if isinstance(key, str) else self.key(key)
        if self._bot is not None:
            return await all_turns(self.store, text)
        async with SessionStore(self.folder, lock_timeout=0) as store:
            return await all_turns(store, text)

    async def said(self, key: Place | str) -> list[str]:
        """What is stored of a session, as `user: …`, `assistant: …`."""
        return [f"{turn.role}: {turn.content}" for turn in await self.turns(key)]

    async def stores(self, *lines: str, at: Place | str) -> None:
        """Waits until this is what is stored of a session."""
        found: list[str] = []
        try:
            async with asyncio.timeout(PATIENCE):
                while (found := await self.said(at)) != [*lines]:
                    await asyncio.sleep(0.01)
        except TimeoutError:
            assert found == [*lines], found

    async def in_hand(self) -> list[Claim]:
        """The leases of the messages that are being answered."""
        async with self.store.desk.use() as storage:
            claims = await storage.claims()
        return [one for one in claims if one.name.startswith("answer:")]

    async def notes(self) -> None:
        """Waits until a part of an answer is shown, and noted with its lease."""
        async with asyncio.timeout(PATIENCE):
            while not any(one.payload.get("sent") for one in await self.in_hand()):
                await asyncio.sleep(0.01)

    async def sessions(self) -> list[list[str]]:
        """What people said, session by session: who shares one with whom."""
        async with AsyncExitStack() as stack:
            store = self.store
            if self._bot is None:
                store = await stack.enter_async_context(SessionStore(self.folder, lock_timeout=0))
            keys = [str(info.key) for info in await store.list_sessions()]
            found: list[Sequence[str]] = [await said(store, key) for key in keys]
        users = [[one.removeprefix("user: ") for one in lines if "user" in one] for lines in found]
        return sorted(lines for lines in users if lines)
