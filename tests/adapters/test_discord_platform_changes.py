"""What changes on Discord after it was said: proxies, previews and deletions, seen on the disk."""

from __future__ import annotations

from pathlib import Path

import discord
import pytest

from adapters.discord_bots import AnsweringBot, key_of, on_disk, settles
from adapters.tools import RecordingBot, all_turns, connected, keys, said
from emulators.discord import DiscordEmulator
from emulators.discord_payloads import CHAT_INPUT_COMMAND, REPLY, Payload
from turnkeep import SessionStore

pytestmark = [
    pytest.mark.asyncio,
    pytest.mark.usefixtures("kept_open"),
    pytest.mark.parametrize("store", ["jsonl"], indirect=True),
]


async def test_of_a_proxied_message_one_turn_is_left_and_no_copy_of_the_original(
    server: DiscordEmulator, store: SessionStore, place: Payload, ada: Payload, tmp_path: Path
) -> None:
    bot = RecordingBot(store, record_webhooks=True)
    async with connected(server, bot):
        original = await server.say(place, ada, "l: original of Luna's")
        proxy = await server.post_webhook(place, "Luna", "said by Luna")
        await server.delete(original)
        await settles(store, key_of(place), ["user: said by Luna"])
        (turn,) = await all_turns(store, key_of(place))
        assert "original of Luna's" not in on_disk(tmp_path)
    assert turn.sender is not None
    assert turn.sender.name == "Luna"
    assert turn.source_ids == (f"{place['id']}:{proxy['id']}",)


async def test_many_that_are_proxied_at_once_are_left_in_their_order(
    server: DiscordEmulator, store: SessionStore, place: Payload, ada: Payload
) -> None:
    bot = RecordingBot(store, record_webhooks=True)
    async with connected(server, bot):
        originals = []
        for number in range(10):
            originals.append(await server.say(place, ada, f"l: {number}"))
            await server.post_webhook(place, "Luna", str(number))
            if number % 2:
                await server.bulk_delete(originals[-2:])
        await settles(store, key_of(place), [f"user: {number}" for number in range(10)])


async def test_a_proxied_message_that_is_edited_or_deleted_is_so_in_the_history(
    server: DiscordEmulator, store: SessionStore, place: Payload
) -> None:
    bot = RecordingBot(store, record_webhooks=True)
    async with connected(server, bot):
        first = await server.post_webhook(place, "Luna", "first")
        second = await server.post_webhook(place, "Luna", "second")
        await bot.hears(server, 2)
        await server.edit(first, "first!")
        await server.delete(second)
        await settles(store, key_of(place), ["user: first!"])


async def test_two_who_share_a_webhook_are_two_senders(
    server: DiscordEmulator, store: SessionStore, place: Payload
) -> None:
    bot = RecordingBot(store, record_webhooks=True)
    async with connected(server, bot):
        for name in ("Luna", "Sol", "Luna"):
            await server.post_webhook(place, name, "hi")
        await bot.hears(server, 3)
    senders = [turn.sender for turn in await all_turns(store, key_of(place))]
    assert [sender.name for sender in senders if sender] == ["Luna", "Sol", "Luna"]
    assert senders[0] == senders[2]
    assert senders[0] != senders[1]


async def test_by_default_nothing_of_what_webhooks_post_is_recorded(
    server: DiscordEmulator, store: SessionStore, place: Payload
) -> None:
    bot, other = RecordingBot(store), server.user("Other", bot=True)
    async with connected(server, bot):
        for application in (None, other):
            message = await server.post_webhook(place, "News", "hi", application=application)
            await server.edit(message, "hi!")
        await bot.hears(server, 2)
        await server.say(place, other, "done")
        await bot.hears(server, 3)
        assert await keys(store) == []


