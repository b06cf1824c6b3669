"""Answers on Discord whose place is lost in the middle of them: they go on by the next way."""

from __future__ import annotations

from collections.abc import AsyncIterator, Awaitable, Callable
from typing import Any

import discord
import pytest

from adapters.tools import RecordingBot, all_turns, connected, keys
from emulators.discord import DiscordEmulator
from emulators.discord_payloads import Payload
from turnkeep import SessionStore, Turn
from turnkeep.adapter import ChatSession
from turnkeep_discord import chat_session

pytestmark = [pytest.mark.asyncio, pytest.mark.usefixtures("kept_open")]

QUARTER_OF_AN_HOUR = 15 * 60 + 1.0

Accident = Callable[[], Awaitable[object]]


class Talker:
    """A bot that says "one two three" where it is asked, and to which `accident` happens at two.

    `asked` are the pieces that were taken from its model.
    """

    def __init__(self, server: DiscordEmulator, store: SessionStore) -> None:
        self.server = server
        self.store = store
        self.bot = RecordingBot(store)
        self.asked: list[str] = []
        self.pieces = ["one ", "two ", "three"]
        self.ended: list[Exception | None] = []
        self.accident: Accident | None = None
        self.bot.event(self.on_message)

    async def on_message(self, message: discord.Message) -> None:
        if not message.author.bot:
            await self.answer(await chat_session(self.bot, message))

    async def answer(self, session: ChatSession) -> None:
        assert session.outlet is not None
        session.outlet.pace = 0
        try:
            await session.answer(self.says())
            self.ended.append(None)
        except Exception as error:
            self.ended.append(error)
            raise
        finally:
            self.server.notify()

    async def says(self) -> AsyncIterator[str]:
        for piece in self.pieces:
            if self.asked and self.accident is not None:
                accident, self.accident = self.accident, None
                await accident()
            self.asked.append(piece)
            yield piece

    async def told(self, place: Payload) -> list[Turn]:
        """The turns of a place, when the answer has ended without an exception."""
        await self.server.wait_for(lambda: self.ended, what="the end of the answer")
        assert self.ended == [None]
        return await all_turns(self.store, f"discord:{place['id']}")

    def shown(self, place: Payload) -> list[str]:
        return [one["content"] for one in self.server.sent(place)]


@pytest.fixture
def talker(server: DiscordEmulator, store: SessionStore) -> Talker:
    return Talker(server, store)


async def pass_time(server: DiscordEmulator) -> None:
    server.clock.advance(QUARTER_OF_AN_HOUR)


def with_command(talker: Talker, **deferral: Any) -> None:
    """A slash command `/ask`, which the bot's own code defers."""

    @talker.bot.tree.command(description="Ask")
    async def ask(interaction: discord.Interaction, prompt: str) -> None:
        if deferral:
            await interaction.response.defer(**deferral)
        await talker.answer(await chat_session(talker.bot, interaction, prompt=prompt))


async def test_when_the_interactions_token_ends_the_answer_goes_on_in_its_message(
    server: DiscordEmulator, talker: Talker, place: Payload, ada: Payload
) -> None:
    with_command(talker, thinking=True)
    talker.accident = lambda: pass_time(server)
    async with connected(server, talker.bot):
        await talker.bot.tree.sync()
        await server.slash(place, ada, "ask", {"prompt": "count"})
        turns = await talker.told(place)
        assert talker.shown(place) == ["one two three"]
    assert [call.status for call in server.requests].count(401) == 1, "it is not tried again"
    assert [turn.text for turn in turns] == ["count", "one two three"]
    assert turns[1].source_ids == (f"{place['id']}:{server.sent(place)[0]['id']}",)


async def test_when_the_token_ends_the_next_piece_is_a_message_in_the_channel(
    server: DiscordEmulator, talker: Talker, place: Payload, ada: Payload
) -> None:
    with_command(talker, thinking=True)
    talker.pieces = ["one " * 400, "two " * 400]
    talker.accident = lambda: pass_time(server)
    async with connected(server, talker.bot):
        await talker.bot.tree.sync()
        await server.slash(place, ada, "ask", {"prompt": "count"})
        (_, turn) = await talker.told(place)
        assert " ".join(talker.shown(place)) == "".join(talker.pieces).strip()
    assert turn.source_ids == tuple(f"{place['id']}:{one['id']}" for one in server.sent(place))
    assert len(turn.source_ids) == 2


async def test_what_one_user_was_to_see_ends_with_the_token_and_is_stored_as_far_as_it_came(
    server: DiscordEmulator, talker: Talker, place: Payload, ada: Payload
) -> None:
    with_command(talker, ephemeral=True)
    talker.accident = lambda: pass_time(server)
    talker.pieces = [f"{number} " for number in range(40)]
    async with connected(server, talker.bot):
        await talker.bot.tree.sync()
        await server.slash(place, ada, "ask", {"prompt": "count"})
        assert await talker.told(place) == [], "nothing of it is the whole channel's"
        (key,) = await keys(talker.store)
        (_, turn) = await all_turns(talker.store, key)
    assert len(talker.asked) == 2, "the other 38 are not paid for"
    assert (turn.text, turn.interrupted) == ("0 1 ", True)
    assert [text.strip() for text in talker.shown(place)] == ["0"]


async def test_an_answer_to_an_interaction_that_nobody_deferred_goes_to_the_channel(
    server: DiscordEmulator, talker: Talker, place: Payload, ada: Payload
) -> None:
    @talker.bot.tree.command(description="Ask")
    async def ask(interaction: discord.Interaction, prompt: str) -> None:
        session = await chat_session(talker.bot, interaction, prompt=prompt)
        server.clock.advance(4)
        await talker.answer(session)

    async with connected(server, talker.bot):
        await talker.bot.tree.sync()
        await server.slash(place, ada, "ask", {"prompt": "count"})
        turns = await talker.told(place)
        assert talker.shown(place) == ["one two three"]
    assert [turn.text for turn in turns] == ["count", "one two three"]


