"""The emulated Discord against discord.py itself: what the adapter's tests rely on holds here."""

from __future__ import annotations

import asyncio
import sys
from datetime import UTC, datetime
from io import BytesIO
from pathlib import Path

import discord
import pytest
from discord import app_commands

from emulators import discord_interactions
from emulators.discord import DiscordEmulator, Intent, point_at
from emulators.discord_scene import SECONDS, Bot, Scene


@pytest.mark.asyncio
async def test_a_message_reaches_the_bot_and_its_reply_reaches_the_channel(scene: Scene) -> None:
    async with scene.bot() as bot:
        said = await scene.say("ping")
        heard = await bot.next("message")
        (answer,) = await scene.server.wait_sent(scene.general, 1, SECONDS)
    assert (heard.id, heard.author.display_name) == (int(said["id"]), "Ada")
    assert isinstance(heard.author, discord.Member)
    assert answer["content"] == "pong"
    assert answer["message_reference"]["message_id"] == said["id"]


@pytest.mark.asyncio
async def test_a_message_may_be_dated(scene: Scene) -> None:
    yesterday = datetime(2026, 1, 2, 3, 4, 5, tzinfo=UTC)
    async with scene.bot() as bot:
        said = [await scene.say(text, at=yesterday) for text in ("one", "two")]
        heard = [await bot.next("message") for _ in said]
    assert [one.created_at for one in heard] == [yesterday, yesterday]
    assert len({one.id for one in heard}) == 2


@pytest.mark.asyncio
async def test_the_echo_of_an_own_message_has_the_id_that_send_returned(scene: Scene) -> None:
    async with scene.bot() as bot:
        sent = await scene.place(bot).send("Hello!")
        echo = await bot.next("message")
    assert (echo.id, echo.content, echo.author) == (sent.id, "Hello!", bot.user)


@pytest.mark.asyncio
async def test_an_edit_arrives_as_a_raw_event_with_the_new_text(scene: Scene) -> None:
    async with scene.bot() as bot:
        said = await scene.say("befor")
        await scene.server.edit(said, "before")
        event = await bot.next("edit")
    assert (event.message_id, event.message.content) == (int(said["id"]), "before")
    assert event.message.edited_at is not None


@pytest.mark.asyncio
async def test_a_link_preview_arrives_as_an_edit_in_which_nothing_changed(scene: Scene) -> None:
    async with scene.bot() as bot:
        said = await scene.say("see https://example.org")
        await scene.server.unfurl(said)
        event = await bot.next("edit")
    assert event.message.content == said["content"]
    assert event.message.edited_at is None
    assert len(event.message.embeds) == 1


@pytest.mark.asyncio
async def test_a_deletion_arrives_as_a_raw_event(scene: Scene) -> None:
    async with scene.bot() as bot:
        said = await scene.say("oops")
        await scene.server.delete(said)
        event = await bot.next("delete")
    assert (event.message_id, event.channel_id) == (int(said["id"]), int(scene.general["id"]))


@pytest.mark.asyncio
async def test_a_bulk_deletion_arrives_as_one_event(scene: Scene) -> None:
    async with scene.bot() as bot:
        said = [await scene.say("one"), await scene.say("two")]
        await scene.server.bulk_delete(said)
        event = await bot.next("bulk_delete")
    assert event.message_ids == {int(message["id"]) for message in said}


@pytest.mark.asyncio
async def test_the_bot_edits_and_deletes_its_own_messages(scene: Scene) -> None:
    async with scene.bot() as bot:
        first = await scene.place(bot).send("…")
        second = await scene.place(bot).send("gone soon")
        await first.edit(content="done")
        await second.delete()
        edited, deleted = await bot.next("edit"), await bot.next("delete")
    assert (edited.message_id, deleted.message_id) == (first.id, second.id)
    assert [message["content"] for message in scene.server.sent(scene.general)] == ["done"]


