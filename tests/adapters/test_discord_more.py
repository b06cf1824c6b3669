"""Scopes, edits and deletions, content, answers and overlap on Discord."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator
from types import SimpleNamespace
from typing import Any, ClassVar

import discord
import pytest
import pytest_asyncio
from discord.ext import commands

from adapters.tools import RecordingBot, all_turns, connected, keys, said
from emulators.discord import DiscordEmulator
from emulators.discord_payloads import Payload
from turnkeep import SessionStore, TurnkeepError
from turnkeep.adapter import ChatSession
from turnkeep_discord import (
    Scope,
    SessionCog,
    chat_session,
    pressed_of,
    source_id,
)

pytestmark = pytest.mark.asyncio


@pytest_asyncio.fixture(autouse=True)
async def kept_open(store: SessionStore) -> AsyncIterator[None]:
    """The store stays open when the bot has closed, to be looked into."""
    async with store:
        yield


class AnsweringBot(commands.Bot):
    """A bot whose handler is the cog's own event."""

    def __init__(self, store: SessionStore, **options: Any) -> None:
        super().__init__("!", intents=discord.Intents.all())
        self.store = store
        self.options = options
        self.begun: list[str] = []
        self.go_on = asyncio.Event()
        self.go_on.set()
        self.errors = 0

    async def setup_hook(self) -> None:
        await self.add_cog(SessionCog(self, self.store, **self.options))

    async def on_session_message(self, message: discord.Message, session: ChatSession) -> None:
        self.begun.append(message.content)
        await self.go_on.wait()
        if message.content == "fail":
            raise LookupError("no model")
        await session.answer(self.words(f"echo: {message.content}"))

    async def words(self, text: str) -> AsyncIterator[str]:
        for word in text.split(" "):
            yield word + " "

    async def on_error(self, event_method: str, /, *args: Any, **kwargs: Any) -> None:
        self.errors += 1


def key_of(place: Payload) -> str:
    return f"discord:{place['id']}"


@pytest.mark.parametrize(
    ("scope", "expected"),
    [
        ("channel", ["discord:C", "discord:T"]),
        ("parent", ["discord:C"]),
        ("user_in_channel", ["discord:C:user:A", "discord:C:user:B", "discord:T:user:A"]),
        ("user", ["discord:user:A", "discord:user:B"]),
        (commands.BucketType.user, ["discord:user:A", "discord:user:B"]),
        (commands.BucketType.member, ["discord:guild-G:user:A", "discord:guild-G:user:B"]),
        ("guild", ["discord:guild-G"]),
        (
            lambda where: None if where.author.display_name == "Bob" else "discord:all",
            ["discord:all"],
        ),
    ],
    ids=str,
)
async def test_a_scope_says_who_shares_a_session(
    server: DiscordEmulator,
    store: SessionStore,
    place: Payload,
    ada: Payload,
    scope: Scope,
    expected: list[str],
) -> None:
    bob, thread = server.user("Bob"), server.thread(place, "Thread")
    bot = AnsweringBot(store, scope=scope)
    async with connected(server, bot):
        for channel, user in ((place, ada), (place, bob), (thread, ada)):
            await server.say(channel, user, "hi")
        heard = 2 if expected == ["discord:all"] else 3
        await server.wait_for(lambda: len(bot.begun) == heard, 10, "messages")
    names = {place["id"]: "C", thread["id"]: "T", ada["id"]: "A", bob["id"]: "B"}
    names[place["guild_id"]] = "G"
    found = await keys(store)
    for number, name in names.items():
        found = [key.replace(number, name) for key in found]
    assert sorted(found) == expected


async def test_a_deleted_channel_is_forgotten(
    server: DiscordEmulator, store: SessionStore, place: Payload, ada: Payload
) -> None:
    bot = RecordingBot(store)
    async with connected(server, bot):
        await server.say(place, ada, "hello")
        await bot.hears(server, 1)
        await server.delete_channel(place)
        while await keys(store):
            await asyncio.sleep(0.01)


FORWARD: Payload = {
    "content": "news",
    "attachments": [],
    "embeds": [],
    "timestamp": "2026-01-01T00:00:00+00:00",
    "edited_timestamp": None,
    "type": 0,
    "flags": 0,
    "mentions": [],
    "mention_roles": [],
    "components": [],
}


