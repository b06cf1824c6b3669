"""The beginning of a thread: its title, and the message that it was started from."""

from __future__ import annotations

import logging
import re
from collections.abc import Callable, Sequence
from datetime import datetime
from typing import Any, Final

import discord

from turnkeep import Sender, Session, SessionKey, StorageError, StoreLockedError
from turnkeep.adapter import AS_SENT, OPENING, ChatSession, Content, Recent, Recorder, note

from ._content import Hides, content_of, quoted_of
from ._message import CHANNEL, session_key, source_id, source_id_at

logger: Final = logging.getLogger("turnkeep")

_MAX_THREADS: Final = 10_000
_TITLE: Final = re.compile(r"^\[(?:thread|post): .*\]$", re.MULTILINE)


class Threads:
    """Records the beginnings of threads, so that their windows show what people see there.

    The title and the first message of a thread come before the first turn of its session. They
    are not recorded a second time: not after a reset, and not after `/forget`.
    """

    def __init__(
        self,
        client: discord.Client,
        recorder: Recorder,
        sender_of: Callable[[discord.Message], Sender | None],
        ignores: Hides,
    ) -> None:
        self._client = client
        self._recorder = recorder
        self._sender_of = sender_of
        self._ignores = ignores
        self._begun: Recent[str, None] = Recent(_MAX_THREADS)

    async def begin(self, session: ChatSession, message: discord.Message) -> None:
        """Record the beginning of a message's thread, if the message is the first one there."""
        thread, key = message.channel, session.key
        is_of_thread = isinstance(thread, discord.Thread) and key.chat_id == str(thread.id)
        if not is_of_thread or key.text in self._begun:
            return
        assert isinstance(thread, discord.Thread)
        try:
            if await session.info() is not None:  # it may have been renamed since
                await self._retitle(key, thread.parent_id, thread.id, _title(thread))
            elif message.id != thread.id:
                await self._record(session, thread, message)
        except (StorageError, StoreLockedError) as error:
            logger.warning("%s: the beginning of its thread is not recorded: %s", session, error)
            return
        self._begun[key.text] = None

    async def _record(
        self, session: ChatSession, thread: discord.Thread, message: discord.Message
    ) -> None:
        title = _title(thread)
        starter = await self._starter(thread, is_post=_is_post(thread))
        time = message.created_at  # later than that of a reset
        plain = self._recorder.store.session(session.key)
        if starter is None or self._ignores(starter) or await self._is_forgotten(starter, session):
            await self._append_title(plain, thread, title, time)
            return
        source, sender = source_id(starter), self._sender_of(starter)
        if sender is not None:
            await self._recorder.receive(
                session,
                self.content(starter, title),
                source_id=source,
                sender=sender,
                time=time,
                extra=OPENING,
                quoted=quoted_of(starter, self._ignores),
            )
        elif starter.author == self._client.user:
            await self._append_title(plain, thread, title, time)
            own, extra = content_of(starter, self._ignores), {**AS_SENT, **OPENING}
            if own:
                await plain.append("assistant", own, source_id=source, time=time, extra=extra)
        else:  # another bot, or a webhook
            posted = note("posted by", starter.author.display_name)
            content = self.content(starter, f"{title}\n{posted}")
            await plain.append("user", content, source_id=source, time=time, extra=OPENING)

    async def _is_forgotten(self, starter: discord.Message, session: Session) -> bool:
        """Return whether a thread's first message may not be fetched from its channel."""
        if starter.channel.id == starter.id:  # it stands in the thread itself
            return False
        of_channel = SessionKey(CHANNEL, starter.channel.id, **dict(session.key.scopes))
        channel = self._recorder.store.session(of_channel)
        return await self._recorder.earlier.is_forgotten(channel, starter.created_at)

    async def _append_title(
        self, session: Session, thread: discord.Thread, title: str, time: datetime
    ) -> None:
        """Append a title by itself: it is the words of the person who opened the thread."""
        owner = thread.owner
        is_person = owner is not None and not owner.bot
        await session.append(
            "user",
            title,
            source_id=f"thread:{thread.id}",
            sender=Sender(str(owner.id), owner.display_name) if owner and is_person else None,
            time=time,
            extra=OPENING,
        )

    def content(self, starter: discord.Message, title: str) -> Content:
        """Return a thread's first message with the title of the thread."""
        return content_of(starter, self._ignores, title=title) or title

    async def edit(self, starter: discord.Message) -> None:
        """Edit the first message of a thread in the thread's own sessions."""
        thread = starter.thread
        is_post = starter.id == starter.channel.id  # it stands in the thread itself
        if thread is not None and not is_post and self._sender_of(starter) is not None:
            content = self.content(starter, _title(thread))
            for key in await self._sessions_of(thread.id):
                await self._recorder.edit(source_id(starter), content, key)

    async def rename(self, thread_id: int, parent_id: int, name: str) -> None:
        """Let the thread's sessions begin with its new title."""
        is_post = isinstance(self._client.get_channel(parent_id), discord.ForumChannel)
        title = note("post" if is_post else "thread", name)
        for key in await self._sessions_of(thread_id):
            await self._retitle(key, parent_id, thread_id, title)

    async def _sessions_of(self, thread_id: int) -> list[SessionKey]:
        """Return the sessions that a thread has by itself: one, or one for each user or bot."""
        key = session_key(thread_id)
        found = await self._recorder.store.list_sessions(prefix=key.text, limit=None)
        return [one.key for one in found if one.key.chat_id == key.chat_id]

    async def _retitle(self, key: SessionKey, parent_id: int, thread_id: int, title: str) -> None:
        """Replace the title above the first message, or that which stands by itself."""
        places = (
            f"thread:{thread_id}",
            *(source_id_at(one, thread_id) for one in (thread_id, parent_id)),
        )
        for source in places:
            turn = await self._recorder.store.session(key).find(source)
            content = None if turn is None else _retitled(turn.content, title)
            if turn is not None and content != turn.content:
                await self._recorder.edit(source, content, key)

    async def delete(self, channel_id: int, ids: Sequence[int]) -> None:
        """Delete the first messages of threads from the threads' own sessions."""
        for one in ids:  # such a thread has the id of its first message
            key = session_key(one)
            if await self._recorder.store.session(key).info() is not None:
                await self._recorder.delete([source_id_at(channel_id, one)], key=key)

    async def _starter(self, thread: discord.Thread, *, is_post: bool) -> discord.Message | None:
        if thread.starter_message is not None:
            return thread.starter_message
        place: Any = thread if is_post else self._client.get_partial_messageable(thread.parent_id)
        try:
            found: discord.Message = await place.fetch_message(thread.id)
        except discord.NotFound:  # it was started without a message
            return None
        except discord.HTTPException as error:
            logger.warning("thread %d: its first message can't be fetched: %s", thread.id, error)
            return None
        return found


def _retitled(content: Any, title: str) -> Any:
    """Return the content of a turn with another title. No line that a person wrote looks so."""
    if isinstance(content, str):
        return _TITLE.sub(lambda _: title, content, count=1)
    if isinstance(content, list) and content and isinstance(content[0].get("text"), str):
        return [{**content[0], "text": _retitled(content[0]["text"], title)}, *content[1:]]
    return content


def _is_post(thread: discord.Thread) -> bool:
    return isinstance(thread.parent, discord.ForumChannel)


def _title(thread: discord.Thread) -> str:
    return note("post" if _is_post(thread) else "thread", thread.name)
