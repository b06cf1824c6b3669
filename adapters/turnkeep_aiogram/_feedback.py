"""Reactions and votes on Telegram, for bots whose authors choose to record them."""

from __future__ import annotations

import logging
from collections.abc import Callable, Sequence
from datetime import datetime, timezone
from typing import Any, Final, NamedTuple

from aiogram import Bot
from aiogram.methods import TelegramMethod
from aiogram.types import (
    Chat,
    Message,
    MessageReactionUpdated,
    PollAnswer,
    ReactionTypeCustomEmoji,
    ReactionTypeEmoji,
    Update,
    User,
)

from turnkeep import Sender, SessionKey, TurnkeepError
from turnkeep.adapter import Feedback, Recent, Recorder

from ._message import source_id, source_id_at
from ._requests import RequestMiddleware

logger: Final = logging.getLogger("turnkeep")

_MAX_POLLS: Final = 10_000
_POLL: Final = "poll:"
_OWNER: Final = "poll"
_OPEN_SECONDS: Final = 90 * 86_400.0
"""The seconds for which the votes in a poll are awaited, also by later processes."""


class _Asked(NamedTuple):
    key: SessionKey
    source: str
    question: str
    options: Sequence[str]


class TelegramFeedback(RequestMiddleware):
    """Records people's reactions, and their votes in polls that the bot has sent.

    Telegram tells a vote without its chat, so the polls are kept as they are sent: in claims of
    their sessions, which are forgotten with these.
    """

    def __init__(
        self,
        recorder: Recorder,
        key_of_sent: Callable[[Message], SessionKey | None],
        *,
        reactions: bool,
        votes: bool,
    ) -> None:
        super().__init__()
        self._recorder = recorder
        self._feedback = Feedback(recorder)
        self._key_of_sent = key_of_sent
        self._reactions = reactions
        self._votes = votes
        self._polls: Recent[str, _Asked] = Recent(_MAX_POLLS)

    @property
    def updates(self) -> list[str]:
        """The kinds of updates that it needs."""
        wanted = {"message_reaction": self._reactions, "poll_answer": self._votes}
        return [kind for kind, is_wanted in wanted.items() if is_wanted]

    async def after(self, method: TelegramMethod[Any], result: object) -> None:  # noqa: ARG002
        """Keep the poll that a request has sent."""
        if not self._votes or not isinstance(result, Message) or result.poll is None:
            return
        poll, key, source = result.poll, self._key_of_sent(result), source_id(result)
        if key is None or source is None:
            return
        asked = _Asked(key, source, poll.question, [one.text for one in poll.options])
        self._polls[poll.id] = asked
        try:
            async with self._recorder.store.desk.use(key, write=True) as storage:
                await storage.claim(
                    key,
                    f"{_POLL}{poll.id}",
                    owner=_OWNER,
                    ttl=_OPEN_SECONDS,
                    payload={
                        name: value for name, value in asked._asdict().items() if name != "key"
                    },
                )
        except TurnkeepError as error:
            logger.warning("votes in poll %s are lost after a restart: %s", poll.id, error)

    async def _asked(self, poll_id: str) -> _Asked | None:
        """Return a poll, which an earlier or another process may have sent."""
        if poll_id in self._polls:
            return self._polls[poll_id]
        async with self._recorder.store.desk.use(write=True) as storage:
            for claim in await storage.claims():
                if claim.name == f"{_POLL}{poll_id}":
                    self._polls[poll_id] = _Asked(claim.key, **claim.payload)
                elif claim.owner == _OWNER and claim.expires_at <= datetime.now(timezone.utc):
                    await storage.release(claim)
        return self._polls.get(poll_id)

    async def record(self, update: Update, key: SessionKey | None, bot: Bot) -> None:
        """Record the reaction or the vote of an update, if it has one; `key` is its chat's."""
        if update.message_reaction is not None and self._reactions and key is not None:
            await self._record_reaction(update.message_reaction, key, bot)
        elif update.poll_answer is not None and self._votes:
            await self._record_vote(update.poll_answer, bot)

    async def _record_reaction(
        self, reaction: MessageReactionUpdated, key: SessionKey, bot: Bot
    ) -> None:
        by = _sender(reaction.actor_chat or reaction.user)
        if by is None or self._recorder.ignores(reaction.chat.id, int(by.id)):
            return
        about = source_id_at(reaction.chat.id, reaction.message_id)
        await self._feedback.record(
            self._recorder.key_of(about) or key,  # that of a topic, which the update leaves out
            "reaction",
            " ".join(map(_shown, reaction.new_reaction)),
            source_id=f"reaction:{about}:{by.id}",
            sender=by,
            about=about,
            own_name=(await bot.me()).full_name,
            time=reaction.date,
        )

    async def _record_vote(self, answer: PollAnswer, bot: Bot) -> None:
        asked, by = await self._asked(answer.poll_id), _sender(answer.voter_chat or answer.user)
        if asked is None or by is None or self._recorder.ignores(int(by.id)):
            return
        texts = [asked.options[one] for one in answer.option_ids]
        await self._feedback.record(
            asked.key,
            "vote",
            f"{asked.question} {', '.join(texts)}" if texts else "",
            source_id=f"vote:{answer.poll_id}:{by.id}",
            sender=by,
            about=asked.source,
            own_name=(await bot.me()).full_name,
        )


def _sender(by: Chat | User | None) -> Sender | None:
    if by is None or (isinstance(by, User) and by.is_bot):
        return None
    return Sender(str(by.id), by.full_name)


def _shown(reaction: object) -> str:
    match reaction:
        case ReactionTypeEmoji():
            return reaction.emoji
        case ReactionTypeCustomEmoji():
            return "a custom emoji"
    return "a star"  # a paid reaction