@pytest.mark.asyncio
async def test_the_bot_deletes_in_bulk_where_it_is_allowed_to(scene: Scene) -> None:
    said = [await scene.say("one"), await scene.say("two")]
    private = await scene.server.say(scene.server.dm(scene.ada), scene.ada, "mine")
    async with scene.bot() as bot:
        async with scene.place(bot).typing():
            assert len(await scene.place(bot).purge()) == len(said)
        event = await bot.next("bulk_delete")
        dm = await (await bot.fetch_user(int(scene.ada["id"]))).create_dm()
        with pytest.raises(discord.Forbidden) as refused:
            await dm.get_partial_message(int(private["id"])).delete()
    assert event.message_ids == {int(message["id"]) for message in said}
    assert refused.value.code == 50003


@pytest.mark.asyncio
async def test_the_bot_cannot_edit_what_others_wrote(scene: Scene) -> None:
    async with scene.bot() as bot:
        said = await scene.say("mine")
        with pytest.raises(discord.Forbidden) as refused:
            await scene.place(bot).get_partial_message(int(said["id"])).edit(content="yours")
    assert refused.value.code == 50005


@pytest.mark.asyncio
async def test_2001_characters_are_refused_with_50035(scene: Scene) -> None:
    async with scene.bot() as bot:
        await scene.place(bot).send("a" * 2_000)
        with pytest.raises(discord.HTTPException, match="2000 or fewer") as refused:
            await scene.place(bot).send("a" * 2_001)
    assert (refused.value.status, refused.value.code) == (400, 50035)
    assert len(scene.server.sent(scene.general)) == 1


@pytest.mark.asyncio
async def test_an_empty_message_is_refused_with_50006(scene: Scene) -> None:
    async with scene.bot() as bot:
        with pytest.raises(discord.HTTPException) as refused:
            await scene.place(bot).send(" ")
    assert (refused.value.status, refused.value.code) == (400, 50006)


@pytest.mark.asyncio
async def test_a_reply_to_a_deleted_message_is_refused_with_50035(scene: Scene) -> None:
    async with scene.bot() as bot:
        said = await scene.say("never mind")
        heard = await bot.next("message")
        await scene.server.delete(said)
        with pytest.raises(discord.HTTPException, match="Unknown message") as refused:
            await heard.reply("too late")
    assert (refused.value.status, refused.value.code) == (400, 50035)


@pytest.mark.asyncio
async def test_unknown_messages_and_channels_are_told_apart_by_code(scene: Scene) -> None:
    async with scene.bot() as bot:
        with pytest.raises(discord.NotFound) as no_message:
            await scene.place(bot).fetch_message(1)
        with pytest.raises(discord.NotFound) as no_channel:
            await bot.fetch_channel(1)
    assert (no_message.value.code, no_channel.value.code) == (10008, 10003)


@pytest.mark.asyncio
async def test_an_injected_403_carries_missing_permissions(scene: Scene) -> None:
    async with scene.bot() as bot:
        scene.server.fail_next("POST", "/messages", status=403)
        with pytest.raises(discord.Forbidden) as refused:
            await scene.place(bot).send("no")
        await scene.place(bot).send("yes")
    assert refused.value.code == 50013


@pytest.mark.asyncio
async def test_an_injected_429_is_repeated_by_the_client_after_its_wait(scene: Scene) -> None:
    async with scene.bot() as bot:
        scene.server.fail_next("POST", "/channels/", status=429, retry_after=0.05)
        await scene.place(bot).send("patience")
    calls = [call.status for call in scene.server.requests if call.method == "POST"]
    assert calls == [429, 200]


@pytest.mark.asyncio
async def test_a_message_with_a_nonce_that_was_used_is_not_sent_twice(scene: Scene) -> None:
    async with scene.bot() as bot:
        first, second = [await scene.place(bot).send("once", nonce="7") for _ in range(2)]
    assert first.id == second.id
    assert len(scene.server.sent(scene.general)) == 1


@pytest.mark.asyncio
async def test_a_route_that_is_missing_says_so(scene: Scene) -> None:
    async with scene.bot() as bot:
        with pytest.raises(discord.DiscordServerError, match="does not know GET /channels/"):
            await scene.place(bot).invites()


