"""The way of an answer into a Discord channel: sent, and edited as it grows."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncGenerator, Awaitable, Callable, Sequence
from contextlib import asynccontextmanager, suppress
from typing import Any, Final, TypeVar

import discord
from discord.ext import commands

from turnkeep import TurnkeepError
from turnkeep.adapter import (
    AnswerOptions,
    MessageGoneError,
    SlowDownError,
    UnreachableError,
    tables_as_code,
)

from ._deferral import Deferral
from ._ephemeral import is_private
from ._message import Where, author_of, source_id

T = TypeVar("T")

# https://discord.com/developers/docs/topics/opcodes-and-status-codes#json-json-error-codes
_UNKNOWN_CHANNEL: Final = 10003
_UNKNOWN_WEBHOOK: Final = 10015
_UNKNOWN_INTERACTION: Final = 10062
_INVALID_TOKEN: Final = 50027
_THREAD_ARCHIVED: Final = 50083
_SIGN_TIMEOUT: Final = 10.0
_TOKEN_ENDED: Final = frozenset({_UNKNOWN_WEBHOOK, _UNKNOWN_INTERACTION, _INVALID_TOKEN})


class DiscordOutlet:
    """Sends answers to the channel of a message, an interaction or a command.

    - A message has at most 2,000 characters.
    - Discord allows about five edits in five seconds
      (https://discord.com/developers/docs/topics/rate-limits); discord.py itself waits if Discord
      asks for it.
    - The answer to a deferred interaction replaces the placeholder, and is ephemeral if that is.
    - When the interaction's token has ended, the answer goes on in the channel, unless only one
      user may see it.
    - A thread that is archived meanwhile is opened again.
    - A table is shown as a code block.
    - The model's text mentions whoever is answered, and nobody else: no other user, no role, and
      not everyone. `mentions` are the bot's own, which may leave out that one, too.
    - Discord's servers would fetch the links of a message for their previews. They are told not
      to, unless `options.link_previews` says otherwise.
    """

    limit: int = 2000
    pace: float = 1.2
    drafts: bool = False
    sign_seconds: float = 8.0
    draft_seconds: float = 8.0

    def __init__(
        self,
        where: Where,
        *,
        ephemeral: bool = False,
        options: AnswerOptions | None = None,
        mentions: discord.AllowedMentions | None = None,
    ) -> None:
        self.options: AnswerOptions = options or AnswerOptions()
        interaction = where.interaction if isinstance(where, commands.Context) else where
        self._interaction = interaction if isinstance(interaction, discord.Interaction) else None
        self._channel: Any = where.channel
        self._sent: list[discord.Message | discord.PartialMessage] = []
        self._name: str | None = None
        self.deferral: Deferral | None = None
        """The deferral of the interaction, while its handler waits."""
        mentions_nobody = mentions is not None and mentions.users is False
        self._mentions = discord.AllowedMentions(
            everyone=False, roles=False, users=False if mentions_nobody else [author_of(where)]
        )
        self._is_for_one = ephemeral or is_private(where)
        self._is_ephemeral: bool | None = True if ephemeral else None
        """True if only one user sees the answer; None as long as that is unknown."""

    def begin(self, name: str, sent: Sequence[str]) -> None:
        """Name the messages, and edit those of an earlier try; see `turnkeep.adapter.Outlet`.

        Discord sends a message under the same nonce once within some minutes.
        """
        self._name = name
        self._sent = [self._channel.get_partial_message(int(one.partition(":")[2])) for one in sent]

    async def working(self) -> None:
        """Show "typing", or defer an interaction."""
        # The answer matters more than this sign.
        with suppress(discord.HTTPException, discord.RateLimited, TimeoutError):
            async with asyncio.timeout(_SIGN_TIMEOUT):
                await self._end_deferral()
                if self._interaction is None:
                    await self._channel.typing()
                elif not self._interaction.response.is_done():
                    self._is_ephemeral = bool(self._is_ephemeral)
                    await self._interaction.response.defer(ephemeral=self._is_ephemeral)
                else:
                    await self._ask_if_ephemeral(self._interaction)

    async def _ask_if_ephemeral(self, interaction: discord.Interaction) -> None:
        """Ask Discord about the first answer, which the bot's own code gave or deferred."""
        if self._is_ephemeral is None:
            with suppress(discord.HTTPException):
                self._is_ephemeral = (await interaction.original_response()).flags.ephemeral
        if self._is_ephemeral and not self._is_for_one:
            raise TurnkeepError(
                f"interaction {interaction.id}: only one user is to see the answer, and the "
                "session is that of the whole channel: call chat_session or in_turn after "
                "defer(ephemeral=True), or give it ephemeral=True"
            )

    async def send(self, text: str) -> str | None:
        """Send a piece of the answer and return its source id; see `turnkeep.adapter.Outlet`."""
        shown = tables_as_code(text, self.limit)
        async with self._reaching():
            sent = await self._in_open_thread(lambda: self._send_message(shown))
        self._sent.append(sent)
        return source_id(sent)

    async def _send_message(self, text: str) -> discord.Message:
        interaction = self._interaction
        if interaction is not None:
            sent = await self._respond(interaction, text)
            if sent is not None:
                return sent
        nonce = None if self._name is None else f"{self._name}-{len(self._sent)}"
        posted: discord.Message = await self._channel.send(
            text,
            allowed_mentions=self._mentions,
            suppress_embeds=not self.options.link_previews,
            nonce=nonce,
        )
        return posted

    async def _respond(self, interaction: discord.Interaction, text: str) -> discord.Message | None:
        """Send a message by the interaction's token, or return None if the token has ended."""
        await self._end_deferral()
        try:
            if not interaction.response.is_done():
                # What was not even deferred is to be seen by all, unless its session says not.
                self._is_ephemeral = bool(self._is_ephemeral)
                if not interaction.is_expired():
                    await interaction.response.send_message(
                        text,
                        ephemeral=self._is_ephemeral,
                        allowed_mentions=self._mentions,
                        suppress_embeds=not self.options.link_previews,
                    )
                    return await interaction.original_response()
            elif not interaction.is_expired():  # it expires after 15 minutes
                await self._ask_if_ephemeral(interaction)
                # Without an answer from Discord, assume that only one user may see it.
                hidden = self._is_ephemeral is not False
                return await interaction.followup.send(
                    text,
                    wait=True,
                    ephemeral=hidden,
                    allowed_mentions=self._mentions,
                    suppress_embeds=not self.options.link_previews,
                )
        except discord.HTTPException as error:
            if error.code not in _TOKEN_ENDED:
                raise
        self._leave_interaction(interaction)
        return None

    async def _end_deferral(self) -> None:
        deferral, self.deferral = self.deferral, None
        if deferral is not None:
            await deferral.end()

    def _leave_interaction(self, interaction: discord.Interaction) -> None:
        """Go on without the interaction's token, in the channel, if the channel may see it."""
        if self._is_ephemeral is not False:
            raise UnreachableError(
                f"interaction {interaction.id} has expired, and only one user was to see its "
                "answer: it is not sent to the whole channel"
            )
        self._interaction = None

    async def edit(self, number: int, text: str) -> None:
        """Replace the text of the `number`th sent message; see `turnkeep.adapter.Outlet`."""
        shown = tables_as_code(text, self.limit)

        async def edit(message: discord.Message | discord.PartialMessage) -> discord.Message:
            return await message.edit(content=shown, allowed_mentions=self._mentions)

        async with self._reaching():
            try:
                self._sent[number] = await self._change(number, edit)
            except discord.NotFound as error:
                if error.code == _UNKNOWN_CHANNEL:
                    raise
                raise MessageGoneError(str(error)) from error
            except discord.HTTPException as error:
                if error.code != _THREAD_ARCHIVED:
                    raise
                # A new message opens a thread that the bot may not open otherwise.
                raise MessageGoneError(str(error)) from error

    async def remove(self, number: int) -> None:
        """Delete a sent message; see `turnkeep.adapter.Outlet`."""

        async def delete(message: discord.Message | discord.PartialMessage) -> None:
            await message.delete()

        async with self._reaching():
            await self._change(number, delete)

    async def draft(self, text: str) -> None:
        """Do nothing: Discord has no drafts."""

    async def _change(
        self,
        number: int,
        change: Callable[[discord.Message | discord.PartialMessage], Awaitable[T]],
    ) -> T:
        """Change a sent message, as the bot itself if the interaction's token has ended."""
        message = self._sent[number]
        try:
            return await self._in_open_thread(lambda: change(message))
        except discord.HTTPException as error:
            if error.code not in _TOKEN_ENDED:
                raise
        if self._interaction is not None:
            self._leave_interaction(self._interaction)
        own: discord.PartialMessage = self._channel.get_partial_message(message.id)
        return await self._in_open_thread(lambda: change(own))

    async def _in_open_thread(self, call: Callable[[], Awaitable[T]]) -> T:
        """Call, and once more if that opens the archived thread in which it is refused."""
        try:
            return await call()
        except discord.HTTPException as error:
            thread = self._channel
            if error.code != _THREAD_ARCHIVED or not isinstance(thread, discord.Thread):
                raise
            try:
                await thread.edit(archived=False)
            except discord.HTTPException:  # a moderator has locked it
                raise error from None
        return await call()

    @asynccontextmanager
    async def _reaching(self) -> AsyncGenerator[None, None]:
        """Translate the refusals inside the block."""
        try:
            yield
        except discord.RateLimited as error:
            raise SlowDownError(error.retry_after) from error
        except discord.Forbidden as error:
            raise UnreachableError(str(error)) from error
        except discord.HTTPException as error:
            if error.code not in (_UNKNOWN_CHANNEL, _THREAD_ARCHIVED):
                raise
            raise UnreachableError(str(error)) from error
