"""Tokens, links and nonces end on the emulated Discord, checked by discord.py."""

from __future__ import annotations

import asyncio
from collections.abc import Callable, Coroutine
from io import BytesIO
from typing import Any

import discord
import pytest
from yarl import URL

from emulators.discord_scene import SECONDS, Bot, Scene

pytestmark = pytest.mark.asyncio

MINUTE = 60.0
Say = Callable[[discord.Interaction], Coroutine[Any, Any, object]]


class Late(Bot):
    """A bot that defers or not, lets time pass, and keeps what its answer became."""

    def __init__(self, scene: Scene, *, defer: bool, wait: float, say: Say) -> None:
        super().__init__()
        self.outcome: asyncio.Future[object] = asyncio.get_running_loop().create_future()

        @self.tree.command(name="ask", description="Ask")
        async def ask(interaction: discord.Interaction) -> None:
            scene.server.clock.stop()
            if defer:
                await interaction.response.defer()
            scene.server.clock.advance(wait)
            try:
                self.outcome.set_result(await say(interaction))
            except discord.HTTPException as error:
                self.outcome.set_result((error.status, error.code))

    async def setup_hook(self) -> None:
        await self.tree.sync()


async def answer(interaction: discord.Interaction) -> object:
    return await interaction.response.send_message("answer")


async def follow_up(interaction: discord.Interaction) -> object:
    return await interaction.followup.send("answer", wait=True)


async def edit(interaction: discord.Interaction) -> object:
    return await interaction.edit_original_response(content="answer")


async def delete(interaction: discord.Interaction) -> object:
    await interaction.delete_original_response()
    return None


async def read(interaction: discord.Interaction) -> object:
    return await interaction.original_response()


@pytest.mark.parametrize(
    ("defer", "wait", "say", "code"),
    [
        (False, 4.0, answer, (404, 10062)),
        (False, 4.0, follow_up, (404, 10015)),
        (True, 16 * MINUTE, follow_up, (401, 50027)),
        (True, 16 * MINUTE, edit, (401, 50027)),
        (True, 16 * MINUTE, delete, (401, 50027)),
        (True, 16 * MINUTE, read, (401, 50027)),
    ],
)
async def test_a_token_ends_after_3_seconds_without_an_answer_and_after_15_minutes_with_one(
    scene: Scene, defer: bool, wait: float, say: Say, code: tuple[int, int]
) -> None:
    async with scene.bot(bot := Late(scene, defer=defer, wait=wait, say=say)):
        await scene.server.slash(scene.general, scene.ada, "ask")
        assert await asyncio.wait_for(bot.outcome, SECONDS) == code


@pytest.mark.parametrize("say", [follow_up, edit])
async def test_a_deferred_answer_may_come_within_15_minutes(scene: Scene, say: Say) -> None:
    async with scene.bot(bot := Late(scene, defer=True, wait=14 * MINUTE, say=say)):
        await scene.server.slash(scene.general, scene.ada, "ask")
        await asyncio.wait_for(bot.outcome, SECONDS)
    assert [one["content"] for one in scene.server.sent(scene.general)] == ["answer"]


async def test_an_answer_that_all_see_is_edited_after_its_token_by_its_id(scene: Scene) -> None:
    async def later(interaction: discord.Interaction) -> object:
        await interaction.edit_original_response(content="answ")
        message = await interaction.original_response()
        scene.server.clock.advance(16 * MINUTE)
        await scene.place(bot).get_partial_message(message.id).edit(content="answer")
        return message

    async with scene.bot(bot := Late(scene, defer=True, wait=0, say=later)):
        await scene.server.slash(scene.general, scene.ada, "ask")
        await asyncio.wait_for(bot.outcome, SECONDS)
    assert [one["content"] for one in scene.server.sent(scene.general)] == ["answer"]


async def test_what_happens_later_has_a_later_date(scene: Scene) -> None:
    async with scene.bot() as bot:
        await scene.say("one")
        scene.server.clock.advance(3600)
        await scene.say("two")
        one, two = await bot.next("message"), await bot.next("message")
    assert 3600 <= (two.created_at - one.created_at).total_seconds() < 3660


async def test_a_link_to_a_file_is_signed_and_ends_after_a_day(scene: Scene) -> None:
    async with scene.bot() as bot:
        await scene.say("", attachments={"plan.txt": b"plan"})
        message = await bot.next("message")
        (file,) = message.attachments
        query = URL(file.url).query
        assert int(query["ex"], 16) - int(query["is"], 16) == 24 * 3600
        assert await file.read() == b"plan"
        scene.server.clock.advance(24 * 3600 + 1)
        with pytest.raises(discord.NotFound):
            await file.read()
        (fresh,) = (await scene.place(bot).fetch_message(message.id)).attachments
        assert await fresh.read() == b"plan"
    assert fresh.url != file.url


@pytest.mark.parametrize("change", [{"ex": "ffffffff"}, {"hm": "0"}, {}])
async def test_a_link_without_its_signature_leads_nowhere(
    scene: Scene, change: dict[str, str]
) -> None:
    async with scene.bot() as bot:
        file = discord.File(BytesIO(b"plan"), "plan.txt")
        (sent,) = (await scene.place(bot).send(file=file)).attachments
        url = URL(sent.url)
        wrong = url.update_query(change) if change else url.with_query(None)
        with pytest.raises(discord.NotFound):
            await bot.http.get_from_cdn(str(wrong))
        assert await bot.http.get_from_cdn(str(url)) == b"plan"


async def test_a_forwarded_file_gets_fresh_links_too(scene: Scene) -> None:
    async with scene.bot() as bot:
        said = await scene.say("news", attachments={"plan.txt": b"plan"})
        forwarded = await scene.server.forward(said, scene.general, scene.ada)
        scene.server.clock.advance(48 * 3600)
        message = await scene.place(bot).fetch_message(int(forwarded["id"]))
        (snapshot,) = message.message_snapshots
        assert await snapshot.attachments[0].read() == b"plan"


async def test_a_nonce_is_remembered_for_a_few_minutes(scene: Scene) -> None:
    async with scene.bot() as bot:
        await scene.place(bot).send("one", nonce="7")
        scene.server.clock.advance(4 * MINUTE)
        await scene.place(bot).send("one", nonce="7")
        scene.server.clock.advance(4 * MINUTE)
        await scene.place(bot).send("two", nonce="7")
    assert [one["content"] for one in scene.server.sent(scene.general)] == ["one", "two"]
