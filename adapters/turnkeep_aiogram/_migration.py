"""The move of a group's sessions when it becomes a supergroup, which has another id."""

from __future__ import annotations

from aiogram.types import Message

from turnkeep import SessionKey, SessionStore

from ._message import CHANNEL, PREFIX


async def migrate(store: SessionStore, old: int, new: int) -> None:
    """Move the sessions of a chat to its new id; the old keys become aliases.

    A second call does nothing.
    """
    keys = {SessionKey(CHANNEL, old)}
    page = await store.list_sessions(prefix=f"{PREFIX}{old}:", limit=None)
    keys.update(info.key for info in page)
    for key in sorted(keys):
        await store.rename(key, SessionKey(CHANNEL, new, **dict(key.scopes)))


def migration_of(message: Message) -> tuple[int, int] | None:
    """Return the old and the new id if this is Telegram's notice of a move, in either chat."""
    if message.migrate_to_chat_id is not None:
        return message.chat.id, message.migrate_to_chat_id
    if message.migrate_from_chat_id is not None:
        return message.migrate_from_chat_id, message.chat.id
    return None