@pytest.mark.parametrize(
    ("fields", "shown"),
    [
        ({"text": "look", "attachments": {"cat.png": b"png"}}, "look [file: cat.png]"),
        (
            {
                "text": "",
                "message_snapshots": [{"message": FORWARD}],
                "message_reference": {"type": 1, "channel_id": "1", "message_id": "2"},
            },
            "[forwarded]\nnews",
        ),
        (
            {"text": "", "sticker_items": [{"id": "7", "name": "Wave", "format_type": 1}]},
            "[sticker: Wave]",
        ),
        (
            {
                "text": "",
                "poll": {
                    "question": {"text": "Tea?"},
                    "answers": [
                        {"answer_id": 1, "poll_media": {"text": "yes"}},
                        {"answer_id": 2, "poll_media": {"text": "no"}},
                    ],
                    "expiry": "2030-01-01T00:00:00+00:00",
                    "allow_multiselect": False,
                    "layout_type": 1,
                },
            },
            "[poll: Tea? yes / no]",
        ),
        (
            {
                "text": "",
                "flags": 1 << 15,
                "components": [
                    {
                        "type": 17,
                        "id": 1,
                        "components": [
                            {"type": 10, "id": 2, "content": "one"},
                            {"type": 10, "id": 3, "content": "two"},
                        ],
                    }
                ],
            },
            "one\ntwo",
        ),
    ],
    ids=["attachment", "forward", "sticker", "poll", "components"],
)
async def test_a_message_leaves_a_sensible_turn(
    server: DiscordEmulator,
    store: SessionStore,
    place: Payload,
    ada: Payload,
    fields: dict[str, Any],
    shown: str,
) -> None:
    bot = RecordingBot(store)
    async with connected(server, bot):
        await server.say(place, ada, **fields)
        await bot.hears(server, 1)
    (turn,) = await all_turns(store, key_of(place))
    text = " ".join([turn.text] * bool(turn.text) + [media.text for media in turn.media])
    assert text == shown


async def test_a_reply_says_to_what_it_replies(
    server: DiscordEmulator, store: SessionStore, place: Payload, ada: Payload
) -> None:
    bot = RecordingBot(store)
    async with connected(server, bot):
        first = await server.say(place, ada, "the plan")
        await server.say(place, server.user("Bob"), "yes", reply_to=first)
        await bot.hears(server, 2)
    assert (await said(store, key_of(place)))[1] == "user: [reply to Ada: the plan]\nyes"


async def test_a_listener_that_fails_is_told_of_as_discord_py_does(
    server: DiscordEmulator, store: SessionStore, place: Payload, ada: Payload
) -> None:
    bot = AnsweringBot(store, busy="queue")
    async with connected(server, bot):
        await server.say(place, ada, "fail")
        await server.say(place, ada, "b")
        await server.wait_sent(place, 1)
    assert (bot.errors, bot.begun) == (1, ["fail", "b"])


async def test_what_a_proxy_posts_is_a_users_where_that_is_asked_for(
    server: DiscordEmulator, store: SessionStore, place: Payload, ada: Payload
) -> None:
    bot = RecordingBot(store, record_webhooks=True)
    async with connected(server, bot):
        await server.say(place, ada, "hello", webhook_id="77")
        await bot.hears(server, 1)
    (turn,) = await all_turns(store, key_of(place))
    assert turn.sender is not None
    assert turn.sender.id == "77-ada"


async def test_commands_have_their_session(
    server: DiscordEmulator, store: SessionStore, place: Payload, ada: Payload
) -> None:
    bot = RecordingBot(store)
    done: list[list[str]] = []

    @bot.command()
    async def recall(ctx: Any) -> None:
        done.append([turn["content"] for turn in await ctx.chat_session.get_history()])

    @bot.hybrid_command()  # type: ignore[arg-type]
    async def ask(ctx: commands.Context[Any], prompt: str) -> None:
        await ctx.defer(ephemeral=True)
        session = await chat_session(bot, ctx, prompt=prompt)
        await session.answer(f"to {prompt}")
        done.append([prompt])

    async with connected(server, bot):
        await bot.tree.sync()
        await server.say(place, ada, "hello")
        await server.say(place, ada, "!recall")
        await server.wait_for(lambda: len(done) == 1, 10, "recall")
        await server.slash(place, ada, "ask", {"prompt": "a thing"})
        await server.wait_for(lambda: len(done) == 2, 10, "ask")
    assert done[0] == ["hello"]
    assert await said(store, key_of(place)) == [
        "user: hello",
        "user: a thing",
        "assistant: to a thing",
    ]


async def test_where_the_scope_has_no_session_that_is_said(
    server: DiscordEmulator, store: SessionStore, place: Payload, ada: Payload
) -> None:
    refused: list[str] = []

    class Bot(RecordingBot):
        async def on_message(self, message: discord.Message) -> None:
            try:
                await chat_session(self, message)
            except TurnkeepError as error:
                refused.append(str(error))

    bot = Bot(store, scope=lambda where: None)
    async with connected(server, bot):
        await server.say(place, ada, "hello")
        await server.wait_for(lambda: bool(refused), 10, "an error")
    assert "no session here" in refused[0]


