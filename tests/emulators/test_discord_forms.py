"""Forms on the emulated Discord, with every component that discord.py 2.7 knows for them."""

from __future__ import annotations

import asyncio
from typing import Any

import discord
import pytest
from discord import ui

from emulators.discord_payloads import Payload
from emulators.discord_scene import SECONDS, Bot, Scene

pytestmark = pytest.mark.asyncio

RED = discord.SelectOption(label="Deep red", value="red")
COLORS = [RED, discord.SelectOption(label="Blue", value="blue")]


def labelled(text: str, component: ui.Item[Any]) -> ui.Label[Any]:
    return ui.Label(text=text, component=component)


class Everything(ui.Modal, title="Choices"):
    """A form of up to five parts, which keeps itself when it is sent."""

    def __init__(self, *parts: ui.Item[Any]) -> None:
        super().__init__()
        for part in parts:
            self.add_item(part)
        self.sent: asyncio.Future[discord.Interaction] = asyncio.get_running_loop().create_future()

    async def on_submit(self, interaction: discord.Interaction) -> None:
        await interaction.response.defer()
        self.sent.set_result(interaction)


class Asking(Bot):
    """A bot with a command that opens a form."""

    def __init__(self, form: ui.Modal) -> None:
        super().__init__()
        self.refused: asyncio.Future[discord.HTTPException] = (
            asyncio.get_running_loop().create_future()
        )

        @self.tree.command(name="open", description="Open a form")
        async def show(interaction: discord.Interaction) -> None:
            try:
                await interaction.response.send_modal(form)
            except discord.HTTPException as error:
                self.refused.set_result(error)

    async def setup_hook(self) -> None:
        await self.tree.sync()


async def shown(scene: Scene) -> Payload:
    """Use the command and return its interaction, once the form is open."""
    used = await scene.server.slash(scene.general, scene.ada, "open")
    await scene.server.wait_for(lambda: scene.server.form(used), SECONDS, "the form")
    return used


async def test_texts_files_and_options_come_back(scene: Scene) -> None:
    name: ui.TextInput[Any] = ui.TextInput(custom_id="name")
    files: ui.FileUpload[Any] = ui.FileUpload(custom_id="files", max_values=2)
    radio: ui.RadioGroup[Any] = ui.RadioGroup(custom_id="radio")
    boxes: ui.CheckboxGroup[Any] = ui.CheckboxGroup(custom_id="boxes")
    for option in COLORS:
        radio.add_option(label=option.label, value=option.value)
        boxes.add_option(label=option.label, value=option.value)
    agreed: ui.Checkbox[Any] = ui.Checkbox(custom_id="agreed")
    form = Everything(
        *(labelled(one.custom_id, one) for one in (name, files, radio, boxes, agreed))
    )
    async with scene.bot(Asking(form)):
        used = await shown(scene)
        await scene.server.submit(
            scene.ada,
            used,
            name="Ada",
            files={"a.txt": b"a", "b.png": b"b"},
            radio="Deep red",
            boxes=["Blue", "Deep red"],
            agreed=True,
        )
        await asyncio.wait_for(form.sent, SECONDS)
        assert (name.value, radio.value, agreed.value) == ("Ada", "red", True)
        assert boxes.values == ["blue", "red"]
        assert [file.filename for file in files.values] == ["a.txt", "b.png"]
        assert [file.content_type for file in files.values] == ["text/plain", "image/png"]
        assert all(file.ephemeral for file in files.values)
        assert [await file.read() for file in files.values] == [b"a", b"b"]


