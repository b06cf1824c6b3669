"""What a bot's own handlers call: the session of what they have in hand, and their turn."""

from __future__ import annotations

from collections.abc import Callable, Coroutine
from contextlib import suppress
from typing import Any, TypeVar

import discord
from discord.ext import commands

from turnkeep import SessionKey, TurnkeepError
from turnkeep.adapter import ChatSession

from ._cog import SessionCog, leaving
from ._intake import Bot
from ._message import Where
from ._once import cancelled_once
from ._reload import gap_of

T = TypeVar("T")


async def chat_session(bot: Bot, where: Where, *, prompt: str | None = None) -> ChatSession:
    """The session of a message, an interaction or a command.

    All earlier messages of its channel are recorded first, and a message is too, if it is not
    yet; the session is then bound to it. `prompt` is what somebody says with a command
    (`/ask`), which is recorded so. Raises `TurnkeepError` if the bot has no `SessionCog`, or if
    there is no session there.
    """
    cog = await _cog(bot)
    if isinstance(where, commands.Context) and where.interaction is None and prompt is None:
        session = await cog.record(where.message)
    elif isinstance(where, (discord.Interaction, commands.Context)):
        session = await cog.session(where, prompt)
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
) -> T | None:
    """Runs a handler's part with the session, as the cog's `busy` and `debounce` say.

    For what does not listen to `on_session_message`: the bot's own `on_message`, commands and
    buttons. Of a message that was answered before, is dropped, or is answered with a later one,
    the handler does not run, and this returns None; where it was deferred ("thinking…"), that is
    taken away. Takes and raises what `chat_session` does.

    >>> async def ask(interaction, question):
    ...     await in_turn(bot, interaction, lambda session: session.answer("42"), prompt=question)
    """
    session = await chat_session(bot, where, prompt=prompt)
    cog = await _cog(bot)
    has_ended = False

    async def handle(bound: ChatSession) -> T:
        nonlocal has_ended
        result = await cancelled_once(handler(bound))
        has_ended = True
        return result

    result = await cog.recorder.overlap.run(session, handle)
    interaction = where.interaction if isinstance(where, commands.Context) else where
    if not has_ended and isinstance(interaction, discord.Interaction):
        await _take_sign_away(interaction)
    return result


async def _take_sign_away(interaction: discord.Interaction) -> None:
    """Nobody is thinking about it any more; it would be shown for a quarter of an hour."""
    if interaction.response.is_done():
        with suppress(discord.HTTPException):
            if (await interaction.original_response()).flags.loading:
                await interaction.delete_original_response()


async def record_sent(
    bot: Bot,
    message: discord.Message,
    text: str | None = None,
    *,
    key: SessionKey | str | None = None,
) -> None:
    """Records what the bot sent outside of a handler; see `SessionCog.record_sent`."""
    await (await _cog(bot)).record_sent(message, text, key=key)


async def _cog(bot: Bot) -> SessionCog:
    if (gap := gap_of(bot)) is not None:
        await gap.wait()
    cog = bot.get_cog(SessionCog.__cog_name__) or leaving.get(bot)
    if not isinstance(cog, SessionCog):
        raise TurnkeepError(
            "this bot has no SessionCog: 'await bot.add_cog(SessionCog(bot, store))' in its "
            "setup_hook"
        )
    return cog
