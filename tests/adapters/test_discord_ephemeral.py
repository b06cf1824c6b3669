"""What only one person of a Discord channel sees stays that person's."""

from __future__ import annotations

from typing import Any

import discord
import pytest

from adapters.discord_bots import key_of
from adapters.tools import RecordingBot, connected, keys, said
from emulators.discord import DiscordEmulator
from emulators.discord_payloads import EPHEMERAL, Payload
from turnkeep import Reply, SessionStore, TurnkeepError
from turnkeep.adapter import ChatSession
from turnkeep_discord import PrivacyCog, chat_session, in_turn, record_sent

pytestmark = [pytest.mark.asyncio, pytest.mark.usefixtures("kept_open")]

EXCHANGE = ["user: my salary?", "assistant: to my salary?"]


class AskingBot(RecordingBot):
    """A bot whose command `/ask` answers as `respond` says."""

    def __init__(self, store: SessionStore, respond: Any, **options: Any) -> None:
        super().__init__(store, **options)
        self.respond = respond
        self.ended: list[Exception | None] = []

    async def setup_hook(self) -> None:
        await super().setup_hook()

        @self.tree.command(description="Ask")
        async def ask(interaction: discord.Interaction, prompt: str) -> None:
            try:
                await self.respond(self, interaction, prompt)
            except TurnkeepError as error:
                self.ended.append(error)
            else:
                self.ended.append(None)

        await self.tree.sync()

    async def asked(self, server: DiscordEmulator, place: Payload, user: Payload) -> None:
        count = len(self.ended)
        await server.slash(place, user, "ask", {"prompt": "my salary?"})
        await server.wait_for(lambda: len(self.ended) > count, what="the command")


async def deferred(bot: Any, interaction: discord.Interaction, prompt: str) -> None:
    await interaction.response.defer(ephemeral=True)
    await (await chat_session(bot, interaction, prompt=prompt)).answer(f"to {prompt}")


async def chosen(bot: Any, interaction: discord.Interaction, prompt: str) -> None:
    session = await chat_session(bot, interaction, prompt=prompt, ephemeral=True)
    await session.answer(f"to {prompt}")


async def streamed_in_turn(bot: Any, interaction: discord.Interaction, prompt: str) -> None:
    async def pieces(reply: Reply) -> Any:
        yield "to "
        yield prompt

    await in_turn(bot, interaction, lambda it: it.answer(pieces), prompt=prompt, ephemeral=True)


def private(place: Payload, user: Payload) -> str:
    return f"{key_of(place)}:thread:ephemeral:user:{user['id']}"


@pytest.mark.parametrize("respond", [deferred, chosen, streamed_in_turn])
async def test_an_ephemeral_command_stands_in_a_session_of_its_own(
    server: DiscordEmulator, store: SessionStore, place: Payload, ada: Payload, respond: Any
) -> None:
    bob = server.user("Bob")
    async with connected(server, bot := AskingBot(store, respond)):
        await server.say(place, bob, "hello")
        await bot.hears(server, 1)
        await bot.asked(server, place, ada)
        await bot.asked(server, place, bob)
        assert bot.ended == [None, None]
        assert all(one["flags"] & EPHEMERAL for one in server.sent(place))
    assert await said(store, key_of(place)) == ["user: hello"]
    assert await said(store, private(place, ada)) == EXCHANGE
    assert await said(store, private(place, bob)) == EXCHANGE


async def test_an_ephemeral_command_does_not_share_the_persons_other_sessions(
    server: DiscordEmulator, store: SessionStore, place: Payload, ada: Payload
) -> None:
    async with connected(server, bot := AskingBot(store, deferred, scope="user")):
        await bot.asked(server, place, ada)
    assert await keys(store) == [f"discord:thread:ephemeral:user:{ada['id']}"]


async def test_in_direct_messages_it_is_the_same_session(
    server: DiscordEmulator, store: SessionStore, ada: Payload
) -> None:
    here = server.dm(ada)
    async with connected(server, bot := AskingBot(store, deferred)):
        await bot.asked(server, here, ada)
    assert await said(store, key_of(here)) == EXCHANGE


async def answered(session: ChatSession) -> None:
    window = await session.get_history()
    await session.answer(f"to {window[-1]['content']}")