@pytest.mark.parametrize("options", [{"scope": "planet"}, {"record": "some"}, {"edits": "never"}])
async def test_what_is_no_choice_is_refused(store: SessionStore, options: dict[str, Any]) -> None:
    with pytest.raises(ValueError, match="not '"):
        SessionCog(commands.Bot("!", intents=discord.Intents.none()), store, **options)


async def test_a_pressed_button_is_recorded_by_its_label() -> None:
    button = discord.ui.Button[Any](label="Yes, please", custom_id="yes")
    row = SimpleNamespace(children=[button._underlying])
    pressed: Any = SimpleNamespace(
        type=discord.InteractionType.component,
        message=SimpleNamespace(components=[row]),
        data={"custom_id": "yes", "component_type": 2},
    )
    assert pressed_of(pressed) == "[button: Yes, please]"
    pressed.data = {"custom_id": "menu", "values": ["a", "b"]}
    assert pressed_of(pressed) == "[selected: a, b]"
    pressed.type = discord.InteractionType.modal_submit
    pressed.data = {"components": [{"components": [{"value": "Ada"}]}, {"component": {"value": 7}}]}
    assert pressed_of(pressed) == "[form: Ada / 7]"


@pytest.mark.parametrize("backfill", [0, 50])
async def test_what_was_missed_is_fetched_where_that_is_asked_for(
    server: DiscordEmulator, store: SessionStore, place: Payload, ada: Payload, backfill: int
) -> None:
    async with connected(server, bot := RecordingBot(store, backfill=backfill)):
        await server.say(place, ada, "before")
        await bot.hears(server, 1)
    missed = [f"missed {number}" for number in range(3)]
    for text in missed:
        await server.say(place, ada, text)
    async with connected(server, bot := RecordingBot(store, backfill=backfill)):
        wanted = ["user: before", *[f"user: {text}" for text in missed if backfill]]
        while len(await said(store, key_of(place))) < len(wanted):
            await asyncio.sleep(0.01)
        await server.say(place, ada, "after")
        await bot.hears(server, 1)
    assert await said(store, key_of(place)) == [*wanted, "user: after"]


async def test_what_the_bot_sends_is_captured_once_as_it_stands_in_the_end(
    server: DiscordEmulator, store: SessionStore, place: Payload, ada: Payload
) -> None:
    class Bot(RecordingBot):
        async def on_message(self, message: discord.Message) -> None:
            if message.author.bot:
                return
            session = await chat_session(self, message)
            wait = await message.channel.send("…")
            await (await message.channel.send("one moment")).delete()
            await wait.edit(content="half")
            await wait.edit(content="all of it")
            async with session.reply() as reply:
                reply.add_text("**said**")
                sent = await message.channel.send("said")
                await reply.link(source_id(sent))
            self.given.append(session)

    bot = Bot(store, capture=True)
    async with connected(server, bot):
        await server.say(place, ada, "hello")
        await bot.hears(server, 1)
        while len(turns := await said(store, key_of(place))) < 3:
            await asyncio.sleep(0.05)
        assert sorted(turns) == ["assistant: **said**", "assistant: all of it", "user: hello"]
        (late,) = [one for one in server.sent(place) if one["content"] == "all of it"]
        channel = bot.get_channel(int(place["id"]))
        assert isinstance(channel, discord.TextChannel)
        await channel.get_partial_message(int(late["id"])).edit(content="more than that")
        while "assistant: more than that" not in await said(store, key_of(place)):
            await asyncio.sleep(0.05)
        await channel.send("good night")
        await asyncio.sleep(0.2)
    turns = await said(store, key_of(place))
    assert turns[-1] == "assistant: good night", "recorded at the end, at the latest"
    assert len(turns) == 4


async def test_the_extension_takes_the_options_that_the_bot_has(
    server: DiscordEmulator, store: SessionStore, place: Payload, ada: Payload
) -> None:
    class Bot(commands.Bot):
        session_store = store
        session_options: ClassVar = {"scope": "user"}

        async def setup_hook(self) -> None:
            await self.load_extension("turnkeep_discord.extension")
            await self.reload_extension("turnkeep_discord.extension")

    async with connected(server, Bot("!", intents=discord.Intents.all())):
        await server.say(place, ada, "hello")
        while await keys(store) != [f"discord:user:{ada['id']}"]:
            await asyncio.sleep(0.01)


async def test_a_sharded_bot_records_as_any_other(
    server: DiscordEmulator, store: SessionStore, place: Payload, ada: Payload
) -> None:
    class Bot(commands.AutoShardedBot):
        async def setup_hook(self) -> None:
            await self.add_cog(SessionCog(self, store))

    bot: Any = Bot("!", intents=discord.Intents.all(), shard_count=1)
    async with connected(server, bot):
        await server.say(place, ada, "hello")
        while await said(store, key_of(place)) != ["user: hello"]:
            await asyncio.sleep(0.01)