@pytest.mark.parametrize("locked", [False, True], ids=["archived", "locked"])
async def test_a_thread_that_is_archived_in_mid_answer_is_opened_again(
    server: DiscordEmulator, talker: Talker, place: Payload, ada: Payload, locked: bool
) -> None:
    thread = server.thread(place, "Thread")
    talker.accident = lambda: server.archive(thread, locked=locked)
    async with connected(server, talker.bot):
        await server.say(thread, ada, "count")
        turns = await talker.told(thread)
    assert talker.shown(thread) == ["one two three"]
    assert [turn.text for turn in turns] == ["[thread: Thread]", "count", "one two three"]


async def test_in_an_archived_thread_that_the_bot_may_not_open_a_new_message_does(
    server: DiscordEmulator, talker: Talker, place: Payload, ada: Payload
) -> None:
    thread = server.thread(place, "Thread")

    async def archive() -> None:
        await server.archive(thread)
        server.fail_next("PATCH", f"/channels/{thread['id']}", status=403, code=50083)
        server.fail_next("PATCH", f"/channels/{thread['id']}", status=403)

    talker.accident = archive
    async with connected(server, talker.bot):
        await server.say(thread, ada, "count")
        (_, _, turn) = await talker.told(thread)
    assert talker.shown(thread)[-1] == "one two three"
    assert len(turn.source_ids) == 2, "linked to the old message and to the new one"


async def test_in_a_locked_thread_that_the_bot_may_not_open_the_answer_ends(
    server: DiscordEmulator, talker: Talker, place: Payload, ada: Payload
) -> None:
    thread = server.thread(place, "Thread")

    async def lock() -> None:
        await server.archive(thread, locked=True)
        refuse = f"/channels/{thread['id']}"
        server.fail_next("PATCH", refuse, status=400, code=50083)
        server.fail_next("PATCH", refuse, status=403, times=2)

    talker.accident = lock
    async with connected(server, talker.bot):
        await server.say(thread, ada, "count")
        (_, _, turn) = await talker.told(thread)
    assert [text.strip() for text in talker.shown(thread)] == ["one"]
    assert (turn.text, turn.interrupted) == ("one two ", True)


@pytest.mark.parametrize("kind", ["thread", "channel"])
async def test_an_answer_ends_with_its_thread_or_channel_and_its_stream_too(
    server: DiscordEmulator, talker: Talker, place: Payload, ada: Payload, kind: str
) -> None:
    where = server.thread(place, "Thread") if kind == "thread" else place
    talker.accident = lambda: server.delete_channel(where)
    talker.pieces = [f"{number} " for number in range(40)]
    async with connected(server, talker.bot):
        await server.say(where, ada, "count")
        await server.wait_for(lambda: talker.ended, what="the end of the answer")
    assert talker.ended == [None]
    assert len(talker.asked) == 2, "the other 38 are not paid for"


async def test_a_message_that_is_deleted_in_mid_answer_is_sent_again(
    server: DiscordEmulator, talker: Talker, place: Payload, ada: Payload
) -> None:
    talker.accident = lambda: server.delete(server.sent(place)[0])
    async with connected(server, talker.bot):
        await server.say(place, ada, "count")
        turns = await talker.told(place)
    assert talker.shown(place) == ["one two three"]
    assert f"{place['id']}:{server.sent(place)[0]['id']}" in turns[1].source_ids


async def test_a_user_who_blocks_the_bot_in_mid_answer_gets_no_further_message(
    server: DiscordEmulator, talker: Talker, ada: Payload
) -> None:
    here = server.dm(ada)
    talker.pieces = ["word " * 500] * 40
    talker.accident = lambda: server.block(ada)
    async with connected(server, talker.bot):
        await server.say(here, ada, "count")
        (_, turn) = await talker.told(here)
    assert len(talker.asked) == 2, "the other 38 are not paid for"
    assert turn.interrupted
    assert turn.source_ids == tuple(f"{here['id']}:{one['id']}" for one in server.sent(here))


async def test_discord_py_does_not_sleep_longer_than_max_wait_unless_its_bot_says_so(
    server: DiscordEmulator, store: SessionStore
) -> None:
    usual, patient = RecordingBot(store), RecordingBot(store)
    patient.http.max_ratelimit_timeout = 3600
    for bot, limit in ((usual, 300), (patient, 3600)):
        async with connected(server, bot):
            assert bot.http.max_ratelimit_timeout == limit


async def test_a_wait_of_hours_in_which_discord_py_sleeps_by_itself_is_ended_too(
    server: DiscordEmulator,
    talker: Talker,
    place: Payload,
    ada: Payload,
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    @talker.bot.tree.command(description="Ask")
    async def ask(interaction: discord.Interaction, prompt: str) -> None:
        await interaction.response.defer()
        session = await chat_session(talker.bot, interaction, prompt=prompt)
        monkeypatch.setattr("turnkeep.adapter._growing.REQUEST_SECONDS", 0.3)
        await session.answer("All of it.", max_wait=0)
        talker.ended.append(None)
        server.notify()

    async with connected(server, talker.bot):
        await talker.bot.tree.sync()
        server.fail_next("POST", "/webhooks/", status=429, retry_after=43_838)
        await server.slash(place, ada, "ask", {"prompt": "count"})
        turns = await talker.told(place)
    assert [turn.text for turn in turns] == ["count", "All of it."]