async def replied(session: ChatSession) -> None:
    async with session.reply() as reply:
        window = await reply.get_history()
        reply.add_text(f"to {window[-1]['content']}")
    assert session.outlet is not None
    await reply.link(await session.outlet.send(reply.said))


@pytest.mark.parametrize("busy", ["parallel", "queue"])
@pytest.mark.parametrize("scope", ["channel", "user", "reply_chain"])
@pytest.mark.parametrize("way", [answered, replied])
async def test_a_command_that_is_deferred_as_ephemeral_by_its_handler_is_so_too(
    server: DiscordEmulator,
    store: SessionStore,
    place: Payload,
    ada: Payload,
    way: Any,
    scope: str,
    busy: str,
) -> None:
    bot, ended = RecordingBot(store, scope=scope, busy=busy), list[object]()

    @bot.hybrid_command(description="Ask")
    async def ask(ctx: Any, *, prompt: str) -> None:
        await ctx.defer(ephemeral=True)
        await way(ctx.chat_session)
        ended.append(prompt)

    @bot.tree.command(description="Ask")
    async def late(interaction: discord.Interaction, prompt: str) -> None:
        session = await chat_session(bot, interaction)
        await interaction.response.defer(ephemeral=True)
        await way(session)
        ended.append(prompt)

    async with connected(server, bot):
        await bot.tree.sync()
        for number, name in enumerate(("ask", "late"), 1):
            await server.slash(place, ada, name, {"prompt": "my salary?"})
            await server.wait_for(lambda number=number: len(ended) == number)  # type: ignore[misc]
        assert all(one["flags"] & EPHEMERAL for one in server.sent(place))
    (key,) = await keys(store)
    assert key.endswith(f":thread:ephemeral:user:{ada['id']}")
    assert await said(store, key) == EXCHANGE * 2


async def test_an_answer_that_turns_out_ephemeral_is_refused_with_the_remedy(
    server: DiscordEmulator, store: SessionStore, place: Payload, ada: Payload
) -> None:
    async def too_late(bot: Any, interaction: discord.Interaction, prompt: str) -> None:
        session = await chat_session(bot, interaction)
        await session.get_history()
        await interaction.response.defer(ephemeral=True)
        await session.answer(f"to {prompt}")

    async with connected(server, bot := AskingBot(store, too_late)):
        await bot.asked(server, place, ada)
    assert "give it ephemeral=True" in str(bot.ended[0])
    assert await said(store, key_of(place)) == []


async def test_a_button_of_an_ephemeral_message_is_its_persons_too(
    server: DiscordEmulator, store: SessionStore, place: Payload, ada: Payload
) -> None:
    async def with_button(bot: Any, interaction: discord.Interaction, prompt: str) -> None:
        view = discord.ui.View()
        button: discord.ui.Button[Any] = discord.ui.Button(label="More")

        async def more(pressed: discord.Interaction) -> None:
            await (await chat_session(bot, pressed)).answer("there is more")
            bot.ended.append(None)

        button.callback = more  # type: ignore[method-assign, assignment]
        view.add_item(button)
        await interaction.response.send_message("well?", view=view, ephemeral=True)

    async with connected(server, bot := AskingBot(store, with_button)):
        await bot.asked(server, place, ada)
        await server.press(ada, server.sent(place)[0], "More")
        await server.wait_for(lambda: len(bot.ended) == 2, what="the button")
        assert all(one["flags"] & EPHEMERAL for one in server.sent(place))
    assert await keys(store) == [private(place, ada)]
    assert await said(store, private(place, ada)) == [
        "user: [button: More]",
        "assistant: there is more",
    ]


async def test_what_is_sent_as_ephemeral_is_recorded_where_it_was_seen(
    server: DiscordEmulator, store: SessionStore, place: Payload, ada: Payload
) -> None:
    async def by_hand(bot: Any, interaction: discord.Interaction, prompt: str) -> None:
        await interaction.response.defer(ephemeral=True)
        await record_sent(bot, await interaction.followup.send("psst", ephemeral=True, wait=True))

    async with connected(server, bot := AskingBot(store, by_hand)):
        await bot.asked(server, place, ada)
    assert await keys(store) == [private(place, ada)]


