"""`ctx.chat_session`: in each kind of command that has a context, of a bot's own and of a cog's."""

from __future__ import annotations

from collections.abc import Awaitable, Callable
from typing import Any

import pytest
from discord.ext import commands

from adapters.discord_bots import key_of, settles
from adapters.tools import RecordingBot, connected
from emulators.discord import DiscordEmulator
from emulators.discord_payloads import Payload
from turnkeep import SessionStore

pytestmark = [
    pytest.mark.asyncio,
    pytest.mark.usefixtures("kept_open"),
    pytest.mark.parametrize("store", ["jsonl"], indirect=True),
]


class Desk(commands.Cog):
    """Commands of a cog, which answer what is said with `ctx.chat_session`."""

    def __init__(self) -> None:
        self.found: list[tuple[str, list[str]]] = []

    async def note(self, ctx: commands.Context[Any]) -> None:
        session = ctx.chat_session  # type: ignore[attr-defined]
        window = await session.get_history()
        self.found.append((str(session.key), [message["content"] for message in window]))
        await session.answer("noted")

    @commands.command()
    async def plain(self, ctx: commands.Context[Any]) -> None:
        await self.note(ctx)

    @commands.hybrid_command()  # type: ignore[arg-type]
    async def both(self, ctx: commands.Context[Any]) -> None:
        await self.note(ctx)

    @commands.hybrid_group(fallback="show")  # type: ignore[arg-type]
    async def group(self, ctx: commands.Context[Any]) -> None:
        await self.note(ctx)

    @group.command()  # type: ignore[arg-type]
    async def inner(self, ctx: commands.Context[Any]) -> None:
        await self.note(ctx)


def add_commands(bot: commands.Bot, desk: Desk) -> None:
    """The same commands, as a bot's own."""

    @bot.command()
    async def plain(ctx: commands.Context[Any]) -> None:
        await desk.note(ctx)

    @bot.hybrid_command()
    async def both(ctx: commands.Context[Any]) -> None:
        await desk.note(ctx)

    @bot.hybrid_group(fallback="show")
    async def group(ctx: commands.Context[Any]) -> None:
        await desk.note(ctx)

    @group.command()
    async def inner(ctx: commands.Context[Any]) -> None:
        await desk.note(ctx)


Use = Callable[[DiscordEmulator, Payload, Payload], Awaitable[Any]]


@pytest.mark.parametrize("in_a_cog", [True, False], ids=["cog", "bot"])
@pytest.mark.parametrize(
    "use",
    [
        lambda server, place, ada: server.say(place, ada, "!plain"),
        lambda server, place, ada: server.say(place, ada, "!both"),
        lambda server, place, ada: server.say(place, ada, "!group inner"),
        lambda server, place, ada: server.slash(place, ada, "both"),
        lambda server, place, ada: server.slash(place, ada, "group inner"),
    ],
    ids=["prefix", "hybrid", "prefix group", "hybrid slash", "slash group"],
)
async def test_the_context_of_a_command_has_its_session_and_the_answer_to_the_latest_message(
    server: DiscordEmulator,
    store: SessionStore,
    place: Payload,
    ada: Payload,
    use: Use,
    in_a_cog: bool,
) -> None:
    bot, desk = RecordingBot(store), Desk()
    if not in_a_cog:
        add_commands(bot, desk)
    async with connected(server, bot):
        if in_a_cog:
            await bot.add_cog(desk)
        await bot.tree.sync()
        await server.say(place, ada, "hello")
        await use(server, place, ada)
        await settles(store, key_of(place), ["user: hello", "assistant: noted"])
        assert [one["content"] for one in server.sent(place)] == ["noted"]
    assert desk.found == [(key_of(place), ["hello"])]
