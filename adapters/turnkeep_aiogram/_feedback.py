"""Reactions and votes on Telegram, for bots whose authors choose to record them."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any, Final, NamedTuple

from aiogram import Bot
from aiogram.methods import TelegramMethod
from aiogram.types import (
    Chat,
    Message,
    MessageReactionUpdated,
    Poll,
    PollAnswer,
    ReactionTypeCustomEmoji,
    ReactionTypeEmoji,
    Update,
    User,
)

from turnkeep import Sender, SessionKey
from turnkeep.adapter import Feedback, Recent, Recorder

from ._message import source_id, source_id_at
from ._requests import RequestMiddleware

_MAX_POLLS: Final = 10_000


class _Asked(NamedTuple):
    poll: Poll
    source: str
    key: SessionKey


class TelegramFeedback(RequestMiddleware):
    """Records people's reactions, and their votes in polls that the bot has sent since its start.

    Telegram tells a vote without its chat, so the polls are remembered as they are sent.
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
        """Remember the polls that a request has sent."""
        if not self._votes or not isinstance(result, Message) or result.poll is None:
            return
        key, source = self._key_of_sent(result), source_id(result)
        if key is not None and source is not None:
            self._polls[result.poll.id] = _Asked(result.poll, source, key)

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
        asked, by = self._polls.get(answer.poll_id), _sender(answer.voter_chat or answer.user)
        if asked is None or by is None or self._recorder.ignores(int(by.id)):
            return
        texts = [asked.poll.options[one].text for one in answer.option_ids]
        await self._feedback.record(
            asked.key,
            "vote",
            f"{asked.poll.question} {', '.join(texts)}" if texts else "",
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