async def test_menus_and_a_text_that_is_displayed(scene: Scene) -> None:
    role = scene.server.role(scene.guild, "helpers")
    texts: ui.Select[Any] = ui.Select(custom_id="texts", options=COLORS, max_values=2)
    people: ui.UserSelect[Any] = ui.UserSelect(custom_id="people")
    anybody: ui.MentionableSelect[Any] = ui.MentionableSelect(custom_id="anybody", max_values=2)
    places: ui.ChannelSelect[Any] = ui.ChannelSelect(custom_id="places")
    form = Everything(
        ui.TextDisplay("# Choose well"),
        *(labelled(one.custom_id, one) for one in (texts, people, anybody, places)),
    )
    async with scene.bot(Asking(form)):
        used = await shown(scene)
        await scene.server.submit(
            scene.ada,
            used,
            texts=["Blue", "Deep red"],
            people=[scene.ada],
            anybody=[role, scene.ada],
            places=[scene.general],
        )
        interaction = await asyncio.wait_for(form.sent, SECONDS)
    assert texts.values == ["blue", "red"]
    assert isinstance(people.values[0], discord.Member)
    assert [type(one) for one in anybody.values] == [discord.Member, discord.Role]
    assert places.values[0].id == int(scene.general["id"])
    assert interaction.data is not None
    sent: Any = interaction.data
    # What was displayed comes back as a type and an id, without its text.
    assert sent["components"][0] == {"type": 10, "id": 1}
    assert [part["id"] for part in sent["components"]] == [1, 2, 4, 6, 8]


async def test_a_role_menu_and_what_need_not_be_answered(scene: Scene) -> None:
    roles: ui.RoleSelect[Any] = ui.RoleSelect(custom_id="roles", required=False)
    name: ui.TextInput[Any] = ui.TextInput(custom_id="name", required=False)
    files: ui.FileUpload[Any] = ui.FileUpload(custom_id="files", required=False, min_values=0)
    radio: ui.RadioGroup[Any] = ui.RadioGroup(custom_id="radio", required=False)
    radio.add_option(label="Red", value="red")
    radio.add_option(label="Blue", value="blue")
    agreed: ui.Checkbox[Any] = ui.Checkbox(custom_id="agreed", default=True)
    form = Everything(
        *(labelled(one.custom_id, one) for one in (roles, name, files, radio, agreed))
    )
    async with scene.bot(Asking(form)):
        await scene.server.submit(scene.ada, await shown(scene))
        await asyncio.wait_for(form.sent, SECONDS)
    assert (roles.values, name.value, files.values) == ([], "", [])
    assert (radio.value, agreed.value) == (None, True)


@pytest.mark.parametrize(
    ("answers", "words"),
    [
        ({}, "needs an answer to 'name'"),
        ({"name": "Ada", "color": ["Deep red"], "age": "36"}, "asks for"),
        ({"name": "Ada", "color": ["Green"]}, "has no 'Green'"),
        ({"name": "Ada", "color": ["Blue", "Deep red"]}, "takes no 2 answers"),
    ],
)
async def test_what_a_client_would_not_send_cannot_be_sent(
    scene: Scene, answers: dict[str, Any], words: str
) -> None:
    name: ui.TextInput[Any] = ui.TextInput(custom_id="name")
    color: ui.Select[Any] = ui.Select(custom_id="color", options=COLORS)
    form = Everything(labelled("Name", name), labelled("Color", color))
    async with scene.bot(Asking(form)):
        used = await shown(scene)
        with pytest.raises(LookupError, match=words):
            await scene.server.submit(scene.ada, used, **answers)


class Titled(Everything, title="x" * 46):
    """A title that is one character too long."""


@pytest.mark.parametrize("kind", [Titled, Everything])
async def test_a_form_with_a_long_title_or_with_nothing_in_it_is_refused(
    scene: Scene, kind: type[Everything]
) -> None:
    name: ui.TextInput[Any] = ui.TextInput(custom_id="name")
    form = kind(labelled("Name", name)) if kind is Titled else kind()
    async with scene.bot(bot := Asking(form)):
        await scene.server.slash(scene.general, scene.ada, "open")
        error = await asyncio.wait_for(bot.refused, SECONDS)
    assert (error.status, error.code) == (400, 50035)
