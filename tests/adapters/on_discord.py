"""`Platform` on Discord: a real discord.py bot that is connected."""

from __future__ import annotations

from collections.abc import Callable
from contextlib import AsyncExitStack
from datetime import datetime
from pathlib import Path
from typing import Any

import aiohttp
import discord
from discord.ext import commands

from adapters.platforms import Choosing, Person, Place, Platform, Posted, Said, Sharing
from adapters.tools import connected
from emulators.discord import DiscordEmulator
from emulators.discord_components import every
from emulators.discord_payloads import EPHEMERAL, LOADING, Payload
from turnkeep.adapter import ChatSession
from turnkeep_discord import (
    PrivacyCog,
    Scope,
    SessionCog,
    Where,
    chat_session,
    per_account,
    source_id,
    text_of,
)

SCOPES: dict[str, Scope] = {
    "default": "channel",
    "chat": "parent",
    "user in chat": "user_in_channel",
    "user": "user",
    "reply chain": "reply_chain",
}


class Discord(Platform):
    limit = 2000
    command = "!ping"

    def __init__(self, folder: Path) -> None:
        super().__init__(folder)
        self.server: DiscordEmulator = DiscordEmulator()
        self.account = self.server.bot["id"]
        self.ada, self.bob = self._person("Ada"), self._person("Bob")
        self._guild = self.server.guild("Guild")
        self.group = Place(int(self.server.channel(self._guild, "general")["id"]))
        self.topic = Place(int(self.server.thread(self.group.chat, "Thread")["id"]))
        self.told_of_deletions = self.group
        self.bot: commands.Bot

    def _person(self, name: str) -> Person:
        return Person(name, self.server.user(name)["id"])

    async def _start(
        self,
        stack: AsyncExitStack,
        sharing: Sharing | Choosing,
        privacy: bool,
        lazily: bool,
        takes: Callable[[str], bool] | None,
        **options: Any,
    ) -> None:
        bot = self.bot = commands.Bot("!", intents=discord.Intents.all())
        cog = SessionCog(bot, self.store, scope=self._scope(sharing), **options)

        async def setup_hook() -> None:
            if not lazily:  # else the cog comes with the first message
                await bot.add_cog(cog)
            if privacy:
                await bot.add_cog(PrivacyCog(bot))
                await bot.tree.sync()

        async def on_session_message(message: discord.Message, session: ChatSession) -> None:
            await self._handle(session, text_of(message))

        async def on_message(message: discord.Message) -> None:
            if not message.author.bot and (takes is None or takes(message.content)):
                if bot.get_cog(cog.qualified_name) is None:
                    await bot.add_cog(cog)
                await self._handle(await chat_session(bot, message), text_of(message))

        async def ping(ctx: commands.Context[Any]) -> None:
            pass

        bot.event(setup_hook)
        bot.event(on_message if lazily or takes is not None else on_session_message)
        bot.command()(ping)
        await stack.enter_async_context(connected(self.server, bot))

    def _scope(self, sharing: Sharing | Choosing) -> Scope:
        if callable(sharing):
            return _chosen(sharing)
        return per_account(self.bot) if sharing == "account" else SCOPES[sharing]

    def _cut_off(self) -> None:
        cog = self.bot.get_cog("SessionCog")
        assert isinstance(cog, SessionCog)
        cog.recorder.debts.closing.add(f"discord:{self.account}")

    @property
    def leaving(self) -> bool:
        return self.bot.get_cog("SessionCog") is None

    def own_buttons(self, *labels: str) -> object:
        view = discord.ui.View(timeout=None)
        for one in labels:
            view.add_item(discord.ui.Button(label=one, custom_id=one))
        return view

    async def post(self, at: Place, text: str) -> Posted:
        sent = await self.bot.get_partial_messageable(at.chat).send(text)
        return Posted(source_id(sent), lambda text: sent.edit(content=text), sent.delete)

    async def told(self) -> None:
        await super().told()
        cog = self.bot.get_cog("SessionCog")
        if isinstance(cog, SessionCog):
            # What was said in another channel has its place, and may still be on its way.
            for queue in list(cog._intake.order._queues.values()):
                async with queue:
                    pass

    def private(self, person: Person) -> Place:
        return Place(int(self.server.dm(person.id)["id"]))

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
        if mention:
            text = f"<@{self.server.bot['id']}> {text}"
        answered = self.server.sent(at.chat)[-1] if reply else None
        message = await self.server.say(at.chat, person.id, text, reply_to=answered, at=time)
        return Said(message, f"{at.chat}:{message['id']}")

    async def pictures(self, person: Person, caption: str) -> None:
        files = {f"{number}.png": b"png" for number in range(3)}
        await self.server.say(self.private(person).chat, person.id, caption, attachments=files)

    async def noise(self, at: Place) -> None:
        robot = self.server.user("Robot", bot=True)
        await self.server.say(at.chat, robot, "from a bot")
        await self.server.say(at.chat, robot, "from a webhook", webhook_id="77")
        await self.server.say(at.chat, self.ada.id, "joined", type=7)
        await self.server.say(at.chat, self.ada.id, "pinned", type=6)

    async def edit(self, what: Said, text: str) -> None:
        await self.server.edit(what.raw, text)

    async def touch(self, what: Said) -> None:
        await self.server.unfurl(what.raw)
        await self.server.edit(what.raw, what.raw["content"])

    async def delete(self, *what: Said) -> None:
        if len(what) == 1:
            await self.server.delete(what[0].raw)
        else:
            await self.server.bulk_delete([one.raw for one in what])

    async def redeliver(self, what: Said) -> None:
        await self.server.redeliver(what.raw)

    async def forget(self, person: Person, at: Place) -> str:
        return str((await self._command(person, "forget", at))["content"])

    async def export(self, person: Person, at: Place) -> str | bytes:
        sent = await self._command(person, "export", at)
        if not sent["attachments"]:
            return str(sent["content"])
        url = sent["attachments"][0]["url"]
        async with aiohttp.ClientSession() as session, session.get(url) as response:
            return await response.read()

    async def _command(self, person: Person, command: str, at: Place) -> Payload:
        count = len(self.server.sent(at.chat))
        await self.server.slash(at.chat, person.id, command)
        sent = (await self.server.wait_sent(at.chat, count + 1))[-1]
        assert sent["flags"] & EPHEMERAL, "only who asks sees it"
        assert not sent["flags"] & LOADING
        return sent

    async def press(
        self, person: Person, at: Place, label: str, *, number: int | None = None
    ) -> None:
        sent = self.server.sent(at.chat)
        for message in reversed(sent) if number is None else [sent[number]]:
            if label in _labels(message):
                await self.server.press(person.id, message, label)
                return
        raise LookupError(f"no button {label!r}")

    def slow_down(self, *, edits: bool, seconds: int = 0) -> None:
        wait = seconds or 0.2
        self.server.fail_next(_method(edits), "/messages", status=429, retry_after=wait)

    def refusals(self) -> int:
        return sum(call.status == 429 for call in self.server.requests)

    def waits(self, *, edits: bool) -> tuple[float, float]:
        calls = [call for call in self.server.requests if _is(call.method, call.path, edits)]
        refused = next(i for i, call in enumerate(calls) if call.status == 429)
        return 0.2, calls[refused + 1].time - calls[refused].time

    def sent(self, at: Place) -> list[str]:
        return [one["content"] for one in self.server.sent(at.chat)]

    def labels(self, at: Place) -> list[list[str]]:
        return [_labels(one) for one in self.server.sent(at.chat)]

    def repliers(self, at: Place) -> list[str | None]:
        found = [one.get("message_reference") for one in self.server.sent(at.chat)]
        return [one and f"{one['channel_id']}:{one['message_id']}" for one in found]

    def latest(self, at: Place) -> Said:
        return Said(self.server.sent(at.chat)[-1], self.source_ids(at)[-1])

    def texts(self) -> list[str]:
        calls = [call for call in self.server.requests if call.status == 200]
        return [call.body["content"] for call in calls if "content" in (call.body or {})]

    def source_ids(self, at: Place) -> tuple[str, ...]:
        return tuple(f"{at.chat}:{one['id']}" for one in self.server.sent(at.chat))

    def key(self, at: Place) -> str:
        return f"discord:{at.chat}"


def _labels(message: Payload) -> list[str]:
    return [part["label"] for part in every(message["components"]) if "label" in part]


def _method(edits: bool) -> str:
    return "PATCH" if edits else "POST"


def _is(method: str, path: str, edits: bool) -> bool:
    return method == _method(edits) and "/messages" in path


def _chosen(choose: Choosing) -> Scope:
    def key_of(where: Where) -> str | None:
        who = where.user if isinstance(where, discord.Interaction) else where.author
        return choose(who.display_name)

    return key_of
