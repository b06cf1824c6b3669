"""What is easily missed on Discord."""

from __future__ import annotations

from collections.abc import AsyncIterator, Awaitable, Callable
from pathlib import Path
from typing import Any, Self, cast

import discord
import pytest
from discord.ext import commands

from adapters.discord_bots import key_of, on_disk, settles
from adapters.tools import RecordingBot, all_turns, connected, said
from emulators.discord import DiscordEmulator
from emulators.discord_payloads import COMPONENTS_V2, EPHEMERAL, Payload
from turnkeep import Reply, SessionStore, TurnkeepError
from turnkeep_discord import chat_session

pytestmark = pytest.mark.asyncio

EXTENSION = "turnkeep_discord.extension"


@pytest.fixture
def store(tmp_path: Path) -> SessionStore:
    return SessionStore(tmp_path / "sessions", lock_timeout=0)


class TalkingStore(SessionStore):
    """A store while which opens and closes, somebody says something."""

    talk: Callable[[], Awaitable[None]] | None = None

    async def __aenter__(self) -> Self:
        await self._talk()
        return await super().__aenter__()

    async def aclose(self) -> None:
        await self._talk()
        await super().aclose()

    async def _talk(self) -> None:
        if self.talk is not None:
            await self.talk()


@pytest.mark.parametrize("asks", [False, True], ids=["nobody asks", "a handler asks"])
async def test_nothing_that_is_said_during_a_reload_is_lost_or_doubled(
    server: DiscordEmulator, tmp_path: Path, place: Payload, ada: Payload, asks: bool
) -> None:
    store = TalkingStore(tmp_path / "sessions", lock_timeout=0)
    bot = commands.Bot("!", intents=discord.Intents.all())
    bot.session_store = store  # type: ignore[attr-defined]
    texts: list[str] = []
    heard: list[str] = []
    errors: list[TurnkeepError] = []

    @bot.listen()
    async def on_message(message: discord.Message) -> None:
        heard.append(message.content)
        if asks:
            try:
                await chat_session(bot, message)
            except TurnkeepError as error:
                errors.append(error)

    async def talk() -> None:
        texts.append(f"said in the gap {len(texts)}")
        await server.say(place, ada, texts[-1])
        await server.wait_for(lambda: len(heard) == len(texts))

    async with connected(server, bot):
        await bot.load_extension(EXTENSION)
        await talk()
        store.talk = talk
        await bot.reload_extension(EXTENSION)
        store.talk = None
        await talk()
        assert len(texts) == 4
        assert errors == []
        await settles(store, key_of(place), [f"user: {text}" for text in texts])


async def test_a_proxy_whose_bot_made_the_webhook_is_recorded_as_pluralkits_is(
    server: DiscordEmulator, store: SessionStore, place: Payload, ada: Payload, tmp_path: Path
) -> None:
    bot, proxy = RecordingBot(store, record_webhooks=True), server.user("PluralKit", bot=True)
    async with store, connected(server, bot):
        original = await server.say(place, ada, "l: original")
        await server.post_webhook(place, "Luna", "said by Luna", application=proxy)
        await server.delete(original)
        await settles(store, key_of(place), ["user: said by Luna"])
        assert "l: original" not in on_disk(tmp_path)


async def test_a_handler_that_asks_late_brings_no_deleted_message_back(
    server: DiscordEmulator, store: SessionStore, place: Payload, ada: Payload, tmp_path: Path
) -> None:
    class Bot(RecordingBot):
        async def on_message(self, message: discord.Message) -> None:
            if message.content == "l: original":
                await server.wait_for(lambda: self.gone)
            self.given.append(await chat_session(self, message))

        async def on_raw_message_delete(self, payload: discord.RawMessageDeleteEvent) -> None:
            await settles(store, key_of(place), ["user: said by Luna"])
            self.gone = True

        gone = False

    bot = Bot(store, record_webhooks=True)
    async with store, connected(server, bot):
        original = await server.say(place, ada, "l: original")
        await server.post_webhook(place, "Luna", "said by Luna")
        await bot.hears(server, 1)
        await server.delete(original)
        await bot.hears(server, 2)
        assert await said(store, key_of(place)) == ["user: said by Luna"]
        assert "l: original" not in on_disk(tmp_path)


async def test_an_ephemeral_answer_of_several_messages_is_ephemeral_in_all_of_them(
    server: DiscordEmulator, store: SessionStore, place: Payload, ada: Payload
) -> None:
    bot = RecordingBot(store)

    @bot.tree.command(description="Ask")
    async def ask(interaction: discord.Interaction, prompt: str) -> None:
        await interaction.response.defer(ephemeral=True)
        session = await chat_session(bot, interaction, prompt=prompt)
        await session.answer("for your eyes only " * 200)

    async with store, connected(server, bot):
        await bot.tree.sync()
        await server.slash(place, ada, "ask", {"prompt": "what?"})
        sent = await server.wait_sent(place, 2)
        assert [bool(one["flags"] & EPHEMERAL) for one in sent] == [True, True]