@pytest.mark.asyncio
async def test_a_wrong_token_does_not_log_in(scene: Scene) -> None:
    with point_at(scene.server.url):
        async with Bot() as bot:
            with pytest.raises(discord.LoginFailure):
                await bot.login("wrong")


@pytest.mark.asyncio
async def test_content_is_hidden_without_the_intent(scene: Scene) -> None:
    async with scene.bot(Bot(discord.Intents.default())) as bot:
        await scene.say("secret", attachments={"plan.txt": b"."})
        heard = await bot.next("message")
    assert (heard.content, heard.attachments) == ("", [])
    assert heard.author.display_name == "Ada"


@pytest.mark.asyncio
async def test_without_the_intent_mentions_dms_and_own_messages_are_readable(scene: Scene) -> None:
    async with scene.bot(Bot(discord.Intents.default())) as bot:
        said = [
            await scene.say("pinged", mentions_bot=True),
            await scene.say(f"<@{scene.server.bot['id']}> named"),
            await scene.server.say(scene.server.dm(scene.ada), scene.ada, "in private"),
        ]
        await scene.place(bot).send("my own")
        heard = [(await bot.next("message")).content for _ in range(4)]
    assert heard == [*(message["content"] for message in said), "my own"]


@pytest.mark.asyncio
async def test_a_privileged_intent_that_is_not_enabled_ends_the_connection() -> None:
    async with DiscordEmulator(privileged=Intent.GUILD_MEMBERS) as server:
        with point_at(server.url):
            async with Bot(discord.Intents.all()) as bot:
                with pytest.raises(discord.PrivilegedIntentsRequired):
                    await asyncio.wait_for(bot.start(server.token), SECONDS)


@pytest.mark.asyncio
async def test_the_members_intent_brings_the_members_of_a_guild(scene: Scene) -> None:
    intents = discord.Intents.default()
    intents.members = True
    async with scene.bot(Bot(intents)) as bot:
        (guild,) = bot.guilds
        (found,) = await guild.query_members("ad", limit=5)
        names = {member.display_name for member in guild.members}
    assert names == {"Ada", "Bot", "Owner"}
    assert found.id == int(scene.ada["id"])


@pytest.mark.asyncio
async def test_a_client_that_asks_for_another_compression_gets_plain_frames(
    scene: Scene, monkeypatch: pytest.MonkeyPatch
) -> None:
    kind = discord.utils._ActiveDecompressionContext
    monkeypatch.setattr(kind, "COMPRESSION_TYPE", "zstd-stream")
    async with scene.bot() as bot:
        await scene.say("plain")
        assert (await bot.next("message")).content == "plain"


@pytest.mark.asyncio
async def test_an_outage_of_a_guild_is_not_its_loss(scene: Scene) -> None:
    number = int(scene.guild["id"])
    async with scene.bot() as bot:
        await scene.server.remove_guild(scene.guild, outage=True)
        await scene.server.remove_guild(scene.guild)
        events = [await bot.next("guild") for _ in range(2)]
    assert events == [("unavailable", number), ("removed", number)]


@pytest.mark.asyncio
async def test_what_is_said_while_the_connection_is_cut_is_replayed_by_resume(scene: Scene) -> None:
    async with scene.bot() as bot:
        await scene.say("before")
        await bot.next("message")
        await scene.server.drop_connection()
        assert scene.server.connections == []
        await scene.say("meanwhile")
        await scene.server.wait_ready(SECONDS)
        await scene.say("after")
        heard = [(await bot.next("message")).content for _ in range(2)]
        (session,) = scene.server.connections
    assert heard == ["meanwhile", "after"]
    assert session.resumes == 1


@pytest.mark.asyncio
async def test_what_is_said_is_lost_when_the_session_cannot_be_resumed(scene: Scene) -> None:
    async with scene.bot() as bot:
        (old,) = scene.server.connections
        await scene.server.drop_connection(resumable=False)
        await scene.say("lost")
        await scene.server.wait_ready(SECONDS)
        await scene.say("heard")
        heard = await bot.next("message")
        (new,) = scene.server.connections
    assert heard.content == "heard"
    assert (new.id != old.id, new.resumes) == (True, 0)


