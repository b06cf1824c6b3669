"""What people do on the emulated Discord, as discord.py hears of it and answers."""

from __future__ import annotations

import asyncio
from typing import Any

import discord
import pytest
from discord import app_commands

from emulators.discord import point_at
from emulators.discord_scene import SECONDS, Bot, Scene

pytestmark = pytest.mark.asyncio


class MenuBot(Bot):
    """A bot with a command in each context menu."""

    def __init__(self) -> None:
        super().__init__()
        self.targets: list[Any] = []

    async def setup_hook(self) -> None:
        async def take(interaction: discord.Interaction, target: discord.Message) -> None:
            self.targets.append(target)
            await interaction.response.send_message("taken", ephemeral=True)

        async def greet(interaction: discord.Interaction, target: discord.Member) -> None:
            self.targets.append(target)
            await interaction.response.send_message("hello")

        self.tree.add_command(app_commands.ContextMenu(name="Take", callback=take))
        self.tree.add_command(app_commands.ContextMenu(name="Greet", callback=greet))
        await self.tree.sync()


async def test_a_command_in_a_menu_is_given_what_it_was_used_on(scene: Scene) -> None:
    async with scene.bot(bot := MenuBot()):
        said = await scene.say("mine")
        await scene.server.message_menu(scene.ada, "Take", said)
        await scene.server.wait_sent(scene.general, 1, SECONDS)
        await scene.server.user_menu(scene.general, scene.ada, "Greet", scene.ada)
        private, public = await scene.server.wait_sent(scene.general, 2, SECONDS)
        with pytest.raises(LookupError, match="only"):
            await scene.server.slash(scene.general, scene.ada, "Take")
    assert (bot.targets[0].id, bot.targets[0].content) == (int(said["id"]), "mine")
    assert isinstance(bot.targets[1], discord.Member)
    assert [bool(answer["flags"] & 64) for answer in (private, public)] == [True, False]


class Form(discord.ui.Modal, title="Form"):
    name: discord.ui.TextInput[Any] = discord.ui.TextInput(label="Name", custom_id="name")
    drink: discord.ui.Label[Any] = discord.ui.Label(
        text="Drink",
        component=discord.ui.Select(
            custom_id="drink", options=[discord.SelectOption(label="Green tea", value="green")]
        ),
    )

    async def on_submit(self, interaction: discord.Interaction) -> None:
        assert isinstance(self.drink.component, discord.ui.Select)
        text = f"{self.name.value}: {self.drink.component.values}"
        await interaction.response.edit_message(content=text, view=None)


class Panel(discord.ui.View):
    """One of everything."""

    @discord.ui.button(label="Wait")
    async def wait_for_it(self, interaction: discord.Interaction, _: Any) -> None:
        await interaction.response.defer()
        await interaction.followup.send("at last")

    @discord.ui.button(label="Think")
    async def think(self, interaction: discord.Interaction, _: Any) -> None:
        await interaction.response.defer(thinking=True)
        await interaction.followup.send("thought")

    @discord.ui.button(label="Form")
    async def form(self, interaction: discord.Interaction, _: Any) -> None:
        await interaction.response.send_modal(Form())

    @discord.ui.select(cls=discord.ui.UserSelect)
    async def who(
        self, interaction: discord.Interaction, select: discord.ui.UserSelect[Any]
    ) -> None:
        await interaction.response.send_message(select.values[0].display_name)


async def test_components_are_used_and_answered_as_discord_py_does_it(scene: Scene) -> None:
    server, place = scene.server, scene.general
    async with scene.bot() as bot:
        await scene.place(bot).send("Well?", view=Panel())
        (panel,) = await server.wait_sent(place, 1, SECONDS)
        for count, label in ((2, "Wait"), (3, "Think")):
            await server.press(scene.ada, panel, label)
            await server.wait_sent(place, count, SECONDS)
        await server.choose(scene.ada, panel, scene.ada)
        await server.wait_sent(place, 4, SECONDS)
        opened = await server.press(scene.ada, panel, "Form")
        await server.wait_for(lambda: server.form(opened), SECONDS)
        await server.submit(scene.ada, opened, name="Ada", drink=["Green tea"])
        await server.wait_for(lambda: not server.sent(place)[0]["components"], SECONDS)
        with pytest.raises(LookupError, match="no button"):
            await server.press(scene.ada, panel, "Nothing")
    sent = [message["content"] for message in server.sent(place)]
    assert sent == ["Ada: ['green']", "at last", "thought", "Ada"]


async def test_text_beside_components_of_version_2_is_refused(scene: Scene) -> None:
    view = discord.ui.LayoutView()
    view.add_item(discord.ui.TextDisplay("Hello"))
    async with scene.bot() as bot:
        sent = await scene.place(bot).send(view=view)
        with pytest.raises(discord.HTTPException, match="IS_COMPONENTS_V2"):
            await sent.edit(content="too much")


