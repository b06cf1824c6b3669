"""The way of an answer into a Discord channel: sent, and edited as it grows."""

from __future__ import annotations

import asyncio
import logging
from collections.abc import AsyncGenerator, Awaitable, Callable, Sequence
from contextlib import asynccontextmanager, suppress
from typing import Any, Final, TypeVar

import discord
from discord.ext import commands

from turnkeep import TurnkeepError
from turnkeep.adapter import (
    AnswerOptions,
    Looks,
    MessageGoneError,
    SlowDownError,
    UnreachableError,
)

from ._deferral import Deferral
from ._ephemeral import ephemeral_answer, is_private
from ._look import Below, Look, Render, below, plain, rendered
from ._message import Where, author_of, source_id

T = TypeVar("T")

logger: Final = logging.getLogger("turnkeep")

# https://discord.com/developers/docs/topics/opcodes-and-status-codes#json-json-error-codes
_OPTIONS: Final = AnswerOptions()
_LOOKS: Final = Looks()
_UNKNOWN_CHANNEL: Final = 10003
_UNKNOWN_WEBHOOK: Final = 10015
_UNKNOWN_INTERACTION: Final = 10062
_INVALID_TOKEN: Final = 50027
_INVALID_FORM: Final = 50035
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
    - The text is shown as `render` wants it, or as the model wrote it, with tables as code blocks.
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
        render: Render | None = None,
    ) -> None:
        self.options: AnswerOptions = options or _OPTIONS
        self.looks: Looks = _LOOKS
        self._render = render
        interaction = where.interaction if isinstance(where, commands.Context) else where
        self._interaction = interaction if isinstance(interaction, discord.Interaction) else None
        self._channel: Any = where.channel
        self._sent: list[discord.Message | discord.PartialMessage] = []
        self._name: str | None = None
        self.deferral: Deferral | None = None
        """The deferral of the interaction, while its handler waits."""
        self._where = where
        self._mentions_nobody = mentions is not None and mentions.users is False
        self.take_back: Callable[[], Awaitable[object]] | None = None
        """Takes the question back that was recorded where all can see it."""
        self._is_for_one = ephemeral or is_private(where)
        self._is_ephemeral: bool | None = True if ephemeral else None
        """True if only one user sees the answer; None as long as that is unknown."""

    @property
    def _mentions(self) -> discord.AllowedMentions:
        users = False if self._mentions_nobody else [author_of(self._where)]
        return discord.AllowedMentions(everyone=False, roles=False, users=users)

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

    @property
    def is_for_one(self) -> bool:
        """True if its session is of what one person sees."""
        return self._is_for_one

    def answer_in_private(self) -> None:
        """Go on in the session of what one person sees: the interaction was so deferred."""
        self._is_for_one = self._is_ephemeral = True

    async def _ask_if_ephemeral(self, interaction: discord.Interaction) -> None:
        """Ask Discord about the first answer, which the bot's own code gave or deferred."""
        if self._is_ephemeral is None:
            self._is_ephemeral = await ephemeral_answer(interaction)
        if self._is_ephemeral and not self._is_for_one:
            if self.take_back is not None:
                await self.take_back()
            raise TurnkeepError(
                f"interaction {interaction.id}: only one user may see this answer, but the "
                "session belongs to the whole channel: call chat_session or in_turn after "
                "defer(ephemeral=True), or give it ephemeral=True"
            )

    draft_name: None = None

    def buttons(self, *, done: bool) -> Below | None:
        """Return the buttons under the answer; see `turnkeep.adapter.Outlet`."""
        return below(self.looks, done=done)

    async def send(self, text: str, buttons: Below | None = None) -> str | None:
        """Send a piece of the answer and return its source id; see `turnkeep.adapter.Outlet`."""

        async def send(look: Look) -> discord.Message:
            return await self._in_open_thread(lambda: self._send_message(look))

        async with self._reaching():
            sent = await self._show(text, buttons, send)
        self._sent.append(sent)
        return source_id(sent)

    async def _show(
        self,
        text: str,
        buttons: Below | None,
        show: Callable[[Look], Awaitable[T]],
        *,
        in_layout: bool = False,
    ) -> T:
        """Show a piece as `render` wants it, or as the model wrote it if Discord refuses that."""
        if self._render is not None:
            try:
                return await show(rendered(text, self._render, buttons))
            except discord.HTTPException as error:
                if error.code != _INVALID_FORM:
                    raise
                logger.info("a rendered piece of an answer was refused: %s", error)
        return await show(plain(text, self.limit, buttons, in_layout=in_layout))

    async def _send_message(self, look: Look) -> discord.Message:
        fields = {**look.to_send(), "allowed_mentions": self._mentions}
        if not (look.embeds or look.has_layout):  # else they were hidden, too
            fields["suppress_embeds"] = not self.options.link_previews
        interaction = self._interaction
        if interaction is not None:
            sent = await self._respond(interaction, fields)
            if sent is not None:
                return sent
        nonce = None if self._name is None else f"{self._name}-{len(self._sent)}"
        posted: discord.Message = await self._channel.send(
            **fields, nonce=nonce, reference=self._reference()
        )
        return posted

    def _reference(self) -> discord.MessageReference | None:
        """Return the question, to which the first message in a server is a reply."""
        question = self.looks.reply_to
        if question is None or self._sent or isinstance(self._channel, discord.DMChannel):
            return None
        channel, _, number = question.partition(":")
        if channel != str(self._channel.id):  # an interaction, or a message elsewhere
            return None
        return discord.MessageReference(
            message_id=int(number), channel_id=int(channel), fail_if_not_exists=False
        )

    async def _respond(
        self, interaction: discord.Interaction, fields: dict[str, Any]
    ) -> discord.Message | None:
        """Send a message by the interaction's token, or return None if the token has ended."""
        await self._end_deferral()
        try:
            if not interaction.response.is_done():
                # What was not even deferred is to be seen by all, unless its session says not.
                self._is_ephemeral = bool(self._is_ephemeral)
                if not interaction.is_expired():
                    await interaction.response.send_message(ephemeral=self._is_ephemeral, **fields)
                    return await interaction.original_response()
            elif not interaction.is_expired():  # it expires after 15 minutes
                await self._ask_if_ephemeral(interaction)
                # Without an answer from Discord, assume that only one user may see it.
                hidden = self._is_ephemeral is not False
                sent: discord.Message = await interaction.followup.send(
                    wait=True, ephemeral=hidden, **fields
                )
                return sent
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

    async def edit(self, number: int, text: str, buttons: Below | None = None) -> None:
        """Change the `number`th sent message; see `turnkeep.adapter.Outlet`."""
        before = self._sent[number]
        has_layout = isinstance(before, discord.Message) and before.flags.components_v2

        async def show(look: Look) -> discord.Message:
            if self._render is None and self.looks == Looks():
                fields: dict[str, Any] = {"content": look.content}
            else:
                fields = look.to_edit()

            async def edit(message: discord.Message | discord.PartialMessage) -> discord.Message:
                return await message.edit(**fields, allowed_mentions=self._mentions)

            return await self._change(number, edit)

        async with self._reaching():
            try:
                self._sent[number] = await self._show(text, buttons, show, in_layout=has_layout)
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

    async def erase(self, source_id: str) -> None:
        """Delete a message of an earlier answer; see `turnkeep.adapter.Outlet`."""
        channel, _, number = source_id.partition(":")
        if channel == str(self._channel.id):
            with suppress(discord.HTTPException, discord.RateLimited):
                await self._channel.get_partial_message(int(number)).delete()

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
