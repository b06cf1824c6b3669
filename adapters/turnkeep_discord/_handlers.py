"""Functions for a bot's own handlers: they return the session, and run a handler in turn."""

from __future__ import annotations

from collections.abc import Callable, Coroutine
from contextlib import suppress
from typing import Any, TypeVar

import discord
from discord.ext import commands

from turnkeep import SessionKey, TurnkeepError
from turnkeep.adapter import ChatSession

from ._cancel import cancel_only_once
from ._cog import SessionCog, unloading_cogs
from ._deferral import Deferral
from ._ephemeral import interaction_of
from ._intake import Bot
from ._message import Where
from ._outlet import DiscordOutlet
from ._reload import buffer_of

T = TypeVar("T")


async def chat_session(
    bot: Bot, where: Where, *, prompt: str | None = None, ephemeral: bool | None = None
) -> ChatSession:
    """Return the session of a message, an interaction or a command.

    All earlier messages of its channel are recorded first. A message is recorded, too, unless it
    already is; the session is then bound to it. `prompt` is the text that a user gives a command
    (`/ask`): it is recorded as the user's message.

    What only one user sees is in a session of its own. With `ephemeral=True` the answer is
    ephemeral, and the session is this one. By default it is so if the interaction was deferred
    with `ephemeral=True` before its question is recorded, or if its button stands in an ephemeral
    message.

    Raises `TurnkeepError` if the bot has no `SessionCog`, or if the scope or the lack of a channel
    leaves no session.
    """
    cog = await _cog_of(bot)
    if isinstance(where, commands.Context) and where.interaction is None and prompt is None:
        session = await cog.session_of(where)
    elif isinstance(where, (discord.Interaction, commands.Context)):
        session = await cog.session(where, prompt, ephemeral=ephemeral)
    else:
        session = await cog.record(where)
    if session is None:
        raise TurnkeepError(
            "there is no session here: the interaction has no channel, or the cog's scope says so"
        )
    return session


async def in_turn(
    bot: Bot,
    where: Where,
    handler: Callable[[ChatSession], Coroutine[Any, Any, T]],
    *,
    prompt: str | None = None,
    ephemeral: bool | None = None,
) -> T | None:
    """Run a handler with the session, under the cog's `busy` and `debounce`.

    Use it in the bot's own `on_message`, in commands and for buttons; listeners to
    `on_session_message` don't need it. The handler does not run for a message that was answered
    before, is dropped, or is answered together with a later one. Then the result is None, and a
    deferred interaction's "thinking…" is removed. An interaction that nothing responds to in time
    is deferred: Discord would end it after three seconds. So answer by the session, or by
    `interaction.followup`: `interaction.response` may be used up by then. Arguments and errors
    are those of `chat_session`.

    >>> async def ask(interaction, question):
    ...     await in_turn(bot, interaction, lambda session: session.answer("42"), prompt=question)
    """
    interaction, deferral = interaction_of(where), None
    if interaction is not None and not interaction.response.is_done():
        deferral = Deferral(interaction, ephemeral=bool(ephemeral))
    try:
        return await _run(bot, where, handler, prompt, ephemeral, deferral)
    finally:
        if deferral is not None:
            await deferral.end()
            if deferral.has_begun and interaction is not None:  # and nothing was said since
                await _remove_thinking_sign(interaction)


async def _run(
    bot: Bot,
    where: Where,
    handler: Callable[[ChatSession], Coroutine[Any, Any, T]],
    prompt: str | None,
    ephemeral: bool | None,
    deferral: Deferral | None,
) -> T | None:
    session = await chat_session(bot, where, prompt=prompt, ephemeral=ephemeral)
    if isinstance(session.outlet, DiscordOutlet):
        session.outlet.deferral = deferral
    cog = await _cog_of(bot)
    has_ended = False

    async def handle(bound: ChatSession) -> T:
        nonlocal has_ended
        result = await cancel_only_once(handler(bound))
        has_ended = True
        return result

    result = await cog.recorder.overlap.run(session, handle)
    interaction = interaction_of(where)
    if not has_ended and interaction is not None:
        await _remove_thinking_sign(interaction)
    return result


async def _remove_thinking_sign(interaction: discord.Interaction) -> None:
    """Delete the "thinking…" of a deferred interaction; Discord would show it for 15 minutes."""
    if interaction.response.is_done():
        with suppress(discord.HTTPException):
            first = await interaction.original_response()
            # discord.py keeps it as it was when it was first asked for.
            if first.flags.loading:
                now = await interaction.followup.fetch_message(first.id)
                if now.flags.loading:
                    await interaction.delete_original_response()


async def record_sent(
    bot: Bot,
    message: discord.Message,
    text: str | None = None,
    *,
    key: SessionKey | str | None = None,
) -> None:
    """Record a message that the bot sent outside of a handler; see `SessionCog.record_sent`."""
    await (await _cog_of(bot)).record_sent(message, text, key=key)


async def _cog_of(bot: Bot) -> SessionCog:
    if (buffer := buffer_of(bot)) is not None:
        await buffer.wait_until_ended()
    cog = bot.get_cog(SessionCog.__cog_name__) or unloading_cogs.get(bot)
    if not isinstance(cog, SessionCog):
        raise TurnkeepError(
            "this bot has no SessionCog: 'await bot.add_cog(SessionCog(bot, store))' in its "
            "setup_hook"
        )
    return cog
