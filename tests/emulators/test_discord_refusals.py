"""Refusals of the emulated Discord (threads, texts, rates, people), checked by discord.py.

The modules under test name the source of each rule.
"""

from __future__ import annotations

import asyncio
from collections.abc import Awaitable

import aiohttp
import discord
import pytest

from emulators.discord_payloads import Payload
from emulators.discord_scene import SECONDS, Bot, Scene

pytestmark = pytest.mark.asyncio


async def refusal(call: Awaitable[object]) -> tuple[int, int]:
    """Return the status and the code of a refused call."""
    with pytest.raises(discord.HTTPException) as caught:
        await call
    return caught.value.status, caught.value.code


def messageable(bot: Bot, place: Payload) -> discord.PartialMessageable:
    return bot.get_partial_messageable(int(place["id"]))


def raw_client(scene: Scene) -> aiohttp.ClientSession:
    """Return a client that, unlike discord.py, never waits for its bucket to be full again."""
    headers = {"Authorization": f"Bot {scene.server.token}"}
    return aiohttp.ClientSession(f"{scene.server.url}/api/v10/", headers=headers)


async def post(web: aiohttp.ClientSession, place: Payload) -> aiohttp.ClientResponse:
    async with web.post(f"channels/{place['id']}/messages", json={"content": "x"}) as response:
        await response.read()
    return response


async def test_an_archived_thread_takes_no_edits_and_no_reactions_but_deletions(
    scene: Scene,
) -> None:
    thread = scene.server.thread(scene.general, "old")
    async with scene.bot() as bot:
        sent = await messageable(bot, thread).send("answ")
        await scene.server.archive(thread)
        assert await refusal(sent.edit(content="answer")) == (400, 50083)
        assert await refusal(sent.add_reaction("👍")) == (400, 50083)
        with pytest.raises(Exception, match="50083"):
            await scene.server.edit({"channel_id": thread["id"], "id": str(sent.id)}, "mine")
        await sent.delete()
    assert scene.server.sent(thread) == []


async def test_sending_unarchives_a_thread_whoever_sends(scene: Scene) -> None:
    ours, theirs = (scene.server.thread(scene.general, name) for name in ("ours", "theirs"))
    async with scene.bot() as bot:
        sent = await messageable(bot, ours).send("answ")
        for thread in (ours, theirs):
            await scene.server.archive(thread)
        await scene.server.wait_for(lambda: not bot.guilds[0].threads, SECONDS)
        await messageable(bot, ours).send("more")
        await sent.edit(content="answer")
        await scene.server.say(theirs, scene.ada, "still there?")
        heard = [(await bot.next("message")).content for _ in range(3)][-1]
        names = sorted(thread.name for thread in bot.guilds[0].threads)
    assert (heard, names) == ("still there?", ["ours", "theirs"])


async def test_a_locked_thread_is_unarchived_by_hand_before_anybody_writes(scene: Scene) -> None:
    thread = scene.server.thread(scene.general, "done")
    async with scene.bot() as bot:
        await scene.server.archive(thread, locked=True)
        assert await refusal(messageable(bot, thread).send("x")) == (400, 50083)
        with pytest.raises(Exception, match="50083"):
            await scene.server.say(thread, scene.ada, "x")
        found = await bot.fetch_channel(int(thread["id"]))
        assert isinstance(found, discord.Thread)
        assert await refusal(found.edit(name="undone")) == (400, 50083)
        await found.edit(archived=False, name="undone")
        await found.send("moderators may")
    (sent,) = scene.server.sent(thread)
    assert sent["content"] == "moderators may"


async def test_a_deferred_answer_in_an_archived_thread_cannot_be_filled_in(scene: Scene) -> None:
    thread = scene.server.thread(scene.general, "old")
    outcome: asyncio.Future[tuple[int, int]] = asyncio.get_running_loop().create_future()

    class Slow(Bot):
        async def setup_hook(self) -> None:
            await self.tree.sync()

    bot = Slow()

    @bot.tree.command(name="ask", description="Ask")
    async def ask(interaction: discord.Interaction) -> None:
        await interaction.response.defer()
        await scene.server.archive(thread)
        outcome.set_result(await refusal(interaction.edit_original_response(content="answer")))

    async with scene.bot(bot):
        await scene.server.slash(thread, scene.ada, "ask")
        assert await asyncio.wait_for(outcome, SECONDS) == (400, 50083)