class Choice(discord.ui.View):
    def __init__(self, menu: discord.ui.Item[Any]) -> None:
        super().__init__()
        self.add_item(menu)

    async def interaction_check(self, interaction: discord.Interaction) -> bool:
        await chat_session(cast("RecordingBot", interaction.client), interaction)
        return True


async def chosen(
    server: DiscordEmulator,
    store: SessionStore,
    place: Payload,
    user: Payload,
    menu: discord.ui.Item[Any],
    *choices: Any,
) -> str:
    """What is recorded when somebody uses a select menu."""
    bot = RecordingBot(store)
    async with store, connected(server, bot):
        channel = bot.get_channel(int(place["id"]))
        assert isinstance(channel, discord.TextChannel)
        await channel.send("Which?", view=Choice(menu))
        (panel,) = server.sent(place)
        await server.choose(user, panel, *choices)
        await server.say(place, user, "next")
        await bot.hears(server, 2)
        return (await all_turns(store, key_of(place)))[0].text


async def test_a_chosen_option_is_recorded_by_its_label(
    server: DiscordEmulator, store: SessionStore, place: Payload, ada: Payload
) -> None:
    options = [discord.SelectOption(label="Green tea", value="tea_1")]
    menu: discord.ui.Select[Any] = discord.ui.Select(options=options)
    assert await chosen(server, store, place, ada, menu, "Green tea") == "[selected: Green tea]"


@pytest.mark.parametrize("kind", ["user", "role", "channel"])
async def test_a_chosen_user_role_or_channel_is_recorded_by_its_name(
    server: DiscordEmulator, store: SessionStore, place: Payload, ada: Payload, kind: str
) -> None:
    guild = place["guild_id"]
    menus: dict[str, tuple[discord.ui.Item[Any], Payload, str]] = {
        "user": (discord.ui.UserSelect(), server.user("Bob"), "Bob"),
        "role": (discord.ui.RoleSelect(), server.role(guild, "cooks"), "cooks"),
        "channel": (discord.ui.ChannelSelect(), server.channel(guild, "plans"), "plans"),
    }
    menu, choice, name = menus[kind]
    text = await chosen(server, store, place, ada, menu, choice)
    assert name in text
    assert choice["id"] not in text


class Form(discord.ui.Modal, title="Form"):
    drinks: discord.ui.Label[Any] = discord.ui.Label(
        text="Drinks",
        component=discord.ui.Select(
            custom_id="drinks",
            max_values=2,
            options=[
                discord.SelectOption(label="Green tea", value="tea_1"),
                discord.SelectOption(label="Milk", value="milk_1"),
            ],
        ),
    )

    async def on_submit(self, interaction: discord.Interaction) -> None:
        await chat_session(cast("RecordingBot", interaction.client), interaction)
        await interaction.response.send_message("thanks")


async def test_what_is_chosen_in_a_form_is_readable(
    server: DiscordEmulator, store: SessionStore, place: Payload, ada: Payload
) -> None:
    bot = RecordingBot(store)

    @bot.tree.command(description="Form")
    async def form(interaction: discord.Interaction) -> None:
        await interaction.response.send_modal(Form())

    async with store, connected(server, bot):
        await bot.tree.sync()
        opened = await server.slash(place, ada, "form")
        await server.wait_for(lambda: server.form(opened))
        await server.submit(ada, opened, drinks=["Green tea", "Milk"])
        await server.wait_sent(place, 1)
        await server.say(place, ada, "next")
        await bot.hears(server, 2)
        text = (await all_turns(store, key_of(place)))[0].text
    assert "'" not in text, "no list of Python's"
    assert "tea_1, milk_1" in text or "Green tea, Milk" in text


async def test_mentions_in_layouts_and_forwards_are_names(
    server: DiscordEmulator, store: SessionStore, place: Payload, ada: Payload
) -> None:
    bot = RecordingBot(store, record_webhooks=True)
    elsewhere = server.channel(place["guild_id"], "elsewhere")
    text = f"ask <@{ada['id']}> in <#{place['id']}>"
    layout = [{"type": 10, "content": text}]
    async with store, connected(server, bot):
        await server.post_webhook(place, "News", "", flags=COMPONENTS_V2, components=layout)
        await server.forward(await server.say(elsewhere, ada, text), place, ada)
        await bot.hears(server, 3)
        assert await said(store, key_of(place)) == [
            "user: ask @Ada in #general",
            "user: [forwarded]\nask @Ada in #general",
        ]


@pytest.mark.parametrize("change", ["preview", "edit"])
async def test_the_prompt_of_a_prefix_command_stays_what_the_command_made_of_it(
    server: DiscordEmulator, store: SessionStore, place: Payload, ada: Payload, change: str
) -> None:
    bot = RecordingBot(store)

    @bot.command()
    async def ask(ctx: commands.Context[Any], *, prompt: str) -> None:
        await (await chat_session(bot, ctx, prompt=prompt)).answer("well")

    async with store, connected(server, bot):
        message = await server.say(place, ada, "!ask see https://example.org")
        await settles(store, key_of(place), ["user: see https://example.org", "assistant: well"])
        if change == "preview":
            await server.unfurl(message)
        else:
            await server.edit(message, "!ask see https://example.com")
        await server.say(place, ada, "next")
        await server.wait_for(lambda: [one for one in bot.given if one.turn])
        stored = await said(store, key_of(place))
        assert "!ask" not in stored[0]


