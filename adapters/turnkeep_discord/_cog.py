"""The cog: it records the users' messages, and gives handlers the session.

discord.py starts all handlers of a message at the same time, so the cog's listener may run after
a bot's own handler. Therefore both call the same function, and the first call records the
message.
"""

from __future__ import annotations

import asyncio
import logging
from collections.abc import Callable, Coroutine
from contextlib import AsyncExitStack
from typing import Any, Final, Unpack

import discord
from discord.ext import commands

from turnkeep import SessionKey, SessionStore
from turnkeep.adapter import AdapterOptions, ChatSession, Recorder, drain, split_options

from ._backfill import Backfill
from ._buttons import Buttons
from ._cancel import cancel_only_once
from ._capture import Capture
from ._feedback import DiscordFeedback
from ._intake import Bot, Context, Intake, Record
from ._look import Render
from ._message import Scope, Where, source_id
from ._once import CommandsOnce
from ._reading import Reading
from ._reload import EventBuffer, buffer_of
from ._resume import Resume

logger: Final = logging.getLogger("turnkeep")

EVENT: Final = "on_session_message"


class SessionCog(commands.Cog):
    """Records each message that a user writes, once, in the order of its channel.

    `await bot.add_cog(SessionCog(bot, store))` in `setup_hook` is all the setup; the store opens
    and closes with the cog. Edits and deletions on Discord reach the history.

    Handlers call `await chat_session(bot, message)`, or listen to the cog's own event, which
    fires once for each message, as soon as it is recorded:

    >>> async def on_session_message(message, chat_session):
    ...     await chat_session.answer("Hello!")

    `busy` and `debounce` apply to these listeners (a method of the bot, or `@bot.listen()`) and
    to handlers that run by `in_turn`; a message that was answered before reaches neither again.
    Commands have `ctx.chat_session`.

    - `scope`: the users and channels that share a session; see `Scope` and `per_account`.
    - `record` ("all"): the choice of messages to record; see `Record`.
    - `record_commands`: record prefix commands, too.
    - `record_webhooks`: record the posts of webhooks, too, for proxies such as PluralKit.
    - `record_reactions`, `record_votes`: record people's reactions, and their votes in polls, as
      turns that nobody answers.
    - `capture`: record the messages that the bot sends beside its replies, too.
    - `backfill`: the most messages of a channel to fetch after the bot was away, if Discord does
      not replay them. Missed ones are recorded, not answered. Recorded ones that were edited or
      deleted meanwhile change in the history, as far as they are among the fetched messages.
    - `render`: a function from a piece of an answer to the fields of `send`; see `Render`.
    - `drain_timeout`: the seconds to wait for running handlers (all tasks that asked for a
      session) when the cog is removed or the bot closes, so that their replies are stored.
    - `busy`, `debounce`, `max_waiting`, `limit`, `refused`, `reset`, `edits`, `delete_answers`,
      `on_storage_error`, `ignore`, `resume`, `too_old`: see `turnkeep.adapter.RecorderOptions`.
    - `failed`, `undelivered`, `max_wait`, `max_length`, `link_previews`, `stop`, `regenerate`:
      answers; see `turnkeep.adapter.AnswerOptions`. Unless the bot has a
      `max_ratelimit_timeout`, the cog sets it to `max_wait`, at least 30 seconds: discord.py would
      sleep as long as Discord asks for.
    """

    def __init__(
        self,
        bot: Bot,
        store: SessionStore,
        *,
        scope: Scope = "channel",
        record: Record = "all",
        record_commands: bool = False,
        record_webhooks: bool = False,
        record_reactions: bool = False,
        record_votes: bool = False,
        backfill: int = 0,
        capture: bool = False,
        drain_timeout: float = 10,
        render: Render | None = None,
        **options: Unpack[AdapterOptions],
    ) -> None:
        if isinstance(backfill, bool) or backfill < 0:
            raise ValueError(f"backfill is a whole number of messages, 0 or more, not {backfill!r}")
        if render is not None and not callable(render):
            raise ValueError(
                f"render is a function, not {render!r}; Discord shows a model's Markdown by itself"
            )
        self.bot = bot
        self.store = store
        recorder_options, self._answer_options = split_options(options)
        self.recorder: Recorder = Recorder(store, **recorder_options)
        self._backfill = Backfill(bot, store, backfill) if backfill else None
        self._resume = Resume(bot, self.recorder)
        self._reading = reading = Reading(self.recorder, scope, webhooks=record_webhooks)
        self._intake = Intake(
            bot,
            self.recorder,
            reading,
            record=record,
            record_commands=record_commands,
            backfill=self._backfill,
            resume=self._resume,
            render=render,
        )
        self._buttons = Buttons(self.recorder, self._answer_options, self._intake)
        self._capture: Capture | None = None
        if capture:
            self._capture = Capture(
                store, reading.key_of_sent, reading.content_of, reading.quoted_of
            )
        self._feedback = DiscordFeedback(bot, self.recorder, reading.key)
        self._record_reactions, self._record_votes = record_reactions, record_votes
        self._once = CommandsOnce(bot, store)
        self._drain_timeout = drain_timeout
        self._opened: AsyncExitStack | None = None
        self.is_followed: bool = False
        """True if a new cog is expected after this one is removed, as in a reload.

        The events that arrive in between are then kept for the new cog.
        """

    async def cog_load(self) -> None:
        if not self.bot.intents.message_content:
            logger.warning(
                "the message_content intent is off: Discord sends this bot the text of direct "
                "messages and mentions only, so no other text is recorded. Set "
                "intents.message_content = True, and switch it on in the developer portal"
            )
        if self.bot.http.max_ratelimit_timeout is None:
            self.bot.http.max_ratelimit_timeout = max(30.0, self._answer_options.max_wait)
        stack = AsyncExitStack()
        await stack.enter_async_context(self.store)
        self._opened = stack
        self._resume.open()
        if self.bot.is_ready():
            self._resume.start_soon()
        if self.bot.is_ready() and self._backfill is not None:
            self._backfill.start()  # for the messages that came without a cog
        # From here on nothing is awaited until discord.py has added the listeners.
        if (buffer := buffer_of(self.bot)) is not None:
            buffer.replay_to(dict(self.get_listeners()))

    async def cog_unload(self) -> None:
        # The cog goes on recording until the running handlers have stored their replies: the bot
        # may go on with a new cog, and Discord sends each message only once.
        unloading_cogs[self.bot] = self
        self._resume.close()
        for name, listener in self.get_listeners():
            self.bot.add_listener(listener, name)
        async with AsyncExitStack() as stack:  # all steps run, even if an earlier one fails
            if self._opened is not None:
                stack.push_async_callback(self._opened.aclose)
                self._opened = None
            stack.push_async_callback(self.recorder.aclose)
            if self._capture is not None:
                stack.push_async_callback(self._capture.record_waiting)
            stack.push_async_callback(self._resume.settle_all)
            try:
                await drain(
                    lambda: len(self._running()),
                    lambda: asyncio.wait(self._running()),
                    self._drain_timeout,
                )
            finally:
                if self.is_followed:
                    EventBuffer(self.bot, dict(self.get_listeners()))
                for name, listener in self.get_listeners():
                    self.bot.remove_listener(listener, name)
                del unloading_cogs[self.bot]

    def _running(self) -> set[asyncio.Task[Any]]:
        """Return the running tasks that asked for a session, without the current task."""
        tasks = {task for task in self._intake.order.tasks if not task.done()}
        return tasks - {asyncio.current_task()}

    # Events.

    @commands.Cog.listener()
    async def on_message(self, message: discord.Message) -> None:
        """Record the message, and run the listeners to it; called by discord.py."""
        if self._capture is not None and message.author == self.bot.user:
            return self._capture.on_sent(message)
        if not self._listeners():
            if not (self._intake.by_handlers or await self._intake.has_recorded(message)):
                await self.record(message)
            return None
        session = await self.record(message)
        if session is None or session.turn is None:
            return None

        async def handle(bound: ChatSession) -> None:
            await cancel_only_once(self._call_all(message, bound))

        return await self.recorder.overlap.run(session, handle)

    def _listeners(self) -> list[Callable[..., Coroutine[Any, Any, Any]]]:
        own = getattr(self.bot, EVENT, None)
        return [*([] if own is None else [own]), *self.bot.extra_events.get(EVENT, ())]

    async def _call_all(self, message: discord.Message, session: ChatSession) -> None:
        calls = (self._call(one, message, session) for one in self._listeners())
        await asyncio.gather(*calls)

    async def _call(
        self,
        listener: Callable[..., Coroutine[Any, Any, Any]],
        message: discord.Message,
        session: ChatSession,
    ) -> None:
        try:
            await listener(message, session)
        # discord.py, too, reports a listener's error and goes on.
        except Exception:  # noqa: BLE001
            await self.bot.on_error(EVENT, message, session)

    @commands.Cog.listener()
    async def on_interaction(self, interaction: discord.Interaction) -> None:
        """Stop an answer, or ask for another one, if such a button was pressed."""
        await self._buttons.press(interaction)

    @commands.Cog.listener()
    async def on_raw_message_edit(self, payload: discord.RawMessageUpdateEvent) -> None:
        """Edit the message in the history; called by discord.py."""
        message = payload.message
        if self._capture is not None and message.author == self.bot.user:
            return self._capture.on_edited(message)
        return await self._intake.changes.edit(message)

    @commands.Cog.listener()
    async def on_raw_message_delete(self, payload: discord.RawMessageDeleteEvent) -> None:
        """Delete the message from the history; called by discord.py."""
        await self._delete(payload.channel_id, [payload.message_id])

    @commands.Cog.listener()
    async def on_raw_bulk_message_delete(self, payload: discord.RawBulkMessageDeleteEvent) -> None:
        """Delete the messages from the history; called by discord.py."""
        await self._delete(payload.channel_id, sorted(payload.message_ids))

    async def _delete(self, channel_id: int, ids: list[int]) -> None:
        if self._capture is not None:
            for one in ids:
                self._capture.on_deleted(one)
        await self._intake.changes.delete(channel_id, ids)

    @commands.Cog.listener()
    async def on_raw_thread_update(self, payload: discord.RawThreadUpdateEvent) -> None:
        """Change the thread's title in its session; called by discord.py."""
        name = payload.data["name"]
        await self._intake.changes.rename_thread(payload.thread_id, payload.parent_id, name)

    @commands.Cog.listener()
    async def on_raw_thread_delete(self, payload: discord.RawThreadDeleteEvent) -> None:
        """Erase the thread's session; called by discord.py."""
        await self._intake.changes.forget_channel(payload.thread_id)

    @commands.Cog.listener()
    async def on_guild_channel_delete(self, channel: discord.abc.GuildChannel) -> None:
        """Erase the channel's session; called by discord.py."""
        await self._intake.changes.forget_channel(channel.id)

    @commands.Cog.listener()
    async def on_raw_reaction_add(self, payload: discord.RawReactionActionEvent) -> None:
        """Record a reaction; called by discord.py."""
        if self._record_reactions:
            await self._feedback.record_reaction(payload)

    @commands.Cog.listener()
    async def on_raw_reaction_remove(self, payload: discord.RawReactionActionEvent) -> None:
        """Take a reaction back; called by discord.py."""
        if self._record_reactions:
            await self._feedback.record_reaction(payload)

    @commands.Cog.listener()
    async def on_raw_poll_vote_add(self, payload: discord.RawPollVoteActionEvent) -> None:
        """Record a vote; called by discord.py."""
        if self._record_votes:
            await self._feedback.record_vote(payload, is_added=True)

    @commands.Cog.listener()
    async def on_raw_poll_vote_remove(self, payload: discord.RawPollVoteActionEvent) -> None:
        """Take a vote back; called by discord.py."""
        if self._record_votes:
            await self._feedback.record_vote(payload, is_added=False)

    async def bot_check_once(self, ctx: Context) -> bool:
        """Give the command its `ctx.chat_session`; called by discord.py before each command.

        A command that was handled before does not run: discord.py raises a `CheckFailure`.
        """
        if not await self._once.begin(ctx):
            return False
        ctx.chat_session = await self.session_of(ctx)  # type: ignore[attr-defined]
        return True

    @commands.Cog.listener()
    async def on_command_completion(self, ctx: Context) -> None:
        """Remember the command, in case that it comes again; called by discord.py."""
        await self._once.end(ctx)

    async def session_of(self, ctx: Context) -> ChatSession | None:
        """Return the session of a command, which records its question if its handler asks."""
        if ctx.interaction is not None:
            return await self.session(ctx)
        session = await self.record(ctx.message)
        return None if session is None else self._hand_out(session, ctx)

    @commands.Cog.listener()
    async def on_connect(self) -> None:
        """Note that Discord will replay no earlier message; called by discord.py."""
        if self._backfill is not None:
            self._backfill.start()

    @commands.Cog.listener()
    async def on_ready(self) -> None:
        """Handle again what is owed an answer, and fetch missed messages; called by discord.py."""
        await self._resume.start()
        if self._backfill is not None:
            for channel_id in await self._backfill.channels():
                await self._intake.record_missed(channel_id)

    # For handlers.

    async def record(self, message: discord.Message) -> ChatSession | None:
        """Record the message unless it already is, and return its session, bound to it.

        The earlier messages of the channel are recorded first. For a message that is not recorded
        (empty, not from a user, a command) the session is bound to no message. The result is None
        if the scope has no session for it.
        """
        session = await self._intake.record_message(message)
        if session is not None and session.turn is not None:
            await self._resume.take(session, message)
        return self._hand_out(session, message)

    async def session(
        self,
        where: discord.Interaction | Context,
        prompt: str | None = None,
        *,
        ephemeral: bool | None = None,
    ) -> ChatSession | None:
        """Return the session of an interaction or a command.

        The earlier messages of the channel are recorded first. A pressed button, a chosen option
        and a form are recorded, and so is the `prompt` of a command; the session is then bound to
        that turn, and to no turn otherwise. The result is None if the scope has no session.
        With `ephemeral` it is the session of what only this user sees; by default the first
        answer to the interaction tells, if there is one already.
        """
        session = await self._intake.record_interaction(where, prompt, ephemeral)
        return self._hand_out(session, where)

    def _hand_out(self, session: ChatSession | None, where: Where) -> ChatSession | None:
        if session is not None and session.outlet is not None:
            session.outlet.options = self._answer_options
        if session is not None and session.turn is None:
            session = self._intake.asking(session, where)
        if self._capture is not None and session is not None:
            self._capture.add_session(session)
        return session

    async def record_sent(
        self,
        message: discord.Message,
        text: str | None = None,
        *,
        key: SessionKey | str | None = None,
    ) -> None:
        """Record a message sent outside of a handler: `record_sent(await channel.send(…))`.

        `text` is the model's text, if it differs from the text that was sent. `key` is the
        session; by default it is that of the channel. Raises `TurnkeepError` without a `key` if
        each user has a session and the message is no reply.
        """
        key = self._reading.key_of_sent(message) if key is None else key
        await self.recorder.record_sent(
            key,
            self._reading.content_of(message),
            source_id=source_id(message),
            text=text,
            time=message.created_at,
            quoted=self._reading.quoted_of(message),
        )


unloading_cogs: Final[dict[Bot, SessionCog]] = {}
"""The cogs that are being removed, by their bots."""
