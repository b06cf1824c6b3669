"""Copies of messages: Telegram returns nothing but their ids, so their content is looked up."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from datetime import datetime, timezone
from typing import Any, NamedTuple

from aiogram.methods import CopyMessage, CopyMessages, ForwardMessages, TelegramMethod
from aiogram.types import Chat, Message, MessageId

from turnkeep import Turn
from turnkeep.adapter import Content, Recorder, as_content, as_said, note, said_in

from ._current import event_in_hand
from ._message import source_id_at


class Copy(NamedTuple):
    """A message that a bot has copied, at its new place, and its content."""

    message: Message
    content: Content


class Copies:
    """Tells what copied messages say, from the message in hand and from what is stored."""

    def __init__(self, recorder: Recorder, content_of: Callable[[Message], Content]) -> None:
        self._recorder = recorder
        self._content_of = content_of

    async def made_by(self, method: TelegramMethod[Any], result: object) -> list[Copy]:
        """Return the copies that a request has made."""
        match method:
            case CopyMessage():
                originals: Sequence[int] = [method.message_id]
            case CopyMessages() | ForwardMessages():
                originals = method.message_ids
            case _:
                return []
        ids = result if isinstance(result, list) else [result]
        made = [one for one in ids if isinstance(one, MessageId)]
        if not isinstance(method.chat_id, int) or len(made) != len(originals):
            return []  # a channel's name tells no chat; and of some messages no copy was made
        copies: list[Copy] = []
        for original, new in zip(originals, made, strict=True):
            content = await self._content(method, original)
            copies.append(Copy(_at(method, method.chat_id, new.message_id), content))
        return copies

    async def _content(
        self, method: CopyMessage | CopyMessages | ForwardMessages, original: int
    ) -> Content:
        content = await self._said(method.from_chat_id, original)
        if isinstance(method, CopyMessage) and method.caption is not None and content:
            media = (
                [] if isinstance(content, str) else [c for c in content if not isinstance(c, str)]
            )
            return as_content([as_said(method.caption)], media)
        return content or note("copied message")

    async def _said(self, chat: int | str, original: int) -> Content:
        source = source_id_at(chat, original)
        event = event_in_hand()
        if isinstance(event, Message) and source_id_at(event.chat.id, event.message_id) == source:
            alone = {"reply_to_message": None, "external_reply": None, "quote": None}
            return self._content_of(event.model_copy(update=alone))
        key = self._recorder.key_of(source)
        turn = None if key is None else await self._recorder.store.session(key).find(source)
        return "" if turn is None else _own_content(turn)


def _own_content(turn: Turn) -> Content:
    """Return a turn's content without what it repeats of another message."""
    return as_content([said_in(turn)], [one for one in turn.media if not one.repeated])


def _at(method: CopyMessage | CopyMessages | ForwardMessages, chat: int, number: int) -> Message:
    thread = method.message_thread_id
    return Message(
        message_id=number,
        date=datetime.now(timezone.utc),
        chat=Chat(id=chat, type="private" if chat > 0 else "supergroup"),
        message_thread_id=thread,
        is_topic_message=thread is not None or None,
    )
