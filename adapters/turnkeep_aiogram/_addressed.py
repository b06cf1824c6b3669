"""The events that are addressed to the bot, and the albums that one of their parts addresses."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Final, NamedTuple, TypeAlias

from aiogram import Bot
from aiogram.types import (
    CallbackQuery,
    Message,
    MessageOriginUser,
    RichMessage,
    RichTextTextMention,
    User,
)

from turnkeep.adapter import Recent

from ._message import Event, is_ephemeral, replied_to
from ._rich import mentions_in

_MAX_ALBUMS: Final = 1_000

AlbumId: TypeAlias = tuple[int, str]


async def is_addressed(event: Event, bot: Bot) -> bool:
    """Return whether the event is addressed to the bot.

    That is a message in a private chat, an ephemeral message, a mention, a reply to the bot, or
    a pressed button. An album counts part by part; see `Albums`.
    """
    if isinstance(event, CallbackQuery) or event.chat.type == "private" or is_ephemeral(event):
        return True
    if _author_replied_to(event) == bot.id:
        return True
    if event.rich_message is not None:
        return await _is_mentioned_in(event.rich_message, bot)
    text = event.text or event.caption or ""
    for entity in event.entities or event.caption_entities or ():
        if entity.type == "text_mention" and entity.user is not None and entity.user.id == bot.id:
            return True
        if entity.type in ("mention", "bot_command"):
            mention = entity.extract_from(text).casefold()
            me = await bot.me()  # aiogram asks Telegram once and keeps the answer
            if mention.endswith(f"@{_own_name(me)}"):
                return True
    return False


async def _is_mentioned_in(message: RichMessage, bot: Bot) -> bool:
    for mention in mentions_in(message):
        if isinstance(mention, RichTextTextMention):
            if mention.user.id == bot.id:
                return True
        elif mention.username.removeprefix("@").casefold() == _own_name(await bot.me()):
            return True
    return False


def _own_name(me: User) -> str:
    return (me.username or "").casefold()


def _author_replied_to(message: Message) -> int | None:
    """Return the person or bot to whose message this one replies, here or in another topic."""
    reply, elsewhere = replied_to(message), message.external_reply
    if reply is not None:
        return None if reply.from_user is None else reply.from_user.id
    origin = None if elsewhere is None else elsewhere.origin
    return origin.sender_user.id if isinstance(origin, MessageOriginUser) else None


class _Album(NamedTuple):
    is_addressed: bool
    waiting: Sequence[Message]


class Albums:
    """The latest albums of which a part is not addressed to the bot by itself.

    The parts of an album come one by one, and one of them has the caption with the mention. The
    parts before it wait, and those after it count as addressed.
    """

    def __init__(self) -> None:
        self._albums: Recent[AlbumId, _Album] = Recent(_MAX_ALBUMS)

    def is_addressed(self, message: Message) -> bool:
        """Return whether an earlier part was addressed; otherwise let this part wait for one."""
        if (id := _id(message)) is None:
            return False
        album = self._albums.get(id, _Album(False, ()))
        if not album.is_addressed:
            self._albums[id] = _Album(False, (*album.waiting, message))
        return album.is_addressed

    def address(self, message: Message) -> Sequence[Message]:
        """Note that this part is addressed, and return the parts that waited for it."""
        if (id := _id(message)) is None:
            return ()
        album = self._albums.get(id)
        self._albums[id] = _Album(True, ())
        return () if album is None else album.waiting


def _id(message: Message) -> AlbumId | None:
    return None if message.media_group_id is None else (message.chat.id, message.media_group_id)