async def test_a_forward_carries_a_snapshot_and_no_text(scene: Scene) -> None:
    async with scene.bot() as bot:
        said = await scene.say("news", attachments={"plan.txt": b"."})
        await scene.server.forward(said, scene.general, scene.ada)
        await bot.next("message")
        heard = await bot.next("message")
    assert (heard.content, heard.reference.message_id) == ("", int(said["id"]))
    (snapshot,) = heard.message_snapshots
    assert (snapshot.content, len(snapshot.attachments)) == ("news", 1)


async def test_a_voice_message_is_an_audio_file_with_its_length(scene: Scene) -> None:
    async with scene.bot() as bot:
        await scene.server.speak(scene.general, scene.ada, b"ogg", 2.5)
        heard = await bot.next("message")
        (file,) = heard.attachments
        assert await file.read() == b"ogg"
    assert (heard.flags.voice, file.is_voice_message(), file.duration) == (True, True, 2.5)
    assert file.content_type.startswith("audio/")


async def test_a_webhook_writes_under_a_name_of_its_own(scene: Scene) -> None:
    proxy = scene.server.user("Proxy", bot=True)
    async with scene.bot() as bot:
        for application in (None, proxy):
            await scene.server.post_webhook(scene.general, "Luna", "hi", application=application)
        plain, owned = await bot.next("message"), await bot.next("message")
    assert [message.author.name for message in (plain, owned)] == ["Luna", "Luna"]
    assert not isinstance(plain.author, discord.Member)
    assert plain.webhook_id == plain.author.id != owned.webhook_id
    assert (plain.application_id, owned.application_id) == (None, int(proxy["id"]))


async def test_a_role_is_known_and_mentioned(scene: Scene) -> None:
    early = scene.server.role(scene.guild, "early")
    async with scene.bot() as bot:
        late = scene.server.role(scene.guild, "late")
        await scene.say(f"<@&{early['id']}> <@&{late['id']}>")
        heard = await bot.next("message")
    assert heard.clean_content == "@early @late"
    assert [role.name for role in heard.role_mentions] == ["early", "late"]


@pytest.mark.parametrize("kind", [2, 13], ids=["voice", "stage"])
async def test_voice_and_stage_channels_have_a_chat(scene: Scene, kind: int) -> None:
    place = scene.server.channel(scene.guild, "talk", kind)
    async with scene.bot():
        await scene.server.say(place, scene.ada, "ping")
        (answer,) = await scene.server.wait_sent(place, 1, SECONDS)
    assert answer["content"] == "pong"


async def test_an_archived_thread_is_not_among_those_of_its_guild(scene: Scene) -> None:
    before, during = (scene.server.thread(scene.general, name) for name in ("before", "during"))
    await scene.server.archive(before)
    async with scene.bot() as bot:
        assert [thread.name for thread in bot.guilds[0].threads] == ["during"]
        await scene.server.archive(during)
        await scene.server.wait_for(lambda: not bot.guilds[0].threads, SECONDS)


async def test_a_guild_comes_back_after_its_outage(scene: Scene) -> None:
    async with scene.bot() as bot:
        await scene.server.remove_guild(scene.guild, outage=True)
        await bot.next("guild")
        assert bot.guilds[0].unavailable
        await scene.server.restore_guild(scene.guild)
        await scene.say("back")
        await bot.next("message")
        assert not bot.guilds[0].unavailable


async def test_each_shard_is_told_of_its_own_guilds_and_the_first_of_private_talks(
    scene: Scene,
) -> None:
    server, here = scene.server, scene.server.shard_of(scene.guild, 2)
    other = server.guild("Other")
    while server.shard_of(other, 2) == here:
        await asyncio.sleep(0.001)  # guilds are spread by the time at which they were made
        other = server.guild("Other")
    places = [scene.general, server.channel(other, "elsewhere"), server.dm(scene.ada)]
    heard: asyncio.Queue[str] = asyncio.Queue()
    with point_at(server.url):
        client = discord.AutoShardedClient(intents=discord.Intents.all(), shard_count=2)

        @client.event
        async def on_message(message: discord.Message) -> None:
            heard.put_nowait(message.content)

        task = asyncio.create_task(client.start(server.token))
        await server.wait_ready(SECONDS, 2)
        for number, place in enumerate(places):
            await server.say(place, scene.ada, str(number))
        found = {await asyncio.wait_for(heard.get(), SECONDS) for _ in places}
        told = {
            session.shard[0]: sum('"MESSAGE_CREATE"' in event for event in session.events)
            for session in server.connections
        }
        await client.close()
        await asyncio.wait_for(task, SECONDS)
    assert found == {"0", "1", "2"}
    assert told == {0: 2, 1: 1}
