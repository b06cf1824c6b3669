"""What people see on Discord, a model does: replies, embeds, threads, forms, over a real socket."""

from __future__ import annotations

import asyncio
from typing import Any

import discord
import pytest
from discord import ui

from adapters.discord_bots import key_of, settles
from adapters.tools import RecordingBot, all_turns, connected, said
from emulators.discord import DiscordEmulator
from emulators.discord_payloads import FORUM, Payload
from turnkeep import SessionStore, Turn
from turnkeep.adapter import ChatSession
from turnkeep_discord import chat_session

pytestmark = [pytest.mark.asyncio, pytest.mark.usefixtures("kept_open")]

EMBED: Payload = {
    "type": "rich",
    "title": "Build 7",
    "url": "https://ci.example/7",
    "description": "All is green.",
    "author": {"name": "CI"},
    "fields": [{"name": "Took", "value": "5 min", "inline": True}],
    "footer": {"text": "main"},
    "image": {"url": "https://ci.example/7.png"},
}
WRITTEN = "CI\n[Build 7](https://ci.example/7)\nAll is green.\nTook: 5 min\nmain"


def shown(turn: Turn) -> str:
    return " ".join([turn.text] * bool(turn.text) + [media.text for media in turn.media])


class Seeing(RecordingBot):
    """A bot whose handler asks for the window, with all files in it."""

    def __init__(self, store: SessionStore, **options: Any) -> None:
        super().__init__(store, **options)
        self.seen = asyncio.Queue[tuple[list[Any], list[str]]]()

    async def on_message(self, message: discord.Message) -> None:
        session = await chat_session(self, message)
        if session.turn is None:
            return
        files: list[str] = []

        async def fetch(media: Any, turn: Any) -> str:
            files.append(media.file_name or media.kind)
            return f"the {media.kind}"

        window = await session.get_history(media=fetch)
        self.seen.put_nowait((window, files))


@pytest.mark.parametrize("kind", ["photo", "file", "voice"])
async def test_a_reply_to_a_medium_gives_the_model_that_medium(
    server: DiscordEmulator, store: SessionStore, place: Payload, ada: Payload, kind: str
) -> None:
    async with connected(server, bot := Seeing(store, record="addressed")):
        if kind == "voice":
            original = await server.speak(place, ada, b"ogg", 1.0)
        else:
            name = "a.png" if kind == "photo" else "a.pdf"
            original = await server.say(place, ada, "", attachments={name: b"data"})
        await server.say(place, ada, f"<@{server.bot['id']}> look", reply_to=original)
        window, files = await bot.seen.get()
    assert files == [{"photo": "a.png", "file": "a.pdf", "voice": "voice"}[kind]]
    assert f"the {kind}" in str(window)


async def test_the_medium_of_a_reply_goes_when_its_message_is_deleted(
    server: DiscordEmulator, store: SessionStore, place: Payload, ada: Payload
) -> None:
    async with connected(server, bot := RecordingBot(store)):
        original = await server.say(place, ada, "", attachments={"a.png": b"data"})
        await server.say(place, ada, "nice", reply_to=original)
        await bot.hears(server, 2)
        await server.delete(original)
        await settles(store, key_of(place), ["user: [reply to a deleted message]\nnice"])
    (turn,) = await all_turns(store, key_of(place))
    assert turn.media == []


async def test_embeds_are_text_in_webhooks_replies_and_forwards(
    server: DiscordEmulator, store: SessionStore, place: Payload, ada: Payload
) -> None:
    async with connected(server, bot := RecordingBot(store, record_webhooks=True)):
        post = await server.post_webhook(place, "CI", "", embeds=[EMBED])
        await server.say(place, ada, "good", reply_to=post)
        await server.forward(post, place, ada)
        await bot.hears(server, 3)
    posted, reply, forward = await all_turns(store, key_of(place))
    assert shown(posted) == f"{WRITTEN} [photo]"
    line = WRITTEN.replace("\n", " ").replace("[", "(").replace("]", ")")
    assert shown(reply) == f"[reply to CI: {line}]\ngood [photo replied to]"
    assert shown(forward) == f"[forwarded]\n{WRITTEN} [photo]"