@pytest.mark.asyncio
async def test_a_message_can_be_delivered_twice(scene: Scene) -> None:
    async with scene.bot() as bot:
        said = await scene.say("once")
        await scene.server.edit(said, "changed")
        await scene.server.redeliver(said)
        heard = [await bot.next("message") for _ in range(2)]
    assert [(m.id, m.content) for m in heard] == [(int(said["id"]), "once")] * 2


@pytest.mark.asyncio
async def test_two_bots_that_are_connected_at_once_both_hear_everything(scene: Scene) -> None:
    async with scene.bot() as old, scene.bot() as new:
        await scene.say("hello")
        heard = [(await bot.next("message")).content for bot in (old, new)]
    assert heard == ["hello", "hello"]
    assert scene.server.connections == []


class Commands(app_commands.Group):
    """Slash commands that answer in the three ways there are."""

    def __init__(self) -> None:
        super().__init__(name="ask", description="Ask")

    @app_commands.command(description="Takes its time")
    async def slowly(self, interaction: discord.Interaction, prompt: str) -> None:
        await interaction.response.defer()
        await interaction.followup.send(f"You asked: {prompt}")
        await interaction.followup.send("More?")

    @app_commands.command(description="Answers one person")
    async def quietly(self, interaction: discord.Interaction) -> None:
        await interaction.response.send_message("psst", ephemeral=True)
        await interaction.edit_original_response(content="psst!")

    @app_commands.command(description="Takes its answer back")
    async def briefly(self, interaction: discord.Interaction) -> None:
        await interaction.response.send_message("never mind")
        assert (await interaction.original_response()).content == "never mind"
        await interaction.delete_original_response()

    @app_commands.command(description="Answers twice")
    async def twice(self, interaction: discord.Interaction) -> None:
        await interaction.response.send_message("one")
        interaction.response._response_type = None
        with pytest.raises(discord.HTTPException) as refused:
            await interaction.response.send_message("two")
        await interaction.edit_original_response(content=str(refused.value.code))


class CommandBot(Bot):
    async def setup_hook(self) -> None:
        self.tree.add_command(Commands())
        await self.tree.sync()


@pytest.mark.asyncio
async def test_a_deferred_slash_command_is_answered_by_its_first_follow_up(scene: Scene) -> None:
    async with scene.bot(CommandBot()) as bot:
        await scene.server.slash(scene.general, scene.ada, "ask slowly", {"prompt": "Why?"})
        answers = await scene.server.wait_sent(scene.general, 2, SECONDS)
        placeholder, more = await bot.next("message"), await bot.next("message")
        update = await bot.next("edit")
    assert [answer["content"] for answer in answers] == ["You asked: Why?", "More?"]
    assert (placeholder.content, placeholder.flags.loading) == ("", True)
    assert (update.message_id, update.message.edited_at) == (placeholder.id, None)
    assert placeholder.interaction_metadata.user.display_name == "Ada"
    assert more.reference.message_id == placeholder.id


@pytest.mark.asyncio
async def test_an_ephemeral_answer_is_neither_echoed_nor_in_the_history(scene: Scene) -> None:
    async with scene.bot(CommandBot()) as bot:
        await scene.server.slash(scene.general, scene.ada, "ask quietly")
        await scene.server.wait_sent(scene.general, 1, SECONDS)
        await scene.say("anything")
        heard = await bot.next("message")
        history = [message.content async for message in scene.place(bot).history()]
    (answer,) = scene.server.sent(scene.general)
    assert (answer["content"], answer["flags"]) == ("psst!", 64)
    assert heard.content == "anything"
    assert history == ["anything"]


