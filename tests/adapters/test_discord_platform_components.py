"""Buttons, select menus and forms on Discord: each use is a turn, which can be answered."""

from __future__ import annotations

from typing import Any

import discord
import pytest

from adapters.discord_bots import key_of, private_key_of, settles
from adapters.tools import RecordingBot, all_turns, connected, said
from emulators.discord import DiscordEmulator
from emulators.discord_payloads import EPHEMERAL, Payload
from turnkeep import SessionStore
from turnkeep_discord import chat_session

pytestmark = [
    pytest.mark.asyncio,
    pytest.mark.usefixtures("kept_open"),
    pytest.mark.parametrize("store", ["jsonl"], indirect=True),
]


class Form(discord.ui.Modal, title="About you"):
    """A form with the parts that forms have had, and those that they have now."""

    name: discord.ui.TextInput[Any] = discord.ui.TextInput(label="Name", custom_id="name")
    hint: discord.ui.TextDisplay[Any] = discord.ui.TextDisplay("It stays between us.")
    town: discord.ui.Label[Any] = discord.ui.Label(
        text="Town", component=discord.ui.TextInput(custom_id="town")
    )

    def __init__(self, bot: RecordingBot) -> None:
        super().__init__()
        self.bot = bot

    async def on_submit(self, interaction: discord.Interaction) -> None:
        await (await chat_session(self.bot, interaction)).answer("Thank you.")


class Panel(discord.ui.View):
    """A question with what can be used to answer it."""

    def __init__(self, bot: RecordingBot) -> None:
        super().__init__()
        self.bot = bot

    @discord.ui.button(label="Yes, please")
    async def yes(self, interaction: discord.Interaction, _: Any) -> None:
        await (await chat_session(self.bot, interaction)).answer("You said yes.")

    @discord.ui.button(label="Later")
    async def later(self, interaction: discord.Interaction, _: Any) -> None:
        await interaction.response.defer(ephemeral=True, thinking=True)
        await (await chat_session(self.bot, interaction)).answer("You said later.")

    @discord.ui.button(label="No")
    async def no(self, interaction: discord.Interaction, _: Any) -> None:
        await interaction.response.edit_message(content="Never mind.", view=None)

    @discord.ui.button(label="Form")
    async def form(self, interaction: discord.Interaction, _: Any) -> None:
        await interaction.response.send_modal(Form(self.bot))

    @discord.ui.select(options=[discord.SelectOption(label=tea) for tea in ("green", "black")])
    async def tea(self, interaction: discord.Interaction, _: Any) -> None:
        await (await chat_session(self.bot, interaction)).answer("Here you are.")


class AskingBot(RecordingBot):
    """A bot that shows its panel when somebody says something."""

    async def on_message(self, message: discord.Message) -> None:
        if not message.author.bot:
            self.given.append(await chat_session(self, message))
            await message.channel.send("Well?", view=Panel(self))


async def asked(server: DiscordEmulator, place: Payload, user: Payload) -> Payload:
    await server.say(place, user, "hello")
    (panel,) = await server.wait_sent(place, 1)
    return panel


@pytest.mark.parametrize(
    ("label", "answer", "ephemeral"),
    [("Yes, please", "You said yes.", False), ("Later", "You said later.", True)],
    ids=["at once", "deferred and ephemeral"],
)
async def test_a_pressed_button_is_one_turn_and_its_answer_is_one_message(
    server: DiscordEmulator,
    store: SessionStore,
    place: Payload,
    ada: Payload,
    label: str,
    answer: str,
    ephemeral: bool,
) -> None:
    async with connected(server, AskingBot(store)):
        panel = await asked(server, place, ada)
        pressed = await server.press(ada, panel, label)
        exchange = [f"user: [button: {label}]", f"assistant: {answer}"]
        key = private_key_of(place, ada) if ephemeral else key_of(place)
        await settles(store, key, exchange if ephemeral else ["user: hello", *exchange])
    press, reply = (await all_turns(store, key))[-2:]
    assert ephemeral == (await said(store, key_of(place)) == ["user: hello"])
    (sent,) = server.sent(place)[1:]
    assert press.source_ids == (f"interaction:{pressed['id']}",)
    assert (reply.answers, reply.source_ids) == (press.id, (f"{place['id']}:{sent['id']}",))
    assert press.sender is not None
    assert press.sender.id == ada["id"]
    assert bool(sent["flags"] & EPHEMERAL) == ephemeral