@pytest.mark.parametrize("record_webhooks", [False, True])
async def test_what_another_bot_answers_to_a_command_is_no_proxys(
    server: DiscordEmulator,
    store: SessionStore,
    place: Payload,
    ada: Payload,
    record_webhooks: bool,
) -> None:
    bot, other = RecordingBot(store, record_webhooks=record_webhooks), server.user("X", bot=True)
    hook = {"webhook_id": other["id"], "application_id": other["id"]}
    about = {"id": "1", "type": 2, "user": ada, "authorizing_integration_owners": {}}
    async with connected(server, bot):
        first = await server.say(
            place, other, "42", type=CHAT_INPUT_COMMAND, interaction_metadata=about, **hook
        )
        reference = {"type": 0, "channel_id": place["id"], "message_id": first["id"]}
        await server.say(place, other, "more", type=REPLY, message_reference=reference, **hook)
        await bot.hears(server, 2)
        assert await keys(store) == []


async def test_the_bots_own_answers_to_a_command_are_no_proxys(
    server: DiscordEmulator, store: SessionStore, place: Payload, ada: Payload
) -> None:
    bot = RecordingBot(store, record_webhooks=True)

    @bot.tree.command(description="Say")
    async def speak(interaction: discord.Interaction) -> None:
        await interaction.response.defer()
        for text in ("one", "two"):
            await interaction.followup.send(text)

    async with connected(server, bot):
        await bot.tree.sync()
        await server.slash(place, ada, "speak")
        await server.wait_sent(place, 2)
        await server.say(place, ada, "next")
        await bot.hears(server, 3)
        assert await said(store, key_of(place)) == ["user: next"]


async def test_the_preview_of_a_link_changes_nothing_on_the_disk(
    server: DiscordEmulator, store: SessionStore, place: Payload, ada: Payload, tmp_path: Path
) -> None:
    bot = RecordingBot(store)
    async with connected(server, bot):
        message = await server.say(place, ada, "see https://example.org")
        reply = await server.say(place, ada, "that one: https://example.com", reply_to=message)
        await bot.hears(server, 2)
        before = on_disk(tmp_path)
        for one in (message, reply):
            await server.unfurl(one)
        await server.say(place, server.user("Other", bot=True), "which comes after the previews")
        await bot.hears(server, 3)
        assert "https://example.com" in before
        assert on_disk(tmp_path) == before


async def test_the_preview_of_a_link_starts_no_second_answer(
    server: DiscordEmulator, store: SessionStore, place: Payload, ada: Payload
) -> None:
    bot = AnsweringBot(store, busy="queue")
    async with connected(server, bot):
        await server.unfurl(await server.say(place, ada, "see https://example.org"))
        await server.say(place, ada, "next")
        await server.wait_for(lambda: len(bot.begun) == 2)
        await server.say(place, ada, "last")
        await server.wait_for(lambda: len(bot.begun) == 3)
    assert bot.begun == ["see https://example.org", "next", "last"]
    assert len(server.sent(place)) == 3


async def test_what_is_deleted_in_bulk_is_gone_from_the_disk_and_its_neighbours_are_not(
    server: DiscordEmulator, store: SessionStore, place: Payload, ada: Payload, tmp_path: Path
) -> None:
    bot = RecordingBot(store)
    async with connected(server, bot):
        messages = [await server.say(place, ada, f"text {number}") for number in range(10)]
        await bot.hears(server, 10)
        await server.bulk_delete(messages[2:8])
        left = (0, 1, 8, 9)
        await settles(store, key_of(place), [f"user: text {number}" for number in left])
        lies = on_disk(tmp_path)
    assert [number for number in range(10) if f"text {number}" in lies] == list(left)


async def test_an_answer_that_is_deleted_on_discord_is_gone_from_the_history(
    server: DiscordEmulator, store: SessionStore, place: Payload, ada: Payload
) -> None:
    async with connected(server, AnsweringBot(store)):
        await server.say(place, ada, "hello")
        await settles(store, key_of(place), ["user: hello", "assistant: echo: hello "])
        (answer,) = server.sent(place)
        await server.delete(answer)
        await settles(store, key_of(place), ["user: hello"])
