"""The beginning of a thread: its title, and the message that it was started from."""

from __future__ import annotations

import logging
from collections.abc import Callable, Sequence
from datetime import datetime
from typing import Any, Final

import discord

from turnkeep import Sender, Session, StorageError, StoreLockedError
from turnkeep.adapter import AS_SENT, OPENING, ChatSession, Content, Recent, Recorder, note

from ._content import Hides, content_of, quoted_of
from ._message import session_key, source_id, source_id_at

logger: Final = logging.getLogger("turnkeep")

_MAX_THREADS: Final = 10_000


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
            if await session.info() is None and message.id != thread.id:
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
        if starter is None or self._ignores(starter):
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
        """Edit the first message of a thread in the thread's own session."""
        thread = starter.thread
        is_post = starter.id == starter.channel.id  # it stands in the thread itself
        if thread is not None and not is_post and self._sender_of(starter) is not None:
            content = self.content(starter, _title(thread))
            await self._recorder.edit(source_id(starter), content, session_key(thread.id))

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


def _is_post(thread: discord.Thread) -> bool:
    return isinstance(thread.parent, discord.ForumChannel)


def _title(thread: discord.Thread) -> str:
    return note("post" if _is_post(thread) else "thread", thread.name)
