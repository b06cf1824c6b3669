"""Thirty things that users write, for type checkers: without a cast, an `Any`, or an exception.

`mypy` and `pyright`, both strict, read this file. Nothing runs it: what these calls do is tested
elsewhere.
"""

from __future__ import annotations

import base64
from collections.abc import AsyncIterator
from datetime import datetime, timedelta, timezone

import discord
from aiogram import Bot, Dispatcher, F, Router
from aiogram.filters import Command
from aiogram.types import CallbackQuery, Message
from anthropic import AsyncAnthropic
from discord import app_commands
from discord.ext import commands
from google import genai
from openai import AsyncOpenAI
from openai.types.chat import ChatCompletionMessageParam

from turnkeep import (
    ConsolidationPolicy,
    Media,
    Messages,
    Reply,
    Sender,
    Session,
    SessionKey,
    SessionStore,
    Turn,
    TurnkeepError,
    build_window,
    check_messages,
    estimate_tokens,
)
from turnkeep.adapter import ChatSession, ResetPolicy
from turnkeep.shapes import from_shape, to_shape
from turnkeep_aiogram import SessionMiddleware, is_addressed, privacy_router
from turnkeep_discord import SessionCog, SessionContext, chat_session, in_turn

SYSTEM = "You are a helpful assistant."
client = AsyncOpenAI()
claude = AsyncAnthropic()
gemini = genai.Client()
router = Router()


async def a_window_goes_to_chat_completions(session: Session) -> str | None:
    history = await session.get_history(max_messages=50)
    completion = await client.chat.completions.create(model="m", messages=history)
    return completion.choices[0].message.content


async def with_a_system_prompt_in_front(session: Session) -> str | None:
    completion = await client.chat.completions.create(
        model="m",
        messages=[{"role": "system", "content": SYSTEM}, *await session.get_history()],
    )
    return completion.choices[0].message.content


async def as_a_list_of_the_packages_own_type(session: Session) -> None:
    messages: list[ChatCompletionMessageParam] = [{"role": "system", "content": SYSTEM}]
    messages += await session.get_history(max_tokens=4000, overflow="truncate")
    await client.chat.completions.create(model="m", messages=messages)


async def a_stream_in_a_reply(session: Session) -> None:
    async with session.reply() as reply:
        stream = await client.chat.completions.create(
            model="m", messages=await reply.get_history(), stream=True
        )
        async for chunk in stream:
            reply.add_text(chunk.choices[0].delta.content or "")


async def responses(session: Session) -> str:
    items = await session.get_history(shape="responses")
    async with session.reply() as reply:
        response = await client.responses.create(model="m", input=items)
        reply.add(response)
    return response.output_text


async def anthropic(session: Session) -> None:
    window = await session.get_history(shape="anthropic", cache=True)
    await claude.messages.create(model="m", max_tokens=100, **window)


async def anthropic_with_a_system_prompt(session: Session) -> None:
    window = await session.get_history(shape="anthropic")
    message = await claude.messages.create(
        model="m", max_tokens=100, system=SYSTEM, messages=window["messages"]
    )
    async with session.reply() as reply:
        reply.add(message)


async def the_system_text_of_anthropics_window(session: Session) -> None:
    window = await session.get_history(shape="anthropic", summary="system")
    if "system" in window:
        await claude.messages.create(
            model="m", max_tokens=9, system=window["system"], messages=window["messages"]
        )


async def google(session: Session) -> str | None:
    window = await session.get_history(shape="google")
    response = await gemini.aio.models.generate_content(
        model="m",
        contents=window["contents"],
        config={"system_instruction": window.get("system_instruction", SYSTEM)},
    )
    return response.text


async def a_loop_with_tools(reply: Reply, tools: dict[str, str]) -> AsyncIterator[str]:
    while True:
        answer = await client.chat.completions.create(model="m", messages=await reply.get_history())
        if not answer.choices[0].message.tool_calls:
            yield answer.choices[0].message.content or ""
            return
        reply.add(answer)
        for call in reply.calls:
            reply.add_tool_result(call["id"], tools[call["function"]["name"]])


async def a_window_as_an_object(session: Session) -> tuple[int, int | None, list[str]]:
    window = await session.window(max_messages=50)
    await client.chat.completions.create(model="m", messages=window.messages)
    return window.tokens, window.cut, [turn.time.isoformat() for turn in window.turns]


async def a_window_over_a_list() -> None:
    window = build_window([{"role": "user", "content": "Hi"}], max_messages=10)
    await client.chat.completions.create(model="m", messages=window.messages)


def messages_in_another_shape(history: Messages) -> Messages:
    check_messages(history, for_="anthropic")
    return from_shape(to_shape(history, "anthropic"), "anthropic")


def what_was_said(history: Messages) -> list[str]:
    return [message["content"] for message in history if message["role"] == "user"]