@pytest.mark.asyncio
async def test_the_first_answer_can_be_read_and_taken_back(scene: Scene) -> None:
    async with scene.bot(CommandBot()) as bot:
        await scene.server.slash(scene.server.dm(scene.ada), scene.ada, "ask briefly")
        echo, deletion = await bot.next("message"), await bot.next("delete")
    assert (echo.content, deletion.message_id) == ("never mind", echo.id)
    assert echo.webhook_id == bot.application_id


@pytest.mark.asyncio
async def test_a_second_first_answer_is_refused_with_40060(scene: Scene) -> None:
    async with scene.bot(CommandBot()):
        await scene.server.slash(scene.general, scene.ada, "ask twice")
        await scene.server.wait_for(
            lambda: [m["content"] for m in scene.server.sent(scene.general)] == ["40060"], SECONDS
        )


@pytest.mark.asyncio
async def test_a_first_answer_that_comes_too_late_is_refused_with_10062(
    scene: Scene, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(discord_interactions, "CALLBACK_SECONDS", 0.0)
    async with scene.bot(CommandBot()) as bot:
        refused: asyncio.Queue[int] = asyncio.Queue()

        @bot.tree.error
        async def note(_: discord.Interaction, error: app_commands.AppCommandError) -> None:
            cause = error.__cause__
            assert isinstance(cause, discord.NotFound)
            refused.put_nowait(cause.code)

        await scene.server.slash(scene.general, scene.ada, "ask quietly")
        assert await asyncio.wait_for(refused.get(), SECONDS) == 10062


@pytest.mark.asyncio
async def test_a_command_that_was_not_synced_cannot_be_used(scene: Scene) -> None:
    async with scene.bot():
        with pytest.raises(LookupError, match=r"tree\.sync"):
            await scene.server.slash(scene.general, scene.ada, "ask")


@pytest.mark.asyncio
async def test_bot_and_user_talk_in_one_dm_channel(scene: Scene) -> None:
    async with scene.bot() as bot:
        user = await bot.fetch_user(int(scene.ada["id"]))
        sent = await user.send("Hello, Ada.")
        await scene.server.say(scene.server.dm(scene.ada), scene.ada, "Hello, bot.")
        heard = [await bot.next("message") for _ in range(2)]
    assert {message.channel.id for message in heard} == {sent.channel.id}
    assert [message.guild for message in heard] == [None, None]


@pytest.mark.asyncio
async def test_a_thread_is_a_channel_of_its_own(scene: Scene) -> None:
    before = scene.server.thread(scene.general, "before")
    async with scene.bot() as bot:
        after = scene.server.thread(scene.general, "after")
        assert (await bot.next("message")).type is discord.MessageType.thread_created
        for thread in (before, after):
            await scene.server.say(thread, scene.ada, "ping")
            await scene.server.wait_sent(thread, 1, SECONDS)
        heard = await bot.next("message")
        await scene.server.delete_channel(before)
        gone = await bot.next("thread_delete")
    assert isinstance(heard.channel, discord.Thread)
    assert (heard.channel.id, heard.channel.parent_id) == (gone.thread_id, gone.parent_id)
    assert scene.server.sent(scene.general) == []


@pytest.mark.asyncio
async def test_a_thread_that_the_bot_starts_from_a_message_has_its_id(scene: Scene) -> None:
    async with scene.bot() as bot:
        said = await scene.say("discuss")
        thread = await (await bot.next("message")).create_thread(name="discussion")
        await thread.send("Go on.")
        update, starter = await bot.next("edit"), await bot.next("message")
    assert thread.id == int(said["id"])
    assert [message["content"] for message in scene.server.sent(thread.id)] == ["Go on."]
    assert (update.message.content, update.message.flags.has_thread) == ("discuss", True)
    assert (starter.content, starter.is_system()) == ("", False)
    assert starter.reference.resolved.content == "discuss"


@pytest.mark.asyncio
async def test_a_forum_post_is_a_thread_whose_first_message_has_its_id(scene: Scene) -> None:
    forum = scene.server.channel(scene.guild, "help", kind=15)
    async with scene.bot() as bot:
        place = bot.get_channel(int(forum["id"]))
        assert isinstance(place, discord.ForumChannel)
        thread, message = await place.create_thread(name="A question", content="Why?")
        echo = await bot.next("message")
    assert thread.id == message.id == echo.id == echo.channel.id
    assert echo.content == "Why?"


@pytest.mark.asyncio
async def test_the_history_can_be_read_in_both_directions(scene: Scene) -> None:
    said = [await scene.say(str(number)) for number in range(5)]
    second, fourth = (discord.Object(int(said[n]["id"])) for n in (1, 3))
    async with scene.bot() as bot:
        history = scene.place(bot).history
        newest = [message.content async for message in history(limit=2)]
        before = [message.content async for message in history(limit=2, before=fourth)]
        after = [message.content async for message in history(limit=2, after=second)]
    assert (newest, before, after) == (["4", "3"], ["2", "1"], ["2", "3"])


@pytest.mark.asyncio
async def test_files_travel_in_both_directions(scene: Scene) -> None:
    async with scene.bot() as bot:
        await scene.say("", attachments={"question.txt": b"why?"})
        (question,) = (await bot.next("message")).attachments
        read = await question.read()
        await scene.place(bot).send(file=discord.File(BytesIO(b"because"), "answer.txt"))
        (answer,) = scene.server.sent(scene.general)[0]["attachments"]
    assert (read, question.filename) == (b"why?", "question.txt")
    assert (answer["filename"], answer["size"]) == ("answer.txt", len(b"because"))


@pytest.mark.asyncio
async def test_a_stopped_server_is_an_outage_after_which_the_bot_resumes(scene: Scene) -> None:
    async with scene.bot() as bot:
        await scene.server.stop()
        await scene.say("in the dark")
        await scene.server.start()
        assert (await bot.next("message")).content == "in the dark"


@pytest.mark.asyncio
async def test_a_sharded_bot_connects_too(scene: Scene) -> None:
    heard: asyncio.Queue[str] = asyncio.Queue()
    with point_at(scene.server.url):
        async with discord.AutoShardedClient(intents=discord.Intents.all()) as client:

            @client.event
            async def on_message(message: discord.Message) -> None:
                heard.put_nowait(message.content)

            task = asyncio.create_task(client.start(scene.server.token))
            await scene.server.wait_ready(SECONDS)
            await scene.say("Hello!")
            assert await asyncio.wait_for(heard.get(), SECONDS) == "Hello!"
        await asyncio.wait_for(task, SECONDS)


PROGRAM = """
import sys
assert "discord" not in sys.modules
import discord
client = discord.Client(intents=discord.Intents.all())
@client.event
async def on_message(message):
    if message.content == "who?":
        await message.reply(f"{sys.modules['outer'].NAME}")
client.run("emulator")
"""


@pytest.mark.asyncio
async def test_an_unmodified_program_reaches_it_beside_another_sitecustomize(
    scene: Scene, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    (tmp_path / "sitecustomize.py").write_text("import outer")
    (tmp_path / "outer.py").write_text("NAME = 'a program'")
    monkeypatch.setenv("PYTHONPATH", str(tmp_path))
    process = await asyncio.create_subprocess_exec(
        sys.executable, "-c", PROGRAM, env=scene.server.environment()
    )
    try:
        await scene.server.wait_ready(SECONDS)
        await scene.say("who?")
        (answer,) = await scene.server.wait_sent(scene.general, 1, SECONDS)
    finally:
        process.terminate()
        await asyncio.wait_for(process.wait(), SECONDS)
    assert answer["content"] == "a program"


def test_pointing_at_the_emulator_is_undone_at_the_end() -> None:
    before = discord.http.Route.BASE, discord.gateway.DiscordWebSocket.DEFAULT_GATEWAY
    with point_at("http://127.0.0.1:1"):
        assert discord.http.Route.BASE == "http://127.0.0.1:1/api/v10"
    after = discord.http.Route.BASE, discord.gateway.DiscordWebSocket.DEFAULT_GATEWAY
    assert after == before
