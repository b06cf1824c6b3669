"""`SessionCog(render=…)`: answers as embeds or components, with their buttons, on Discord."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator
from typing import Any

import discord
import pytest

from adapters.discord_bots import key_of, settles
from adapters.tools import connected
from emulators.discord import DiscordEmulator
from emulators.discord_components import every
from emulators.discord_payloads import COMPONENTS_V2, Payload
from turnkeep import SessionStore
from turnkeep.adapter import AGAIN_LABEL, STOP_LABEL, ChatSession
from turnkeep_discord import SessionCog, text_of

pytestmark = [pytest.mark.asyncio, pytest.mark.usefixtures("kept_open")]

STORED = ["user: hello", "assistant: one **two**"]


class Bot(discord.ext.commands.Bot):
    """A bot whose answers are rendered, and which may be stopped and asked again."""

    def __init__(self, store: SessionStore, **options: Any) -> None:
        super().__init__("!", intents=discord.Intents.all())
        self.store, self.options = store, options
        self.go_on = asyncio.Event()
        self.go_on.set()

    async def setup_hook(self) -> None:
        await self.add_cog(SessionCog(self, self.store, **self.options))

    async def on_session_message(self, message: discord.Message, session: ChatSession) -> None:
        await self.answer(session)

    async def answer(self, session: ChatSession) -> None:
        assert session.outlet is not None
        session.outlet.pace = 0
        await session.answer(self.says())

    async def says(self) -> AsyncIterator[str]:
        yield "one "
        await self.go_on.wait()
        yield "**two**"


def as_embed(text: str) -> dict[str, Any]:
    return {"embed": discord.Embed(description=text, title="Answer")}


def as_layout(text: str) -> dict[str, Any]:
    view = discord.ui.LayoutView(timeout=None)
    view.add_item(discord.ui.Container(discord.ui.TextDisplay(text)))
    return {"view": view}


def labels(message: Payload) -> list[str]:
    return [part["label"] for part in every(message["components"]) if "label" in part]


def shown(message: Payload) -> list[str]:
    """The texts of a message: content, embeds, components."""
    parts = [part["content"] for part in every(message["components"]) if "content" in part]
    texts = [message["content"], *(one["description"] for one in message["embeds"]), *parts]
    return [text for text in texts if text]


@pytest.mark.parametrize("render", [as_embed, as_layout])
async def test_an_answer_grows_as_its_renderer_wants_it(
    server: DiscordEmulator, store: SessionStore, place: Payload, ada: Payload, render: Any
) -> None:
    bot = Bot(store, render=render, stop=True)
    bot.options["regenerate"] = bot.answer
    bot.go_on.clear()
    async with connected(server, bot):
        await server.say(place, ada, "hello")
        (growing,) = await server.wait_sent(place, 1)
        assert (shown(growing), labels(growing)) == (["one "], [STOP_LABEL])
        bot.go_on.set()
        await server.wait_for(lambda: labels(server.sent(place)[0]) == [AGAIN_LABEL])
        (sent,) = server.sent(place)
        assert shown(sent) == ["one **two**"]
        assert bool(sent["flags"] & COMPONENTS_V2) == (render is as_layout)
        await settles(store, key_of(place), STORED)
        await server.press(ada, sent, AGAIN_LABEL)
        await server.wait_for(lambda: [one["id"] for one in server.sent(place)] != [sent["id"]])
        await server.wait_for(lambda: len(server.sent(place)) == 1)
        await settles(store, key_of(place), STORED)


@pytest.mark.parametrize("render", [as_embed, as_layout])
@pytest.mark.parametrize("refused", ["POST", "PATCH"])
async def test_a_refused_piece_is_shown_as_the_model_wrote_it(
    server: DiscordEmulator,
    store: SessionStore,
    place: Payload,
    ada: Payload,
    render: Any,
    refused: str,
) -> None:
    async with connected(server, Bot(store, render=render)):
        server.fail_next(refused, "/messages", status=400, code=50035)
        await server.say(place, ada, "hello")
        await server.wait_for(
            lambda: [shown(one) for one in server.sent(place)] == [["one **two**"]]
        )
        await settles(store, key_of(place), STORED)


async def test_an_interaction_is_answered_so_too(
    server: DiscordEmulator, store: SessionStore, place: Payload, ada: Payload
) -> None:
    class Asked(Bot):
        async def setup_hook(self) -> None:
            await super().setup_hook()

            @self.tree.command(description="Ask")
            async def ask(interaction: discord.Interaction, question: str) -> None:
                await interaction.response.defer()
                cog = self.get_cog("SessionCog")
                assert isinstance(cog, SessionCog)
                session = await cog.session(interaction)
                assert session is not None
                await self.answer(session)

            await self.tree.sync()

    async with connected(server, Asked(store, render=as_layout)):
        await server.slash(place, ada, "ask", {"question": "hello"})
        await server.wait_for(
            lambda: [shown(one) for one in server.sent(place)] == [["one **two**"]]
        )
        await settles(store, key_of(place), STORED)


async def test_what_is_shown_in_components_is_read_as_text(
    server: DiscordEmulator, store: SessionStore, place: Payload, ada: Payload
) -> None:
    heard: list[str] = []

    class Listening(Bot):
        async def on_message(self, message: discord.Message) -> None:
            if message.author == self.user:
                heard.append(text_of(message))

    async with connected(server, Listening(store, render=as_layout)):
        await server.say(place, ada, "hello")
        await server.wait_for(lambda: heard)
    assert heard == ["one "]
