"""The title of a topic, which stands at the beginning of the topic's sessions."""

from __future__ import annotations

import logging
from typing import Final, NamedTuple

from aiogram.types import Message

from turnkeep import Sender, SessionKey, StorageError, StoreLockedError
from turnkeep.adapter import OPENING, ChatSession, Recent, Recorder, note

from ._message import PREFIX, is_ephemeral, sender_of, source_id_at
from ._services import Hides

logger: Final = logging.getLogger("turnkeep")

_MAX_TOPICS: Final = 10_000


class _Title(NamedTuple):
    name: str
    author: int | None
    sender: Sender | None


class Topics:
    """Records the titles of topics, so that their windows begin with what people see above them.

    Telegram sends the notice that a topic was created along with each message there that replies
    to nothing; it has the first title. The title comes before the first turn of a session, and
    not a second time after a reset.
    """

    def __init__(self, recorder: Recorder, hides: Hides) -> None:
        self._recorder = recorder
        self._hides = hides
        self._titles: Recent[tuple[int, int], _Title] = Recent(_MAX_TOPICS)
        self._begun: Recent[str, None] = Recent(_MAX_TOPICS)

    def may_begin(self, key: SessionKey, message: Message) -> bool:
        """Return whether a title may be recorded before this message."""
        topic = _topic_of(message)
        is_own = topic is not None and ("topic", str(topic)) in key.scopes
        return is_own and not is_ephemeral(message) and key.text not in self._begun

    async def begin(self, session: ChatSession, message: Message) -> None:
        """Record the title of a message's topic, if the message is the first one there."""
        key, topic = session.key, _topic_of(message)
        if topic is None or not self.may_begin(key, message):
            return
        title = self._title_of(message, topic)
        try:
            if title is not None and await session.info() is None:
                await self._recorder.store.session(key).append(
                    "user",
                    note("topic", title.name),
                    source_id=source_id_at(message.chat.id, topic),
                    sender=title.sender,
                    time=message.date,  # later than that of a reset
                    extra=OPENING,
                )
        except (StorageError, StoreLockedError) as error:
            logger.warning("%s: the title of its topic is not recorded: %s", session, error)
            return
        self._begun[key.text] = None

    def _title_of(self, message: Message, topic: int) -> _Title | None:
        reply = message.reply_to_message
        title = self._titles.get((message.chat.id, topic))
        if title is None and reply is not None:
            title = _title_in(reply)
        is_hidden = title is not None and self._hides(title.author, None)
        return None if is_hidden else title

    async def take(self, message: Message) -> None:
        """Take in a notice that a topic was created or renamed; its sessions get the new title."""
        topic, title = _topic_of(message), _title_in(message)
        if topic is None or title is None:
            return
        self._titles[message.chat.id, topic] = title
        if message.forum_topic_edited is not None:
            await self._rename(message.chat.id, topic, title)

    async def _rename(self, chat: int, topic: int, title: _Title) -> None:
        if self._hides(title.author, None):
            return
        source = source_id_at(chat, topic)
        found = await self._recorder.store.list_sessions(prefix=f"{PREFIX}{chat}", limit=None)
        for one in found:
            if one.key.chat_id == str(chat) and ("topic", str(topic)) in one.key.scopes:
                await self._recorder.edit(source, note("topic", title.name), one.key)


def _topic_of(message: Message) -> int | None:
    return message.message_thread_id if message.is_topic_message else None


def _title_in(message: Message) -> _Title | None:
    """Return the title that a notice tells, unless nobody has chosen it."""
    created, edited = message.forum_topic_created, message.forum_topic_edited
    name: str | None = None
    if created is not None and not created.is_name_implicit:
        name = created.name
    elif edited is not None:  # it may be about the icon alone
        name = edited.name
    if not name:
        return None
    author = message.sender_chat or message.from_user
    return _Title(name, None if author is None else author.id, sender_of(message))