async def test_previews_of_links_are_not_what_a_person_said(
    server: DiscordEmulator, store: SessionStore, place: Payload, ada: Payload
) -> None:
    preview = EMBED | {"type": "link"}
    async with connected(server, bot := RecordingBot(store, record_webhooks=True)):
        said_it = "see https://ci.example/7"
        await server.say(place, ada, said_it, embeds=[EMBED])
        await server.post_webhook(place, "CI", said_it, embeds=[EMBED, preview])
        await bot.hears(server, 2)
    assert await said(store, key_of(place)) == [f"user: {said_it}"] * 2


async def test_embeds_that_the_bot_sends_are_captured_as_text(
    server: DiscordEmulator,
    store: SessionStore,
    place: Payload,
    ada: Payload,
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    monkeypatch.setattr("turnkeep_discord._capture.PAUSE", 0.05)

    class Bot(RecordingBot):
        async def on_message(self, message: discord.Message) -> None:
            if message.author.bot:
                return
            session = await chat_session(self, message)
            await message.channel.send(embed=discord.Embed(description="One moment."))
            async with session.reply() as reply:
                reply.add_text("**It is** green.")
                await message.channel.send(embed=discord.Embed(description="It is green."))
            self.given.append(session)

    async with connected(server, bot := Bot(store, capture=True)):
        await server.say(place, ada, "well?")
        await bot.hears(server, 1)
        expected = ["user: well?", "assistant: **It is** green.", "assistant: One moment."]
        await settles(store, key_of(place), expected)
    answer = (await all_turns(store, key_of(place)))[1]
    assert answer.source_ids == (f"{place['id']}:{server.sent(place)[1]['id']}",)


async def test_the_role_that_a_server_keeps_for_the_bot_is_a_mention_of_it(
    server: DiscordEmulator, store: SessionStore, ada: Payload
) -> None:
    guild = server.guild("Guild")
    place = server.channel(guild, "general")
    other = server.user("Other", bot=True)
    async with connected(server, bot := RecordingBot(store, record="addressed")):
        mine, others = server.bot_role(guild), server.bot_role(guild, other)
        await server.say(place, ada, f"<@&{server.role(guild, 'helpers')['id']}> hello")
        await server.say(place, ada, f"<@&{others['id']}> hello")
        await server.say(place, ada, f"<@&{mine['id']}> hello")
        await bot.hears(server, 3)
    assert await said(store, key_of(place)) == ["user: @Bot hello"]


@pytest.mark.parametrize("by", ["a person", "the bot", "a webhook", "nobody"])
async def test_a_threads_title_and_its_first_message_are_in_its_window(
    server: DiscordEmulator, store: SessionStore, place: Payload, ada: Payload, by: str
) -> None:
    bob = server.user("Bob")
    async with connected(server, bot := Seeing(store)):
        starter: Payload | None = None
        if by == "a person":
            starter = await server.say(place, bob, "Where do we eat?", attachments={"m.png": b""})
            await bot.seen.get()
        elif by == "a webhook":
            starter = await server.post_webhook(
                place, "News", "", embeds=[{**EMBED, "image": None}]
            )
        elif by == "the bot":
            channel = bot.get_channel(int(place["id"]))
            assert isinstance(channel, discord.TextChannel)
            sent = await channel.send("Where do we eat?")
            starter = {"id": str(sent.id)}
        thread = server.thread(place, "Lunch", message=starter, owner=bob)
        await server.say(thread, ada, "At Luigi's.")
        window, _ = await bot.seen.get()
    turns = await all_turns(store, key_of(thread))
    expected = {
        "a person": ["[thread: Lunch]\nWhere do we eat? [photo: m.png]"],
        "the bot": ["[thread: Lunch]", "Where do we eat?"],
        "a webhook": [f"[thread: Lunch]\n[posted by: News]\n{WRITTEN}"],
        "nobody": ["[thread: Lunch]"],
    }[by]
    assert [shown(turn) for turn in turns] == [*expected, "At Luigi's."]
    assert "Lunch" in str(window[0]), "the window begins with it"
    assert window[-1]["content"] == "At Luigi's."
    sender = turns[0].sender
    assert (sender is not None and sender.id == bob["id"]) == (by != "a webhook")


async def test_a_forum_posts_title_is_in_its_window(
    server: DiscordEmulator, store: SessionStore, ada: Payload
) -> None:
    forum = server.channel(server.guild("Guild"), "help", FORUM)
    async with connected(server, bot := RecordingBot(store)):
        there = await server.post(forum, ada, "It crashes", "Every morning.")
        await bot.hears(server, 1)
        await server.edit({"id": there["id"], "channel_id": there["id"]}, "Every night.")
        await settles(store, key_of(there), ["user: [post: It crashes]\nEvery night."])


async def test_a_forum_post_from_before_the_bot_begins_with_its_title_and_first_message(
    server: DiscordEmulator, store: SessionStore, ada: Payload
) -> None:
    forum = server.channel(server.guild("Guild"), "help", FORUM)
    there = await server.post(forum, ada, "It crashes", "Every morning.")
    async with connected(server, bot := RecordingBot(store)):
        await server.say(there, server.user("Bob"), "Mine, too.")
        await bot.hears(server, 1)
    lines = ["user: [post: It crashes]\nEvery morning.", "user: Mine, too."]
    assert await said(store, key_of(there)) == lines


async def test_a_threads_first_message_changes_and_goes_with_its_original(
    server: DiscordEmulator, store: SessionStore, place: Payload, ada: Payload
) -> None:
    async with connected(server, bot := RecordingBot(store)):
        starter = await server.say(place, ada, "Where do we eat?")
        thread = server.thread(place, "Lunch", message=starter)
        await server.say(thread, ada, "Well?")
        await bot.hears(server, 2)
        await server.edit(starter, "Where do we meet?")
        opened = "user: [thread: Lunch]\nWhere do we meet?"
        await settles(store, key_of(thread), [opened, "user: Well?"])
        await server.delete(starter)
        await settles(store, key_of(thread), ["user: Well?"])


async def test_a_threads_beginning_does_not_come_back_after_a_reset_or_a_restart(
    server: DiscordEmulator, store: SessionStore, place: Payload, ada: Payload
) -> None:
    thread = server.thread(place, "Lunch", message=await server.say(place, ada, "Where?"))
    async with connected(server, bot := RecordingBot(store)):
        await server.say(thread, ada, "one")
        await bot.hears(server, 1)
        await bot.given[0].clear()
    async with connected(server, bot := RecordingBot(store)):
        await server.say(thread, ada, "two")
        await bot.hears(server, 1)
        window: list[Any] = await bot.given[0].get_history()
    assert [one["content"] for one in window] == ["two"]


class Order(ui.Modal, title="An order"):
    """A form with every kind of field that discord.py knows."""

    def __init__(self, bot: RecordingBot, *, asks_elsewhere: bool = False) -> None:
        super().__init__()
        self.bot, self.asks_elsewhere = bot, asks_elsewhere
        radio: ui.RadioGroup[Any] = ui.RadioGroup(custom_id="size")
        boxes: ui.CheckboxGroup[Any] = ui.CheckboxGroup(custom_id="extras")
        menu: ui.Select[Any] = ui.Select(custom_id="drink")
        for label, value in (("Large", "l"), ("Small", "s")):
            radio.add_option(label=label, value=value)
            boxes.add_option(label=f"{label} onions", value=value)
            menu.add_option(label=f"{label} tea", value=value)
        terms: ui.Checkbox[Any] = ui.Checkbox(custom_id="terms")
        for text, component in (("Size", radio), ("Extras", boxes), ("Drink", menu)):
            self.add_item(ui.Label(text=text, component=component))
        self.add_item(ui.Label(text="I agree", component=terms))
        files: ui.FileUpload[Any] = ui.FileUpload(custom_id="files", max_values=2)
        self.add_item(ui.Label(text="Files", component=files))

    async def on_submit(self, interaction: discord.Interaction) -> None:
        asking = chat_session(self.bot, interaction)
        session = await (asyncio.create_task(asking) if self.asks_elsewhere else asking)
        await session.answer("Thank you.")


@pytest.mark.parametrize("elsewhere", [False, True], ids=["in on_submit", "in another task"])
async def test_a_forms_files_are_media_and_its_options_have_their_labels(
    server: DiscordEmulator, store: SessionStore, place: Payload, ada: Payload, elsewhere: bool
) -> None:
    bot = RecordingBot(store)

    @bot.tree.command(description="Order")
    async def order(interaction: discord.Interaction) -> None:
        await interaction.response.send_modal(Order(bot, asks_elsewhere=elsewhere))

    async with connected(server, bot):
        await bot.tree.sync()
        opened = await server.slash(place, ada, "order")
        await server.wait_for(lambda: server.form(opened))
        await server.submit(
            ada,
            opened,
            size="Large",
            extras=["Small onions", "Large onions"],
            drink=["Small tea"],
            terms=True,
            files={"a.txt": b"text", "b.png": b"picture"},
        )
        await server.wait_sent(place, 1)
    turn = (await all_turns(store, key_of(place)))[0]
    line = "Large / Small onions, Large onions / Small tea / I agree: yes"
    assert turn.text == f"[form: {'l / s, l / s / yes' if elsewhere else line}]"
    files = [(one.kind, one.file_name, one.size) for one in turn.media]
    assert files == [("file", "a.txt", 4), ("photo", "b.png", 7)]
    assert all(one.url and one.file_id for one in turn.media)


async def test_a_long_form_is_told_whole(
    server: DiscordEmulator, store: SessionStore, place: Payload, ada: Payload
) -> None:
    bot, story = RecordingBot(store), "word " * 200 + "end"

    class Story(ui.Modal, title="Story"):
        words: ui.TextInput[Any] = ui.TextInput(
            label="Words", custom_id="words", style=discord.TextStyle.paragraph
        )

        async def on_submit(self, interaction: discord.Interaction) -> None:
            await (await chat_session(bot, interaction)).answer("Nice.")

    @bot.tree.command(description="Tell")
    async def tell(interaction: discord.Interaction) -> None:
        await interaction.response.send_modal(Story())

    async with connected(server, bot):
        await bot.tree.sync()
        opened = await server.slash(place, ada, "tell")
        await server.wait_for(lambda: server.form(opened))
        await server.submit(ada, opened, words=story)
        await server.wait_sent(place, 1)
    assert (await said(store, key_of(place)))[0] == f"user: [form]\n{story}"


async def test_a_command_without_words_asks_about_the_message_that_it_replies_to(
    server: DiscordEmulator, store: SessionStore, place: Payload, ada: Payload
) -> None:
    bot = RecordingBot(store)

    @bot.command()
    async def ask(ctx: Any) -> None:
        session: ChatSession = ctx.chat_session
        window: list[Any] = await session.get_history()
        await session.answer(str(window[-1]["content"]))

    async with connected(server, bot):
        photo = await server.say(place, ada, "my cat", attachments={"cat.png": b"data"})
        await server.say(place, ada, "!ask", reply_to=photo)
        (sent,) = await server.wait_sent(place, 1)
    assert "[reply to Ada: my cat]" in sent["content"]
    asked = (await all_turns(store, key_of(place)))[1]
    assert [one.file_name for one in asked.media] == ["cat.png"]