async def words_of_the_latest_turns(session: Session) -> list[str]:
    return [turn.text async for turn in session.turns(last=10)]


async def a_turn_of_ones_own(store: SessionStore) -> int | None:
    key = SessionKey("web", "a:b")
    ada = Sender(id="42", name="Ada")
    turn = await store.session(key).append("user", "Hi", sender=ada, extra={"mood": 1})
    return turn.id


async def a_picture_for_the_model(session: Session, bot: Bot) -> Messages:
    async def show(media: Media, turn: Turn) -> dict[str, object] | None:
        if media.kind != "photo":
            return None
        file = await bot.download(media.file_id)
        assert file is not None
        data = base64.b64encode(file.read()).decode()
        return {"type": "image_url", "image_url": {"url": f"data:image/jpeg;base64,{data}"}}

    return await session.get_history(media=show, max_media=3)


async def summarize(messages: Messages) -> str:
    completion = await client.chat.completions.create(
        model="m", messages=[*messages, {"role": "user", "content": "Summarize this."}]
    )
    return completion.choices[0].message.content or ""


def a_summary_of_older_turns(store: SessionStore) -> None:
    store.consolidation = ConsolidationPolicy(summarize, after_messages=40, keep=10)


async def what_is_known_of_a_session(session: Session) -> tuple[str | None, datetime | None]:
    info = await session.info()
    if info is None:
        return None, None
    return info.summary, info.updated_at


async def metadata(session: Session) -> None:
    await session.update_metadata({"language": "en", "seen": 3})


async def all_sessions_of_a_channel(store: SessionStore) -> list[str]:
    return [str(info.key) for info in await store.list_sessions(prefix="telegram:", limit=None)]


async def an_error(session: Session) -> str:
    try:
        await session.append("user", "Hi")
    except TurnkeepError as error:
        return str(error)
    return ""


def a_window_by_ones_own_counter(text: str) -> int:
    return estimate_tokens(text) + 4


async def messages_by_ones_own_counter(session: Session) -> Messages:
    return await session.get_history(
        count_tokens=a_window_by_ones_own_counter,
        leaving_out=lambda turn: turn.hidden,
        speakers="prefix",
    )


async def ask(reply: Reply) -> AsyncIterator[str]:
    history = await reply.get_history(max_messages=50)
    stream = await client.chat.completions.create(model="m", messages=history, stream=True)
    async for chunk in stream:
        yield chunk.choices[0].delta.content or ""


@router.message(Command("reset"))
async def reset(message: Message, chat_session: ChatSession) -> None:
    await chat_session.clear()
    await message.answer("Forgotten.")


@router.message(F.text)
async def on_message(message: Message, bot: Bot, chat_session: ChatSession) -> None:
    if await is_addressed(message, bot):
        await chat_session.answer(ask, failed="Sorry.")


async def ask_without_a_stream(reply: Reply) -> str:
    return f"{len(await reply.get_history())} messages"


@router.message(F.caption)
async def on_caption(message: Message, chat_session: ChatSession) -> None:
    await chat_session.answer(ask_without_a_stream)


@router.callback_query()
async def on_button(query: CallbackQuery, chat_session: ChatSession) -> None:
    await query.answer()
    await chat_session.answer("You pressed it.")


def a_dispatcher(store: SessionStore) -> Dispatcher:
    dispatcher = Dispatcher()
    SessionMiddleware(
        store,
        scope="user_in_chat",
        busy="queue",
        reset=ResetPolicy(idle=timedelta(hours=1)),
        render="markdown",
    ).setup(dispatcher)
    dispatcher.include_routers(privacy_router(), router)
    return dispatcher


class MyBot(commands.Bot):
    async def setup_hook(self) -> None:
        await self.add_cog(SessionCog(self, SessionStore("./sessions")))

    async def on_session_message(self, message: discord.Message, session: ChatSession) -> None:
        async with message.channel.typing():
            await session.answer(ask)


bot = MyBot("!", intents=discord.Intents.default())


@bot.command()
async def forget_me(ctx: SessionContext) -> None:
    await ctx.chat_session.clear()
    await ctx.send("Forgotten.")


class Questions(commands.Cog):
    @commands.command()
    async def ask(self, ctx: SessionContext, *, question: str) -> None:
        await ctx.chat_session.answer(ask)


@bot.tree.command()
async def question(interaction: discord.Interaction, text: str) -> None:
    session = await chat_session(bot, interaction, prompt=text)
    await session.answer(ask)


@bot.tree.command()
@app_commands.describe(text="What you want to know")
async def in_line(interaction: discord.Interaction, text: str) -> None:
    await in_turn(bot, interaction, lambda session: session.answer(ask), prompt=text)


async def since_yesterday(store: SessionStore) -> int:
    yesterday = datetime.now(timezone.utc) - timedelta(days=1)
    found = await store.search("pizza", prefix="telegram:", after=yesterday, limit=10)
    return len(found)