async def test_a_chosen_option_is_a_turn(
    server: DiscordEmulator, store: SessionStore, place: Payload, ada: Payload
) -> None:
    async with connected(server, AskingBot(store)):
        await server.choose(ada, await asked(server, place, ada), "green")
        await settles(
            store,
            key_of(place),
            ["user: hello", "user: [selected: green]", "assistant: Here you are."],
        )


async def test_a_form_whose_handler_asks_for_the_session_is_a_turn(
    server: DiscordEmulator, store: SessionStore, place: Payload, ada: Payload
) -> None:
    async with connected(server, AskingBot(store)):
        opened = await server.press(ada, await asked(server, place, ada), "Form")
        await server.wait_for(lambda: server.form(opened))
        await server.submit(ada, opened, name="Ada", town="London")
        await settles(
            store,
            key_of(place),
            [
                "user: hello",
                "user: [form: Ada / London]",
                "assistant: Thank you.",
            ],
        )
        assert len(server.sent(place)) == 2


async def test_a_form_that_a_command_opens_is_a_turn_of_its_channel(
    server: DiscordEmulator, store: SessionStore, ada: Payload
) -> None:
    bot, private = RecordingBot(store), server.dm(ada)

    @bot.tree.command(description="About you")
    async def about(interaction: discord.Interaction) -> None:
        await interaction.response.send_modal(Form(bot))

    async with connected(server, bot):
        await bot.tree.sync()
        opened = await server.slash(private, ada, "about")
        await server.wait_for(lambda: server.form(opened))
        await server.submit(ada, opened, name="Ada", town="London")
        await settles(
            store, key_of(private), ["user: [form: Ada / London]", "assistant: Thank you."]
        )


async def test_a_button_in_a_layout_of_components_is_found_by_its_label(
    server: DiscordEmulator, store: SessionStore, place: Payload, ada: Payload
) -> None:
    bot = RecordingBot(store)

    async def callback(interaction: discord.Interaction) -> None:
        await (await chat_session(bot, interaction)).answer("Done.")

    async with connected(server, bot):
        button: discord.ui.Button[Any] = discord.ui.Button(label="Do it")
        button.callback = callback  # type: ignore[method-assign]
        view = discord.ui.LayoutView()
        section: discord.ui.Section[Any] = discord.ui.Section("A task", accessory=button)
        view.add_item(discord.ui.Container(section))
        channel = bot.get_channel(int(place["id"]))
        assert isinstance(channel, discord.TextChannel)
        await channel.send(view=view)
        (panel,) = server.sent(place)
        await server.press(ada, panel, "Do it")
        await settles(store, key_of(place), ["user: [button: Do it]", "assistant: Done."])


@pytest.mark.parametrize("record", ["handled", "all"])
async def test_a_button_whose_handler_never_asks_leaves_nothing_before_what_is_said_next(
    server: DiscordEmulator, store: SessionStore, place: Payload, ada: Payload, record: Any
) -> None:
    bot = AskingBot(store, record=record)
    async with connected(server, bot):
        panel = await asked(server, place, ada)
        await server.press(ada, panel, "No")
        await server.wait_for(lambda: server.sent(place)[0]["content"] == "Never mind.")
        await server.say(place, ada, "next")
        await bot.hears(server, 2)
    assert await said(store, key_of(place)) == ["user: hello", "user: next"]