async def test_a_form_is_recorded_only_where_its_handler_asks(
    server: DiscordEmulator, store: SessionStore, place: Payload, ada: Payload
) -> None:
    class Form(discord.ui.Modal, title="Key"):
        key: discord.ui.TextInput[Any] = discord.ui.TextInput(label="API key", custom_id="key")

        async def on_submit(self, interaction: discord.Interaction) -> None:
            await interaction.response.send_message("Thank you.", ephemeral=True)

    async def ask_key(bot: Any, interaction: discord.Interaction, prompt: str) -> None:
        await interaction.response.send_modal(Form())

    async with connected(server, bot := AskingBot(store, ask_key)):
        opened = await server.slash(place, ada, "ask", {"prompt": "x"})
        await server.wait_for(lambda: server.form(opened))
        await server.submit(ada, opened, key="sk-secret")
        await server.wait_sent(place, 1)
    assert bot.given == []
    assert await keys(store) == []


class PrivateBot(AskingBot):
    async def setup_hook(self) -> None:
        await self.add_cog(PrivacyCog(self))
        await super().setup_hook()


async def test_forgetting_in_the_channel_reaches_what_only_this_person_saw(
    server: DiscordEmulator, store: SessionStore, place: Payload, ada: Payload
) -> None:
    async with connected(server, bot := PrivateBot(store, deferred)):
        await bot.asked(server, place, ada)
        await server.slash(place, ada, "forget")
        await server.wait_sent(place, 2)
        assert server.sent(place)[-1]["content"] == "What was kept of you here is erased."
    assert await keys(store) == []


async def test_the_commands_are_described_in_the_languages_that_come_along(
    server: DiscordEmulator, store: SessionStore
) -> None:
    async with connected(server, PrivateBot(store, deferred)):
        call = next(one for one in server.requests if one.method == "PUT")
    described = {one["name"]: one for one in call.body}
    assert described["forget"]["description"] == "Erase what is kept of you here."
    localized = described["forget"]["description_localizations"]
    assert sorted(localized) == ["es-419", "es-ES", "pt-BR", "ru", "uk"]
    assert localized["es-ES"] == "Borra lo que se guarda aquí sobre ti."
    assert "description_localizations" not in described["ask"]


async def test_two_people_behind_one_webhook_are_two_under_scopes_per_user(
    server: DiscordEmulator, store: SessionStore, place: Payload
) -> None:
    bot = RecordingBot(store, scope="user_in_channel", record_webhooks=True)
    async with connected(server, bot):
        for name in ("Myriad", "Luna"):
            await server.say(place, server.user(name, bot=True), f"{name}'s", webhook_id="77")
        await bot.hears(server, 2)
    assert await keys(store) == [
        f"{key_of(place)}:user:77-Luna",
        f"{key_of(place)}:user:77-Myriad",
    ]


async def test_an_ignored_persons_words_are_not_kept_where_others_reply_to_them(
    server: DiscordEmulator, store: SessionStore, place: Payload, ada: Payload
) -> None:
    bob = server.user("Bob")
    async with connected(server, bot := RecordingBot(store, ignore={int(bob["id"])})):
        secret = await server.say(place, bob, "my secret")
        await server.say(place, ada, "I see", reply_to=secret)
        await bot.hears(server, 2)
    assert await said(store, key_of(place)) == ["user: [reply to a message]\nI see"]


@pytest.mark.parametrize("ignored", ["author", "channel", "server"])
async def test_an_ignored_persons_or_places_words_are_not_kept_where_others_forward_them(
    server: DiscordEmulator, store: SessionStore, place: Payload, ada: Payload, ignored: str
) -> None:
    bob = server.user("Bob")
    guild = server.guild() if ignored == "server" else {"id": place["guild_id"]}
    elsewhere = server.channel(guild["id"], "elsewhere")
    ids = {"author": bob, "channel": elsewhere, "server": guild}
    async with connected(server, bot := RecordingBot(store, ignore={int(ids[ignored]["id"])})):
        files = {"plan.pdf": b"%PDF"}
        secret = await server.say(elsewhere, bob, "my secret", attachments=files)
        await bot.hears(server, 1)
        forwarded = await server.forward(secret, place, ada)
        await server.say(place, ada, "I see", reply_to=forwarded)
        await bot.hears(server, 3)
    kept = await said(store, key_of(place))
    assert kept == [
        "user: [forwarded]",
        "user: [reply to Ada: (forwarded)]\nI see",
    ]