async def test_white_space_around_a_text_is_trimmed(scene: Scene) -> None:
    async with scene.bot() as bot:
        sent = await scene.place(bot).send("\n  one\n\ntwo \n")
        assert sent.content == "one\n\ntwo"
        assert (await sent.edit(content="three\n")).content == "three"
        await bot.next("message")
        await scene.say("ping \n")
        assert (await bot.next("message")).content == "ping"
        assert await refusal(sent.edit(content=" \n")) == (400, 50006)


async def test_a_role_that_a_guild_keeps_for_the_bot_is_the_bots(scene: Scene) -> None:
    proxy = scene.server.user("Proxy", bot=True)
    early = scene.server.bot_role(scene.guild)
    async with scene.bot() as bot:
        late = scene.server.bot_role(scene.guild, proxy)
        await scene.say(f"<@&{early['id']}> <@&{late['id']}>")
        heard = await bot.next("message")
        guild = bot.guilds[0]
        assert guild.self_role is not None
        assert (guild.self_role.name, guild.self_role.managed) == ("Bot", True)
        assert guild.me.roles[-1] == guild.self_role
        assert [role.is_bot_managed() for role in heard.role_mentions] == [True, True]
        assert heard.role_mentions[1].tags.bot_id == int(proxy["id"])
        await scene.place(bot).send("me")
        assert (await bot.next("message")).author.roles[-1] == guild.self_role


async def test_who_blocked_the_bot_gets_no_direct_messages(scene: Scene) -> None:
    async with scene.bot() as bot:
        user = await bot.fetch_user(int(scene.ada["id"]))
        await user.send("hello")
        await scene.server.block(scene.ada)
        assert await refusal(user.send("still there?")) == (403, 50007)


async def test_a_client_that_reads_the_headers_never_meets_a_limit(scene: Scene) -> None:
    scene.server.limit_rates(requests=2, seconds=0.2)
    async with scene.bot() as bot:
        for number in range(5):
            await scene.place(bot).send(str(number))
    assert len(scene.server.sent(scene.general)) == 5
    assert [call for call in scene.server.requests if call.status == 429] == []


async def test_two_clients_share_a_bucket(scene: Scene) -> None:
    async with scene.bot() as bot, raw_client(scene) as other:
        scene.server.clock.stop()
        scene.server.limit_rates(requests=1, seconds=60)
        bot.http.max_ratelimit_timeout = 30
        await post(other, scene.general)
        with pytest.raises(discord.RateLimited) as caught:
            await scene.place(bot).send("two")
    assert caught.value.retry_after == 60
    assert [call.status for call in scene.server.requests][-1] == 429


async def test_each_channel_has_a_bucket_of_its_own(scene: Scene) -> None:
    other = scene.server.channel(scene.guild, "other")
    scene.server.clock.stop()
    scene.server.limit_rates(requests=1, seconds=60)
    async with raw_client(scene) as web:
        answers = [await post(web, place) for place in (scene.general, other, scene.general)]
    assert [answer.status for answer in answers] == [200, 200, 429]


async def test_a_429_says_in_header_and_body_how_long_to_wait(scene: Scene) -> None:
    scene.server.clock.stop()
    scene.server.limit_rates(requests=1, seconds=60, everything=0)
    async with raw_client(scene) as web:
        sent = await post(web, scene.general)
        scene.server.clock.advance(20)
        refused = await post(web, scene.general)
    assert sent.headers["X-RateLimit-Remaining"] == "0"
    body, told = await refused.json(), refused.headers
    assert (refused.status, body["global"], told["X-RateLimit-Scope"]) == (429, False, "user")
    assert body["retry_after"] == 40
    assert (told["Retry-After"], told["X-RateLimit-Limit"]) == ("40", "1")
    assert told["X-RateLimit-Reset-After"] == "40.0"


async def test_all_requests_together_have_a_limit_too(scene: Scene) -> None:
    other = scene.server.channel(scene.guild, "other")
    async with scene.bot() as bot:
        scene.server.clock.stop()
        scene.server.limit_rates(requests=0, everything=1)
        await scene.place(bot).send("one")
        sending = asyncio.create_task(messageable(bot, other).send("two"))
        await scene.server.wait_for(lambda: scene.server.requests[-1].status == 429, SECONDS)
        scene.server.clock.advance(1)
        await sending
    assert [one["content"] for one in scene.server.sent(other)] == ["two"]