async def test_the_session_of_a_recorded_command_is_bound_to_its_message(
    server: DiscordEmulator, store: SessionStore, place: Payload, ada: Payload
) -> None:
    bot = RecordingBot(store, record_commands=True)
    bound: list[str | None] = []

    @bot.command()
    async def ask(ctx: commands.Context[Any]) -> None:
        turn = ctx.chat_session.turn  # type: ignore[attr-defined]
        bound.append(None if turn is None else turn.text)

    async with store, connected(server, bot):
        await server.say(place, ada, "!ask")
        await server.wait_for(lambda: bound)
    assert bound == ["!ask"]


async def test_a_channel_is_forgotten_with_the_threads_that_were_archived(
    server: DiscordEmulator, store: SessionStore, place: Payload, ada: Payload, tmp_path: Path
) -> None:
    bot = RecordingBot(store)
    gone = server.channel(place["guild_id"], "gone")
    async with store, connected(server, bot):
        thread = server.thread(gone, "inside", owner=ada)
        await server.say(thread, ada, "secret of the thread")
        await bot.hears(server, 2)
        await server.archive(thread)
        await server.delete_channel(gone)
        await server.wait_for(
            lambda: "secret" not in on_disk(tmp_path), what="an end of it on disk"
        )


async def test_emojis_and_times_are_read_as_people_read_them(
    server: DiscordEmulator, store: SessionStore, place: Payload, ada: Payload
) -> None:
    emoji = "<:wave:123456789012345678> <a:dance:123456789012345678>"
    times = "<t:1700000000:R> <t:1700000000> <t:9999999999999>"
    async with store, connected(server, bot := RecordingBot(store)):
        await server.say(place, ada, f"{emoji} at {times}")
        await bot.hears(server, 1)
        assert await said(store, key_of(place)) == [
            "user: :wave: :dance: at 2023-11-14 22:13 UTC 2023-11-14 22:13 UTC <t:9999999999999>"
        ]


async def test_what_is_answered_behind_an_ephemeral_response_is_ephemeral(
    server: DiscordEmulator, store: SessionStore, place: Payload, ada: Payload
) -> None:
    bot = RecordingBot(store)

    @bot.tree.command(description="Ask")
    async def ask(interaction: discord.Interaction, prompt: str) -> None:
        await interaction.response.send_message("one moment", ephemeral=True)
        session = await chat_session(bot, interaction, prompt=prompt)
        await session.answer("for your eyes only")

    async with store, connected(server, bot):
        await bot.tree.sync()
        await server.slash(place, ada, "ask", {"prompt": "what?"})
        sent = await server.wait_sent(place, 2)
        assert [bool(one["flags"] & EPHEMERAL) for one in sent] == [True, True]


@pytest.mark.parametrize("ephemeral", [True, False])
async def test_an_answer_that_comes_too_late_goes_to_the_channel_unless_it_was_ephemeral(
    server: DiscordEmulator,
    store: SessionStore,
    place: Payload,
    ada: Payload,
    ephemeral: bool,
    monkeypatch: pytest.MonkeyPatch,
    caplog: pytest.LogCaptureFixture,
) -> None:
    bot = RecordingBot(store)
    ended: list[Reply] = []

    async def words() -> AsyncIterator[str]:
        # Nobody waits for a quarter of an hour here.
        monkeypatch.setattr(discord.Interaction, "is_expired", lambda self: True)
        yield "at last"

    @bot.tree.command(description="Ask")
    async def ask(interaction: discord.Interaction, prompt: str) -> None:
        await interaction.response.defer(ephemeral=ephemeral)
        session = await chat_session(bot, interaction, prompt=prompt)
        ended.append(await session.answer(words()))

    async with store, connected(server, bot):
        await bot.tree.sync()
        await server.slash(place, ada, "ask", {"prompt": "what?"})
        await server.wait_for(lambda: ended)
        shown = [one["content"] for one in server.sent(place) if one["content"]]
        assert (shown == ["at last"]) is not ephemeral
        assert ("has expired" in caplog.text) is ephemeral


@pytest.mark.parametrize("scope", ["user", "member", "guild", "parent"])
async def test_what_was_said_in_a_deleted_channel_goes_from_sessions_that_hold_more(
    server: DiscordEmulator,
    store: SessionStore,
    place: Payload,
    ada: Payload,
    tmp_path: Path,
    scope: Any,
) -> None:
    gone = server.channel(place["guild_id"], "gone")
    bot = RecordingBot(store, scope=scope)
    async with store, connected(server, bot):
        await server.say(place, ada, "stays")
        await server.say(gone, ada, "secret of the channel")
        await bot.hears(server, 2)
        await server.delete_channel(gone)
        await server.wait_for(lambda: "secret" not in on_disk(tmp_path), what="an end of it")
        assert "stays" in on_disk(tmp_path)
